"""The loop closed part by part: gains that differ over the face are found and undone, and noise changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
import synth
import torch
from magplus.models.contracts import AlphaRange
from magplus.models.errors import MagPlusError
from magplus.models.geometry import FaceBox, similarity
from magplus.models.lkmag import arch
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.measure import compare, measure_clip
from magplus.pipeline.measure.grid import GRID
from magplus.pipeline.measure.modes import FieldSpool
from magplus.pipeline.motion.demagnify import demagnify, demagnify_onto, local_factors
from magplus.pipeline.motion.loop import LIMIT, LocalGain, close_loop, local_gain
from magplus.pipeline.motion.magnify import estimator_of

BOX = FaceBox(cx=60, cy=64, width=100, height=110)
SIZE = (128, 128)
UPPER, LOWER = (60, 34), (60, 94)
STRENGTHS = synth.micro_motion(20)
FACE = compare(*[measure_clip(TensorClip(synth.clip(synth.bump(60, 64, 12, 0.5, 0), STRENGTHS, SIZE)), BOX)] * 2)


def rows(upper, lower, *, noise=0.0, seed=0, lag=3):
    """Fields of two bumps with courses of their own, in percent of the face width."""
    y, x = np.meshgrid(np.arange(GRID), np.arange(GRID), indexing="ij")
    first, second = (np.exp(-((x - 16) ** 2 + (y - row) ** 2) / 18) for row in (7, 25))
    late = np.concatenate([np.zeros(lag), STRENGTHS[:-lag]])
    course = upper * np.multiply.outer(STRENGTHS, first) + lower * np.multiply.outer(late, second)
    fields = np.stack([0.6 * course, -0.8 * course], axis=1)
    fields = fields + noise * np.random.default_rng(seed).normal(size=fields.shape)
    spool = FieldSpool(2 * GRID * GRID)
    spool.append(fields.reshape(len(fields), -1).astype(np.float32))
    return spool


def found(original, driver, generated, gain):
    face = replace(FACE, gain=gain)
    return local_gain(face, original=original, driver=driver, generated=generated, box=BOX, size=SIZE)


def at(local, place):
    return local.whole / float(local.factors(1.0)[place[1], place[0]])


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_each_part_has_its_own_gain(noise):
    original, driver = rows(1, 1, noise=noise), rows(8, 8, noise=8 * noise)
    local = found(original, driver, rows(2, 6, noise=noise, seed=1), 4.0)
    assert at(local, UPPER) == pytest.approx(2, rel=0.1) and at(local, LOWER) == pytest.approx(6, rel=0.1)
    upper, lower = (local.by_region()[name] for name in ("brows", "chin"))
    assert upper < 3 and lower > 5
    assert "brows" in str(local) and "whole face 4" in str(local)


def test_noise_of_the_driver_makes_no_weak_part_weaker():
    """It is part of the driver's power, not of what the generator passed on: left there, it flattens the slope."""
    weak = found(rows(1, 0.25), rows(8, 2, noise=0.3, seed=5), rows(4, 1), 4.0)
    assert at(weak, UPPER) == pytest.approx(4, rel=0.1) and at(weak, LOWER) == pytest.approx(4, rel=0.1)


def test_one_gain_everywhere_gives_what_the_whole_face_gives():
    local = found(rows(1, 1), rows(8, 8), rows(4, 4), 4.0)
    assert np.abs(local.relative - 1).max() < 0.01


def test_without_a_magnified_clip_the_original_is_the_driver():
    original = rows(1, 1)
    local = found(original, original, rows(0.5, 1.5), 1.0)
    assert at(local, UPPER) == pytest.approx(0.5, rel=0.1) and at(local, LOWER) == pytest.approx(1.5, rel=0.1)


def test_a_part_that_does_not_move_or_only_trembles_keeps_the_whole_faces():
    local = found(rows(1, 0, noise=0.02), rows(8, 0, noise=0.16), rows(2, 0, noise=0.4, seed=3), 3.0)
    assert at(local, UPPER) == pytest.approx(2, rel=0.2)
    assert at(local, LOWER) == pytest.approx(3, rel=0.15)
    noise = found(rows(0, 0, noise=0.1), rows(0, 0, noise=0.8, seed=1), rows(0, 0, noise=0.1, seed=2), 2.0)
    assert np.abs(np.log(noise.relative)).max() < 0.5


def test_a_part_that_moves_against_the_driver_or_not_at_all_is_not_enlarged():
    for passed_on in (-4.0, -0.5, 0.0):
        local = found(rows(1, 1), rows(8, 8), rows(passed_on, 6), 5.0)
        assert at(local, UPPER) == pytest.approx(5, rel=0.05)
    assert found(rows(1, 1), rows(8, 8), rows(6, 0.3), 6.0).relative.max() <= LIMIT
    assert found(rows(1, 1), rows(8, 8), rows(200, 1), 6.0).relative.min() >= 1 / LIMIT


def test_factors_are_smooth_and_turn_with_the_face():
    local = found(rows(1, 1), rows(8, 8), rows(2, 6), 4.0)
    factors = local.factors(0.25)
    assert factors.shape == SIZE
    steps = torch.cat([factors.diff(dim=0).flatten(), factors.diff(dim=1).flatten()]).abs().max()
    assert float(steps) < 0.1 * float(factors.max() - factors.min())
    turned = replace(local, box=replace(BOX, angle_deg=90.0)).factors(0.25)
    assert turned[64, 60 + 30] == pytest.approx(float(factors[64 - 30, 60]), rel=0.02)


def test_no_gain_of_the_whole_face_no_gain_of_its_parts():
    assert found(rows(1, 1), rows(8, 8), rows(2, 6), -1.0) is None
    with pytest.raises(MagPlusError, match="frame by frame"):
        short = FieldSpool(2 * GRID * GRID)
        short.append(np.zeros((5, 2 * GRID * GRID), np.float32))
        found(rows(1, 1), rows(8, 8), short, 1.0)


UP, DOWN = synth.bump(60, 36, 10, 0.4, -0.3), synth.bump(60, 92, 10, -0.35, 0.35)


def rendered(upper, lower, seed=6):
    field = synth.total(synth.scaled(UP, upper), synth.scaled(DOWN, lower))
    return TensorClip(synth.clip(field, STRENGTHS, SIZE, seed=seed))


@pytest.fixture(scope="module")
def clips():
    return {"input": rendered(1, 1), "magnified": rendered(8, 8), "generated": rendered(2, 6, seed=9)}


def test_the_loop_on_clips(clips):
    boxes, estimator, ticks = dict.fromkeys(clips, BOX), estimator_of(arch.builtin()), []
    one = close_loop(clips, boxes, estimator=estimator)
    parts = close_loop(clips, boxes, gain="regions", estimator=estimator, progress=lambda *t: ticks.append(t[:2]))
    assert one.local is None and parts.face == one.face, "the whole face's gain is the same"
    assert len(ticks) == 3 * len(STRENGTHS)
    assert at(parts.local, (60, 36)) == pytest.approx(2, rel=0.12)
    assert at(parts.local, (60, 92)) == pytest.approx(6, rel=0.12)
    with pytest.raises(MagPlusError, match="gain must be one of"):
        close_loop(clips, boxes, gain="nose", estimator=estimator)


@pytest.mark.parametrize("pixels", ["generated", "source"])
def test_motion_comes_back_to_its_size_in_every_part(clips, pixels):
    magnifier = arch.builtin()
    local = close_loop(clips, dict.fromkeys(clips, BOX), gain="regions", estimator=estimator_of(magnifier)).local
    factors = local_factors(1 / local.whole, local, allowed=magnifier.alpha_range)
    if pixels == "generated":
        chunks = demagnify(clips["generated"], magnifier, factor=factors)
    else:
        still = similarity(1, 0, (0, 0), (0, 0))
        portrait = clips["generated"].frame(0)
        chunks = demagnify_onto(portrait, clips["generated"], magnifier, to_portrait=still, factor=factors)
    restored = TensorClip(torch.cat(list(chunks)))
    assert torch.equal(restored.frames[0], clips["generated"].frames[0])
    for cy in (36, 92):
        box = FaceBox(cx=60, cy=cy, width=56, height=46)
        first, back = (measure_clip(clip, box) for clip in (clips["input"], restored))
        assert compare(first, back).gain == pytest.approx(1, abs=0.15)


def test_intensity_nought_and_an_unknown_place_need_no_map(caplog):
    local = LocalGain(whole=4.0, relative=np.full((GRID, GRID), 2.0), box=BOX, size=SIZE)
    assert local_factors(0.0, local) == 0.0 and local_factors(0.5, None) == 0.5
    caplog.set_level("INFO", logger="magplus")
    limited = local_factors(0.5, local, allowed=AlphaRange(low=0.1, high=0.75))
    assert torch.all(limited == 0.75) and "nose 2" in caplog.text


def test_a_map_of_another_size_is_refused(clips):
    magnifier, still = arch.builtin(), similarity(1, 0, (0, 0), (0, 0))
    with pytest.raises(MagPlusError, match="map of factors"):
        portrait = clips["generated"].frame(0)
        about = {"to_portrait": still, "factor": torch.ones(9, 9)}
        next(demagnify_onto(portrait, clips["generated"], magnifier, **about))
