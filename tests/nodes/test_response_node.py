"""Response Curve: the command's numbers, in the graph."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

QUICK = {"steps": 2, "faces": 1, "region": "mouth", "target_pct_face": 4.0}


def keyface(pack):
    """The small generator as its node gives it."""
    return pack.run("MagPlusKeyFace")[0]


def test_it_gives_the_numbers_of_the_command(pack, tmp_path):
    command = pack.module("pipeline.cli").main
    out = ["--steps", "2", "--faces", "1", "--region", "mouth", "--target", "4", "--out", str(tmp_path / "out")]
    assert command(["response", "--backbone", "keyface", *out]) == 0
    wanted = json.loads((tmp_path / "out" / "response.json").read_text())
    plot, report, recommended = pack.run("MagPlusResponse", backbone=keyface(pack), **QUICK)
    told = json.loads(report)
    assert list(told["regions"]) == ["mouth"] and told["target_pct_face"] == 4.0
    mouth, command_mouth = told["regions"]["mouth"], wanted["regions"]["mouth"]
    for through in ("direct", "magplus"):
        for found, known in zip(mouth[through], command_mouth[through], strict=True):
            assert list(found) == list(known)
            assert np.allclose(np.hstack(list(found.values())), np.hstack(list(known.values())), rtol=1e-4)
    assert recommended == told["recommended_target_pct_face"] == wanted["recommended_target_pct_face"]
    assert plot.shape[0] == 1 and plot.shape[2] > 1000
    clip = torch.rand(2, 64, 64, 3)
    with pytest.raises(pack.error, match="No motion"):  # its report is taken for a response, and the clip is judged
        pack.run("MagPlusCalibrateStrength", images=clip[:1].expand(4, -1, -1, -1), response=report)


class StoppedError(Exception):
    """What a test stops a run with."""


def stop(*_: object) -> None:
    raise StoppedError


def test_it_ticks_and_can_be_cancelled(standalone):
    hooks, ticks = standalone.module("nodes.standalone").hooks, []

    def tick(done, total, picture):
        ticks.append((done, total))
        hooks.check = stop

    hooks.progress = tick
    with pytest.raises(StoppedError):
        standalone.run("MagPlusResponse", backbone=keyface(standalone), **QUICK)
    assert ticks == [(1, 2)]


def test_a_generator_that_must_fit_first_leaves_inference_mode(standalone):
    """MetaPortrait and its like need gradients before they encode; the sweep hands them the node's way out."""
    inner, asked = keyface(standalone), []

    class Fits:
        """KeyFace that also solves something for the portrait."""

        class Problem:
            network, values, guide = torch.nn.Linear(2, 1), torch.ones(1, 2), "source_nothing"

            @staticmethod
            def solve(network, values, tick):
                network(values).sum().backward()
                asked.append(network.weight.grad is not None)
                stop()

        def __getattr__(self, name):
            return getattr(inner.model, name)

        def fit(self, sources, guides):
            return self.Problem

    loaded = standalone.module("nodes.wires").Loaded(model=Fits())
    with pytest.raises(StoppedError):
        standalone.run("MagPlusResponse", backbone=loaded, **QUICK)
    assert asked == [True]


def test_flowmag_cannot_measure(pack):
    loaded = pack.module("nodes.wires").Loaded(model=type("Other", (), {"name": "other"})())
    with pytest.raises(pack.error, match="needs a magnifier that measures displacement"):
        pack.run("MagPlusResponse", backbone=keyface(pack), magnifier=loaded, **QUICK)


def test_the_built_in_magnifier_is_where_the_frames_are(standalone, monkeypatch):
    monkeypatch.setattr(standalone.host, "device", lambda: torch.device("meta"))
    magnifier = standalone.module("nodes.convert").magnifier_of(None)
    assert {parameter.device.type for parameter in magnifier.parameters()} == {"meta"}
