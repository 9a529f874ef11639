"""Steady and following squares."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from magplus.models.contracts import Framing
from magplus.models.errors import MagPlusError
from magplus.models.geometry import FaceBox
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.face.clip_crop import Following, crop_track
from magplus.pipeline.face.smooth import low_pass

RATE = Fraction(50)
INFO = TensorClip(torch.zeros(1, 3, 400, 500)).info
FRAMING = Framing(scale=1.5, shift_y=0.1, size=128)


def box(cx=200.0, cy=180.0, height=100.0, angle=0.0):
    return FaceBox(cx=cx, cy=cy, width=0.8 * height, height=height, angle_deg=angle)


def middle_of(crop, index=0):
    one = crop.crop(index)
    return one.to_picture @ np.array([(one.size - 1) / 2, (one.size - 1) / 2, 1])


def side_of(crop, index=0):
    one = crop.crop(index)
    return one.size * np.hypot(*one.to_picture[:, 0])


def test_a_steady_square_stands_around_the_median_face():
    boxes = [box(cx=x) for x in (190, 200, 201, 199, 420)]
    crop = crop_track(boxes, INFO, FRAMING)
    assert len(crop.crops) == 1 and crop.count == 5
    assert middle_of(crop) == pytest.approx((200, 180 + 0.1 * 150))
    assert side_of(crop) == pytest.approx(150)
    assert crop.box_in_crop(4).cx - crop.box_in_crop(1).cx == pytest.approx(220 * 128 / 150)


def test_own_pixels_are_cut_out_not_resampled():
    crop = crop_track([box(cx=200.3, height=101.7)], INFO, Framing(scale=1.5, shift_y=0, size=0))
    assert crop.size == 153
    picture = torch.rand(1, 3, 400, 500)
    left, top = (-int(v) for v in crop.crop(0).to_crop[:, 2])
    assert torch.equal(crop.crop(0).apply(picture), picture[:, :, top : top + 153, left : left + 153])


def test_an_upright_square_turns_with_the_head():
    crop = crop_track([box(angle=30)], INFO, FRAMING, upright=True)
    assert crop.box_in_crop(0).angle_deg == pytest.approx(0)
    down = np.array([-math.sin(math.radians(30)), math.cos(math.radians(30))])
    assert middle_of(crop) == pytest.approx(np.array([200, 180]) + 15 * down)
    across = crop_track([box(angle=a) for a in (179, -179, -177)], INFO, FRAMING, upright=True)
    assert across.box_in_crop(1).angle_deg % 360 == pytest.approx(0, abs=1e-9)


def test_following_smooths_place_and_size_each_by_its_own_frequency():
    times = np.arange(200) / 50
    slow, fast = 30 * np.sin(2 * np.pi * 0.25 * times), 3 * np.sin(2 * np.pi * 8 * times)
    boxes = [box(cx=250 + s + f, height=100 + 4 * f) for s, f in zip(slow, fast, strict=True)]
    following = Following(position_hz=2, size_hz=0.5, rate=RATE)
    crop = crop_track(boxes, INFO, FRAMING, following=following)
    path = np.array([middle_of(crop, k)[0] for k in range(200)])
    inner = slice(25, -25)
    assert np.abs(path - (250 + slow))[inner].max() < 0.5
    sides = np.array([side_of(crop, k) for k in range(200)])
    assert np.ptp(sides[inner]) < 0.3 and {one.size for one in crop.crops} == {128}


def test_a_drift_is_followed_to_both_ends():
    boxes = [box(cx=150 + 2 * k) for k in range(60)]
    crop = crop_track(boxes, INFO, FRAMING, following=Following(position_hz=1, size_hz=1, rate=RATE))
    assert [middle_of(crop, k)[0] for k in (0, 30, 59)] == pytest.approx([150, 210, 268], abs=0.01)


def test_half_of_the_power_is_left_at_the_cutoff():
    times = np.arange(2000) / 50
    wave = np.sin(2 * np.pi * 2 * times)[:, None]
    kept = low_pass(wave, 2.0, RATE)[500:-500]
    assert np.abs(kept).max() == pytest.approx(1 / math.sqrt(2), abs=0.01)
    assert np.array_equal(low_pass(wave, 25, RATE), wave)
    assert np.ptp(low_pass(wave, 0, RATE)) == 0
    with pytest.raises(MagPlusError, match="cutoff"):
        low_pass(wave, -1, RATE)


def test_a_filter_longer_than_the_clip_keeps_a_line():
    line = np.arange(5.0)[:, None]
    assert np.allclose(low_pass(line, 0.05, RATE), line)


def test_missing_faces_keep_the_last_square():
    boxes = [None, box(), None, box(cx=240)]
    crop = crop_track(boxes, INFO, FRAMING)
    assert crop.missing == {0, 2}
    assert [crop.box(k).cx for k in range(4)] == [200, 200, 200, 240]


def test_what_is_no_crop_is_refused():
    for boxes, framing, words in [
        ([None], FRAMING, "No frame has a face box"),
        ([], FRAMING, "No frame has a face box"),
        ([box(cx=900)], FRAMING, "outside the picture"),
        ([box(height=4)], Framing(scale=1, shift_y=0, size=0), "4 x 4 px"),
    ]:
        with pytest.raises(MagPlusError, match=words):
            crop_track(boxes, INFO, framing)


def test_a_clip_of_another_size_or_length_is_refused():
    crop = crop_track([box()] * 3, INFO, FRAMING)
    for frames, words in [(torch.zeros(3, 3, 40, 50), "500 x 400"), (torch.zeros(4, 3, 400, 500), "4 frames")]:
        with pytest.raises(MagPlusError, match=words):
            crop.of(TensorClip(frames))
