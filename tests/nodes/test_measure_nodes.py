"""Nodes that measure: what they find in clips whose motion is known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from synth import Texture, bump, render, scaled

SIZE = (96, 96)
FACE = {"face_x": 8, "face_y": 8, "face_width": 80, "face_height": 84}
BROW = bump(29, 32, 9, 0.1, -0.6)
"""A push of the left brow of that face."""


def pushed(strengths, noise=0.0, seed=1):
    """IMAGE in which the brow moves by these parts of its push."""
    texture = Texture(seed)
    frames = torch.stack([render(texture, scaled(BROW, float(s)), *SIZE) for s in strengths])
    frames += noise * torch.randn(frames.shape, generator=torch.Generator().manual_seed(seed))
    return frames.permute(0, 2, 3, 1).contiguous()


def event(count, onset, offset):
    """Strengths of one movement and its return, in frames."""
    at = np.clip((np.arange(count) - onset) / (offset - onset), 0, 1)
    return 0.5 - 0.5 * np.cos(2 * np.pi * at)


@pytest.fixture(scope="module")
def brow():
    return pushed(event(30, 10, 20), noise=0.005)


def test_an_expression_is_spotted_where_it_is(pack, brow):
    plot, report, csv, onset, apex, offset, duration, reference, index, found = pack.run(
        "MagPlusSpotExpression", images=brow, fps=50.0, annotations="onset,apex,offset\n10,15,20", **FACE
    )
    assert found is True
    assert (onset, apex, offset) == (pytest.approx(200, abs=25), pytest.approx(300, abs=15), pytest.approx(400, abs=25))
    assert duration == pytest.approx(offset - onset)
    assert (reference, index) == (round(onset / 20), 15)
    told = json.loads(report)
    assert told["events"][0]["region"] in ("brows", "eyes")
    assert told["agreement"]["f1"] == 1.0
    assert csv.splitlines()[0].startswith("onset_ms,apex_ms,offset_ms")
    assert plot.shape[-1] == 3


def test_a_still_clip_has_no_expression(pack):
    out = pack.run("MagPlusSpotExpression", images=pushed(np.zeros(20), noise=0.005), reference_index=3)
    assert out[9] is False
    assert all(math.isnan(value) for value in out[3:7])
    assert out[7:9] == (3, 3)
    assert json.loads(out[1])["verdict"].startswith("none: ")
    assert ",none," in out[2]


def test_the_strength_brings_the_peak_to_the_target(pack, brow):
    alpha, reason, plot, report = pack.run("MagPlusCalibrateStrength", images=brow, target_pct_face=3.0, **FACE)
    told = json.loads(report)
    assert alpha == pytest.approx(3.0 / abs(told["curve"]["peak_pct_face"]))
    assert "uncalibrated guess" in reason and told["target_from"] in reason
    assert plot.shape[-1] == 3


def test_a_measured_response_gives_the_target(pack, brow):
    response = json.dumps({"backbone": "fomm", "recommended_target_pct_face": 1.5})
    (pack.places.input / "fomm.json").write_text(response)
    alpha, *_ = pack.run("MagPlusCalibrateStrength", images=brow, **FACE)
    half, told, _, _ = pack.run("MagPlusCalibrateStrength", images=brow, response_file="fomm.json", **FACE)
    assert half == pytest.approx(alpha / 2)
    assert "measured response of fomm, fomm.json" in told and "guess" not in told
    wired = pack.run("MagPlusCalibrateStrength", images=brow, response=response, **FACE)
    assert wired[0] == half
    for wrong, words in (("{}", "no measured response"), ('{"recommended_target_pct_face": null}', "recommends no")):
        with pytest.raises(pack.error, match=words):
            pack.run("MagPlusCalibrateStrength", images=brow, response=wrong, **FACE)


def test_without_motion_there_is_no_strength(pack):
    with pytest.raises(pack.error, match="No motion above the noise"):
        pack.run("MagPlusCalibrateStrength", images=pushed(np.zeros(12), noise=0.005), **FACE)
