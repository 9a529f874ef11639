"""RAFT and ARFlow wherever motion is measured: a node's numbers are those of the estimator on its socket."""

from __future__ import annotations

import json

import flow_files
import numpy as np
import pytest
import torch
from synth import Texture, bump, render, scaled, total

SIZE = (96, 96)
FACE = {"face_x": 8, "face_y": 8, "face_width": 80, "face_height": 84}


@pytest.fixture(scope="module")
def moved():
    """IMAGE of six frames in which a push of 2 px comes and goes."""
    field = bump(29, 32, 9, 0.4, -2.0)
    frames = [render(Texture(1), scaled(field, s), *SIZE) for s in (0.0, 0.2, 0.7, 1.0, 0.6, 0.1)]
    return torch.stack(frames).permute(0, 2, 3, 1).contiguous()


@pytest.fixture(params=["raft", "arflow"])
def wire(request, standalone):
    """A network as Load Flow Estimator gives it."""
    return standalone.module("nodes.wires").Loaded(model=flow_files.estimator(request.param))


def field_of(standalone, wire, images, index):
    """What the network itself says of one frame, ``(2, H, W)`` px."""
    frames = images.permute(0, 3, 1, 2).contiguous()
    return standalone.module("pipeline.measure").displacement_by(wire.model)(frames[0], frames[index][None])[0]


def test_spot_expression(standalone, wire, moved):
    clip = moved[[0, 0, 1, 2, 3, 4, 5, 0, 0]]
    told = json.loads(standalone.run("MagPlusSpotExpression", images=clip, estimator=wire, **FACE)[1])
    assert told["estimator"] == wire.model.name


def test_calibrate_strength(standalone, wire, moved):
    measure, box = standalone.module("pipeline.measure"), standalone.module("models.geometry").FaceBox
    clip = standalone.module("nodes.convert").to_clip(moved, name="images")
    at = box.from_corner(8, 8, 80, 84)
    curve = measure.measure_clip(clip, at, estimator=measure.displacement_by(wire.model))
    try:
        alpha, _, _, report = standalone.run("MagPlusCalibrateStrength", images=moved, estimator=wire, **FACE)
    except standalone.error as error:  # what deterministic weights see need not be a motion
        assert f"{abs(curve.peak_pct_face):.3f} %" in str(error)
        return
    told = json.loads(report)
    assert told["estimator"] == wire.model.name
    assert told["curve"]["values_px"] == pytest.approx(curve.values_px.tolist(), rel=1e-4, abs=1e-6)
    wanted = min(max(3.0 / abs(curve.peak_pct_face), 1.0), 32.0)
    assert alpha == pytest.approx(wanted, rel=1e-4)


def test_calibrate_strength_without_one_is_measured_by_the_magnifier(standalone, moved):
    report = json.loads(standalone.run("MagPlusCalibrateStrength", images=moved, **FACE)[3])
    assert report["estimator"] == "the magnifier"


def test_the_heat_map(standalone, wire, moved):
    clip = moved[[0, 3]]
    about = {"view": "flow heat-map", "heat_scale_px": 5.0, "panel_height": 96}
    (images,) = standalone.run("MagPlusCompareClips", clip_a=clip, estimator=wire, **about)
    length = field_of(standalone, wire, clip, 1).norm(dim=0)
    coloured = standalone.module("pipeline.render.heat").coloured((length[None] / 5.0).numpy())[0]
    wanted = 0.7 * torch.from_numpy(coloured) + 0.3 * clip[1].mean(-1)
    assert torch.allclose(images[1, -96:, :96].permute(2, 0, 1), wanted, atol=2e-3)


def test_the_microscope_finds_what_moves_along_the_line(standalone, wire, moved):
    found = {}
    for line, along, axis in (("vertical line", 1, 0), ("horizontal line", 0, 1)):
        *_, at = standalone.run("MagPlusMotionMicroscope", images=moved[[0, 3]], line=line, estimator=wire)
        energy = field_of(standalone, wire, moved, 3)[along].square().double().mean(axis)
        smooth = torch.nn.functional.avg_pool1d(energy[None, None], 5, 1, 2, count_include_pad=False)[0, 0]
        found[line] = round(at * 95)
        assert found[line] == int(smooth.argmax())


def test_the_microscope_looks_for_motion_not_for_contrast(standalone):
    """Brightness changes most on the strong texture on the left, motion is largest on the weak one on the right."""
    texture = Texture(1)

    def skin(x, y):
        return 0.5 + (texture(x, y) - 0.5) * (0.15 + 0.85 / (1 + np.exp((x - 48) / 3)))

    pushes = total(bump(24, 48, 9, 0.0, 0.5), bump(70, 48, 9, 0.0, -1.5))
    frames = torch.stack([render(skin, scaled(pushes, s), *SIZE) for s in (0.0, 0.5, 1.0, 0.3)])
    images = frames.permute(0, 2, 3, 1).contiguous()
    wire = standalone.module("nodes.wires").Loaded(model=standalone.module("pipeline.measure").SPLINE_FIT)
    *_, by_light = standalone.run("MagPlusMotionMicroscope", images=images)
    *_, by_motion = standalone.run("MagPlusMotionMicroscope", images=images, estimator=wire)
    assert by_light * 95 == pytest.approx(24, abs=8)
    assert by_motion * 95 == pytest.approx(70, abs=8)
