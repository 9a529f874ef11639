"""Wipe, difference, and the picture of how two faces were aligned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from magplus.models.contracts import Framing
from magplus.models.errors import MagPlusError
from magplus.models.geometry import FaceBox
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.face.sides import frame_sides
from magplus.pipeline.render.overlay import FACE, HEIGHT_PX, alignment_picture, corners
from magplus.pipeline.render.views import Shared, difference, wiped


def test_shared_chunks_reach_every_reader_and_are_dropped_then():
    made = []

    def source():
        for k in range(5):
            made.append(k)
            yield torch.full((1,), k)

    shared = Shared(source(), 2)
    first, second = shared.take(0), shared.take(1)
    for k in range(5):
        assert int(next(first)) == int(next(second)) == k
        assert len(made) == k + 1, "read in step, nothing ahead"
        assert not any(shared._waiting)
    assert list(first) == list(second) == []


@pytest.mark.parametrize("position", [0.0, 0.5, 1.0])
def test_wipe(position):
    left, right = torch.zeros(2, 3, 16, 20), torch.full((2, 3, 16, 20), 0.5)
    (out,) = wiped([left], [right], position)
    assert out[..., 0].eq(0.0 if position else 0.5).all()
    assert out[..., -1].eq(0.5 if position < 1 else 0.0).all()
    assert out[..., 10].eq(1.0).all() == (position == 0.5)


def test_difference_is_signed_about_grey():
    first, second = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    (there,) = difference([first], [second], 1.0)
    (back,) = difference([second], [first], 1.0)
    assert torch.allclose(there + back, torch.ones_like(there))
    assert torch.allclose(next(difference([first], [first], 50.0)), torch.full_like(first, 0.5))


def test_clips_of_different_lengths_are_an_error():
    with pytest.raises(MagPlusError, match="different lengths"):
        list(difference([torch.rand(2, 3, 8, 8)], [torch.rand(1, 3, 8, 8)], 1.0))


def test_corners_turn_clockwise():
    box = FaceBox(cx=10, cy=20, width=8, height=4, angle_deg=90)
    assert np.allclose(corners(box), [[12, 16], [12, 24], [8, 24], [8, 16]])


class _Backbone:
    framing = Framing(scale=1.6, shift_y=0.0, size=64)
    guide_names = frozenset({"driving_box"})


def test_the_alignment_shows_one_face_on_the_other():
    """A mark at the driving face's centre appears at the portrait face's centre."""
    driving, portrait = torch.zeros(1, 3, 100, 120), torch.zeros(1, 3, 90, 80)
    driving[..., 57:64, 37:44] = 1
    framed = frame_sides(
        TensorClip(driving), TensorClip(portrait), _Backbone(), reference=0, device=torch.device("cpu"),
        driving_box=FaceBox(cx=40, cy=60, width=30, height=40, angle_deg=20),
        source_box=FaceBox(cx=50, cy=40, width=25, height=32),
    )  # fmt: skip
    assert set(framed.guides) == {"driving_box"}
    picture = np.asarray(alignment_picture(TensorClip(driving), TensorClip(portrait), framed.sides)).astype(float)
    panel = picture[-HEIGHT_PX:, -HEIGHT_PX:]
    rows, columns = np.nonzero(panel.min(-1) > 80)
    assert (columns.mean(), rows.mean()) == pytest.approx((HEIGHT_PX / 2, HEIGHT_PX / 2), abs=3)
    assert (np.abs(picture - np.array(FACE)).sum(-1) < 30).sum() > 500
