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


def test_the_microscope_shows_the_bend(pack):
    """A stripe's place over time is the motion of its edge."""
    moves = event(24, 4, 20)
    texture = Texture(2)
    shifted = [render(texture, lambda x, y, s=s: (np.zeros_like(x), np.full_like(y, 3.0 * s)), *SIZE) for s in moves]
    result = torch.stack(shifted).permute(0, 2, 3, 1).contiguous()
    still = result[:1].expand(24, -1, -1, -1)
    picture, cut, at = pack.run(
        "MagPlusMotionMicroscope", images=still, result=result, place="position", position=0.4, start=0.1, stop=0.9,
        fps=200.0,
    )  # fmt: skip
    assert at == 0.4
    assert cut.shape[2] == 24
    column, lowest = cut[0, :, 0].mean(-1), cut[0, :, 12].mean(-1)
    misfits = [float(((lowest[3:] - column[: len(column) - 3]) ** 2).mean()), float(((lowest - column) ** 2).mean())]
    assert misfits[0] < 0.05 * misfits[1]  # moved by 3 px, and not by none
    assert picture.shape[1] > picture.shape[2] / 2


def test_the_microscope_finds_the_motion(pack, brow):
    _, cut, at = pack.run("MagPlusMotionMicroscope", images=brow)
    assert at * 95 == pytest.approx(29, abs=8)
    assert cut.shape == (1, 96, 30, 3)
    with pytest.raises(pack.error, match="different lengths"):
        pack.run("MagPlusMotionMicroscope", images=brow, result=brow[:9])
    with pytest.raises(pack.error, match="has no length"):
        pack.run("MagPlusMotionMicroscope", images=brow, start=0.5, stop=0.5)


def test_the_heat_map_has_one_scale(pack):
    clip, calm = pushed([0.0, 1.0]), pushed([0.0, 0.25])
    (images,) = pack.run(
        "MagPlusCompareClips", clip_a=clip, clip_b=calm, view="flow heat-map", heat_scale_px=0.6, panel_height=96
    )
    strip = images.shape[1] - 96
    places = [images[:, strip + 32, left + 29] for left in (0, 100)]
    bright = [float(place[1].mean() - place[0].mean()) for place in places]
    assert bright[0] > 0.3 and 0.02 < bright[1] < 0.6 * bright[0]
    bar = images[0, strip:, 200:]
    assert float(bar[14, 10].mean()) > float(bar[70, 10].mean()) + 0.3  # bright is far, and it stands above


def test_the_report_tells_regions_lists_and_what_else_changed(pack, brow):
    box = {"x": 8, "y": 8, "width": 80, "height": 84}
    strange = brow.clone()
    strange[22, 40:60, 40:60] *= 0.7
    plot, report, gain, csv, part, px = pack.run(
        "MagPlusMotionReport", fps=50.0, input_clip=brow, restored_clip=brow, driving_box=box, source_box=box,
        portrait=brow[:1], curve_stage="input", curve_region="brows",
    )  # fmt: skip
    told = json.loads(report)
    assert gain == pytest.approx(1.0, abs=0.1)
    assert told["regions_against_input"]["restored"]["brows"]["gain"] == pytest.approx(1.0, abs=0.1)
    assert told["quality"]["restored"]["odd_frames"] == []
    assert told["reconstruction_psnr_db"]["restored"] == pytest.approx(120)
    assert part == told["regions"]["input"]["brows"]["values_pct_face"]
    assert px == pytest.approx([value * 0.8 for value in part])
    assert csv.splitlines()[0].split(",")[2:4] == ["input face pct_face", "input face px"]
    assert len(csv.splitlines()) == 31
    assert plot.shape[2] == 1200
    flawed = json.loads(pack.run("MagPlusMotionReport", restored_clip=strange, source_box=box)[1])
    assert flawed["quality"]["restored"]["odd_frames"] == [22]
    with pytest.raises(pack.error, match="no curve of 'generated'"):
        pack.run("MagPlusMotionReport", input_clip=brow, curve_stage="generated")
    with pytest.raises(pack.error, match="Where the brows are"):
        pack.run("MagPlusMotionReport", input_clip=brow, curve_region="brows")
