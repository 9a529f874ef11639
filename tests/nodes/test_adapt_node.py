"""Adapt Magnifier and Load Flow Estimator, inside inference mode as ComfyUI runs them."""

from __future__ import annotations

import json

import flow_files
import pytest
import torch
from falling import falling

STEPS = {"steps": 2, "batch": 1, "alpha_low": 2.0, "alpha_high": 6.0}


class Cancelled(BaseException):
    """As ComfyUI's, no Exception."""


def flowmag_wire(pack, width=4):
    """A FlowMag of a few channels, made inside inference mode as a loader makes it."""
    arch, network = (pack.module(f"models.flowmag.{name}") for name in ("arch", "network"))
    with torch.inference_mode():
        model = arch.build(arch.to_save(network.Generator(width).state_dict()))
    return pack.module("nodes.wires").Loaded(model=model, weights=("tiny",))


@pytest.mark.parametrize("which", ["builtin", "flowmag"])
def test_the_result_can_be_used_at_once(pack, small, which):
    wire = flowmag_wire(pack) if which == "flowmag" else None
    adapted, plot, report = pack.run("MagPlusAdaptMagnifier", images=small, magnifier=wire, **STEPS)
    numbers = json.loads(report)
    assert numbers["steps"] == 2 and numbers["magnifier"] == ("lkmag" if wire is None else "flowmag")
    assert plot.shape[0] == 1 and plot.shape[-1] == 3
    images = pack.run("MagPlusMagnify", images=small, alpha_mode="number", alpha=4.0, magnifier=adapted)[0]
    assert images.shape == small.shape and images.isfinite().all()
    assert adapted.weights and not any(p.requires_grad for p in vars(adapted.model).get("_parameters", {}).values())


def test_it_trains_inside_inference_mode(pack, small, monkeypatch):
    """On a clip that was made there, and from weights that were."""
    monkeypatch.setattr(pack.module("pipeline.motion.adapt"), "EVERY", 1)
    with torch.inference_mode():
        images, mask = small.clone(), torch.ones(1, 72, 64)
    wire = flowmag_wire(pack)
    given = {"images": images, "mask": mask, "magnifier": wire, "learning_rate": 0.01}
    adapted, _, report = pack.run("MagPlusAdaptMagnifier", **given, **STEPS)
    numbers = json.loads(report)
    assert numbers["settings"]["learning_rate"] == 0.01
    if numbers["best_step"]:
        changed = adapted.model.weights["down_layers.0.double_conv.0.weight"]
        assert not torch.equal(changed, wire.model.weights["down_layers.0.double_conv.0.weight"])
    assert len(numbers["history"]) == 3 and len({one["loss"] for one in numbers["history"]}) == 3


def test_a_flow_estimator_from_a_file(standalone, small):
    weights = standalone.places.input.parent / "weights"
    weights.mkdir()
    flow_files.published("arflow", weights / "pwclite_ar.tar")
    (estimator,) = standalone.run("MagPlusLoadFlow", weights="pwclite_ar.tar")
    _, _, report = standalone.run("MagPlusAdaptMagnifier", images=small, estimator=estimator, **STEPS)
    assert json.loads(report)["flow"] == "arflow"
    assert not any(p.requires_grad for p in estimator.model.parameters()), "the wire's own network is left alone"
    plain, other = (
        json.loads(standalone.run("MagPlusMotionReport", input_clip=small, estimator=by)[1]) for by in (None, estimator)
    )
    assert (plain["estimator"], other["estimator"]) == ("spline fit", "arflow")
    assert plain["curves"]["input"]["values_px"] != other["curves"]["input"]["values_px"]
    answer = standalone.by_id["MagPlusLoadFlow"].validate_inputs("absent.pth")
    assert "raft-things.pth" in answer and "ARFlow" in answer


def test_it_is_saved_without_a_second_run(standalone, small, monkeypatch):
    given = {"images": small, "magnifier": flowmag_wire(standalone), **STEPS}
    first = standalone.run("MagPlusAdaptMagnifier", **given)[0]
    monkeypatch.setattr(standalone.module("nodes.adapt"), "_adapt", None)
    again = standalone.run("MagPlusAdaptMagnifier", **given, save_as="mine/smile")[0]
    assert again.model is first.model
    (loaded,) = standalone.run("MagPlusLoadMagnifier", weights="mine/smile.safetensors")
    assert all(torch.equal(value, loaded.model.weights[name]) for name, value in first.model.weights.items())
    with pytest.raises(standalone.error, match="exists already"):
        standalone.run("MagPlusAdaptMagnifier", **given, save_as="mine/smile")
    with pytest.raises(standalone.error, match="leads out"):
        standalone.run("MagPlusAdaptMagnifier", **given, save_as="../smile")


def test_cancel_keeps_the_best_so_far(standalone, small, monkeypatch):
    monkeypatch.setattr(standalone.module("pipeline.motion.adapt"), "EVERY", 1)
    monkeypatch.setattr(standalone.module("pipeline.motion.adapt"), "magnification_loss", falling())
    hooks = standalone.module("nodes.standalone").hooks
    ticks = []

    def progress(*tick):
        ticks.append(tick)
        if len(ticks) == 4:
            hooks.check = cancel
            raise Cancelled

    def cancel():
        raise Cancelled

    hooks.progress = progress
    given = {"images": small, "magnifier": flowmag_wire(standalone), **STEPS | {"steps": 50}}
    with pytest.raises(Cancelled):
        standalone.run("MagPlusAdaptMagnifier", **given)
    assert ticks[0][:2] == (1, 50) and ticks[0][2].width == 512, "a running picture"
    hooks.progress, hooks.check = (lambda *_: None), (lambda: None)
    _, _, report = standalone.run("MagPlusAdaptMagnifier", **given)
    numbers = json.loads(report)
    assert (numbers["stopped"], numbers["best_step"], numbers["steps"]) == ("cancelled", 4, 4)
    assert len(ticks) == 4, "nothing was trained again"
