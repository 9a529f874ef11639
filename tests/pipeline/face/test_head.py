"""A head held still, and the same motion put back."""

from fractions import Fraction

import numpy as np
import pytest
import synth
import torch
from magplus.models.errors import MagPlusError
from magplus.models.geometry import FaceBox, between, inverse, similarity
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.face.anatomy import FaceMap
from magplus.pipeline.face.depth import depth
from magplus.pipeline.face.head import REMOVE, StillClip, measure_head, restored
from test_align import BOX, CENTRE, SIZE, rendered

RATE = Fraction(50)
TIMES = np.arange(40) / 50
SWAY, SHAKE = 1.5 * np.sin(2 * np.pi * 0.6 * TIMES), 0.3 * np.sin(2 * np.pi * 12 * TIMES)
REFERENCE = 3


def transform(dx, angle=0.0):
    return similarity(1, angle, CENTRE, (CENTRE[0] + dx, CENTRE[1]))


def clip_of(path):
    return TensorClip(torch.stack([rendered(transform(dx)) for dx in path]), rate=RATE)


@pytest.fixture(scope="module")
def swaying():
    return clip_of(SWAY + SHAKE)


@pytest.fixture(scope="module")
def measured(swaying):
    return {how: measure_head(swaying, BOX, remove=how, split_hz=3, reference=REFERENCE) for how in REMOVE}


def still_of(clip, motion):
    return torch.cat(list(StillClip(clip, motion).chunks()))


def restore(frames, motion, **how):
    return torch.cat(list(restored(frames.split(3), motion, **how)))


def largest_error(found, truth):
    """Away from the border, where the truth has values that a picture can have."""
    inner = (..., slice(10, -10), slice(10, -10))
    return ((found - truth)[inner] * ((truth > 0.02) & (truth < 0.98))[inner]).abs().max()


def path_of(motion):
    return np.array([(one @ np.array([*CENTRE, 1]))[0] - CENTRE[0] for one in motion.removed])


def test_all_slow_and_fast_are_told_apart(measured):
    truth = SWAY + SHAKE
    assert np.abs(path_of(measured["all"]) - (truth - truth[REFERENCE])).max() < 0.005
    inner = slice(8, -8)
    slow = path_of(measured["slow"])[inner] - SWAY[inner]
    assert np.std(slow) < 0.05, "the sway, against a reference of its own"
    fast = path_of(measured["fast"])[inner] - SHAKE[inner]
    assert np.std(fast) < 0.06
    for motion in measured.values():
        assert np.array_equal(motion.removed[REFERENCE], np.eye(2, 3))


def test_the_stabilised_clip_is_the_reference_frame(swaying, measured):
    still = still_of(swaying, measured["all"])
    assert torch.equal(still[REFERENCE], swaying.frames[REFERENCE])
    inner = (slice(None), slice(None), slice(8, -8), slice(8, -8))
    before = (swaying.frames - swaying.frames[REFERENCE])[inner].abs().mean()
    assert (still - still[REFERENCE])[inner].abs().mean() < 0.02 * before


@pytest.mark.parametrize("how", REMOVE)
def test_an_untouched_clip_comes_back_bit_for_bit(swaying, measured, how):
    still = still_of(swaying, measured[how])
    assert torch.equal(restore(still, measured[how], original=swaying), swaying.frames)
    moved = restore(still, measured[how])
    assert largest_error(moved, swaying.frames) < 0.003, "without the original two interpolations remain"


def test_what_was_done_to_the_still_head_moves_with_it(swaying, measured):
    """A spot painted at one place of the stabilised clip rides on the head."""
    motion = measured["all"]
    x, y = synth.pixel_grid(*SIZE)
    spot = torch.from_numpy(0.1 * np.exp(-((x - 80) ** 2 + (y - 70) ** 2) / 50)).float()
    changed = still_of(swaying, motion) + spot
    added = (restore(changed, motion, original=swaying) - swaying.frames)[:, 0].double()
    mass = added.sum((1, 2))
    where = (added * torch.from_numpy(x)).sum((1, 2)) / mass - 80
    path = SWAY + SHAKE
    assert np.abs(where.numpy() - (path - path[REFERENCE])).max() < 0.02


def test_the_motion_is_carried_to_another_face_at_its_size(measured, swaying):
    motion = measured["all"]
    other = FaceBox(cx=90, cy=100, width=160, height=208, angle_deg=90)
    portrait = rendered(transform(0), size=(200, 190)).expand(40, -1, -1, -1)
    moved = restore(portrait, motion, box=other)
    assert moved.shape == (40, 3, 200, 190)
    assert torch.equal(moved[REFERENCE], portrait[REFERENCE])
    carry = between(BOX, other)
    there = np.array([90, 100, 1])
    frame = 10
    path = (SWAY + SHAKE)[frame] - (SWAY + SHAKE)[REFERENCE]
    # Twice the size and a quarter turn: a shift to the right becomes twice as large, downwards.
    expected = rendered(similarity(1, 0, (0, 0), (0, 2 * path)), size=(200, 190))
    assert largest_error(moved[frame], expected) < 0.003
    assert np.allclose(carry @ np.array([*CENTRE, 1]), there[:2]) and np.allclose(inverse(carry) @ there, CENTRE)


def test_the_report_says_what_was_removed_and_what_leaks(measured):
    told = measured["all"].report()
    path = SWAY + SHAKE
    assert told["removed_peak_px"] == pytest.approx(np.abs(path - path[REFERENCE]).max(), abs=0.01)
    assert told["removed_peak_deg"] < 0.01 and told["leak_peak_pct_face"] < 0.02
    assert told["inter_ocular_from"].startswith("canonical")


def test_a_turn_out_of_the_plane_is_warned_of(caplog):
    def turn(strength):
        face = FaceMap.from_box(BOX)

        def field(x, y):
            at = np.stack([x - CENTRE[0], y - face.points["left eye"][1]]) / face.inter_ocular_px
            return np.radians(strength) * face.inter_ocular_px * depth(face, at), np.zeros_like(x)

        return field

    frames = torch.stack([synth.render(synth.Texture(1), turn(s), *SIZE) for s in (0.0, 0.5, 1.0)])
    told = measure_head(TensorClip(frames), BOX).report()
    assert told["yaw_peak_deg"] == pytest.approx(1.0, abs=0.05)
    assert told["leak_peak_pct_inter_ocular"] == pytest.approx(0.8, abs=0.1)
    assert "cannot be removed" in caplog.text


def test_what_does_not_fit_is_named(swaying, measured):
    motion = measured["all"]
    frames = swaying.frames
    small = TensorClip(frames[:, :, 1:])
    for given, how, words in [
        (frames[:4], {}, "4 frames, the stabilised one 40"),
        (frames.repeat(2, 1, 1, 1), {}, "42 frames, the stabilised one 40"),
        (small.frames, {}, "150 x 159 px"),
        (frames, {"original": small}, "original has 150 x 159"),
        (frames, {"original": swaying, "box": BOX}, "leave it out"),
    ]:
        with pytest.raises(MagPlusError, match=words):
            restore(given, motion, **how)
    for clip in (small, TensorClip(frames[:4])):
        with pytest.raises(MagPlusError, match="clip 'clip' has"):
            StillClip(clip, motion)
    with pytest.raises(MagPlusError, match="rigid_mask has 4 x 4"):
        measure_head(swaying, BOX, rigid=torch.ones(4, 4))
