"""Face boxes in every form in which other nodes give them."""

from __future__ import annotations

import pytest
import torch
from magplus.models.errors import MagPlusError
from magplus.models.geometry import FaceBox
from magplus.pipeline.face.given import box_wire, given_box

NUMBERS = (10.0, 20.0, 40.0, 50.0, -4.0)
BOX = FaceBox.from_corner(*NUMBERS)
WIRE = {"x": 10, "y": 20, "width": 40, "height": 50, "angle": -4}


def test_nothing_given_is_no_box():
    assert given_box() is None
    assert box_wire(None) is None


def test_a_box_survives_the_wire():
    assert given_box(box_wire(BOX)) == given_box(numbers=NUMBERS) == BOX


@pytest.mark.parametrize(
    "wire",
    [
        WIRE,
        [WIRE],
        [[WIRE]],
        [WIRE, {**WIRE, "width": 5}],
        [[{**WIRE, "x": 99}], [WIRE, {**WIRE, "height": 3}]],
        [{**WIRE, "label": "face", "score": 0.9}],
    ],
)
def test_the_largest_face_of_the_reference_frame_counts(wire):
    assert given_box(wire, reference=1) == BOX


def test_a_list_shorter_than_the_clip_gives_its_last_box():
    assert given_box([[{**WIRE, "x": 99}], [WIRE]], reference=7) == BOX


def test_a_box_wins_over_a_mask_and_a_mask_over_numbers():
    mask = torch.zeros(3, 60, 60)
    mask[1, 10:31, 20:41] = 1
    assert given_box(WIRE, mask, NUMBERS) == BOX
    found = given_box(None, mask, NUMBERS, reference=1)
    assert (found.cx, found.cy) == pytest.approx((30, 20))


@pytest.mark.parametrize(
    "wire", [[], [[]], "face", {"x": 1, "y": 2}, {**WIRE, "width": 0}, {**WIRE, "x": float("nan")}]
)
def test_what_is_no_box_is_an_error(wire):
    with pytest.raises(MagPlusError, match="box"):
        given_box(wire)


def test_half_a_box_is_an_error():
    with pytest.raises(MagPlusError, match="width and height"):
        given_box(numbers=(1, 2, 30, 0, 0))
