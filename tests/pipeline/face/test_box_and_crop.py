"""Face boxes from masks, and crops that come back to their place."""

import math

import numpy as np
import pytest
import synth
import torch
from magplus.models.contracts import Framing
from magplus.models.errors import MagPlusError
from magplus.models.geometry import FaceBox
from magplus.models.lkmag import arch
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.face.box import box_from_mask, parse_box
from magplus.pipeline.face.crop import Crop, CroppedClip, frame_face, frame_whole, native
from magplus.pipeline.face.frame import frame_side, frame_sources

FRAMING = Framing(scale=1.6, shift_y=0.0, size=96)


def ellipse(centre, width, height, angle_deg):
    (cx, cy), size = centre, 160
    x, y = synth.pixel_grid(size, size)
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    across, along = cos * (x - cx) + sin * (y - cy), cos * (y - cy) - sin * (x - cx)
    return torch.from_numpy(((across / (width / 2)) ** 2 + (along / (height / 2)) ** 2 <= 1).astype(np.float32))


@pytest.mark.parametrize("angle", [0, 12, -31])
def test_a_mask_gives_the_box_of_its_ellipse(angle):
    box = box_from_mask(ellipse((70, 85), 60, 84, angle))
    assert (box.cx, box.cy) == (pytest.approx(70, abs=0.1), pytest.approx(85, abs=0.1))
    assert (box.width, box.height) == (pytest.approx(60, rel=0.01), pytest.approx(84, rel=0.01))
    assert box.angle_deg == pytest.approx(angle, abs=0.5)


def test_a_round_mask_has_no_angle_and_an_empty_one_is_refused():
    assert box_from_mask(ellipse((80, 80), 60, 62, 20)).angle_deg == 0
    with pytest.raises(MagPlusError, match="empty"):
        box_from_mask(torch.zeros(40, 40))


def test_a_box_from_numbers_covers_whole_pixels():
    box = parse_box("10,20,30,40,5")
    assert (box.cx, box.cy, box.width, box.angle_deg) == (24.5, 39.5, 30, 5)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,x", "1,2,0,4", "1,2,3,nan", "1,2,3,4,5,6"])
def test_a_box_that_is_none_is_refused(text):
    with pytest.raises(MagPlusError, match="no face box"):
        parse_box(text)


def test_a_picture_of_the_right_size_is_used_as_it_is():
    picture = torch.rand(1, 3, 96, 96)
    assert torch.equal(frame_whole(96, 96, 96).apply(picture), picture)


def test_a_working_crop_keeps_the_picture_s_own_pixels():
    picture = torch.rand(1, 3, 200, 180)
    crop = native(frame_face(FaceBox(cx=90, cy=100, width=50, height=61), FRAMING))
    x, y = (int(-v) for v in crop.to_crop[:, 2])
    assert torch.equal(crop.apply(picture), picture[:, :, y : y + crop.size, x : x + crop.size])


@pytest.mark.parametrize("height", [40.0, 90.0])
def test_a_resampled_crop_keeps_sub_pixel_motion(height):
    box = FaceBox(cx=100, cy=95, width=height * 0.8, height=height)
    crop = frame_face(box, FRAMING)
    texture, field = synth.Texture(2, shortest_px=8), synth.shift(0.3, -0.2)
    frames = torch.stack([synth.render(texture, synth.scaled(field, s), 200, 200) for s in (0, 1)])
    cropped = crop.apply(frames)
    magnifier = arch.builtin()
    measured = magnifier.displacement(magnifier.prepare(cropped[0]), cropped[1:])[0, :, 16:-16, 16:-16].mean((1, 2))
    scale = 96 / (1.6 * height)
    assert torch.allclose(measured, scale * torch.tensor([0.3, -0.2]), atol=0.01 * scale)


def test_crop_and_picture_coordinates_invert_each_other():
    crop = frame_face(FaceBox(cx=40, cy=70, width=33, height=41), FRAMING)
    point = np.array([12.0, 80.0, 1.0])
    assert np.allclose(crop.to_picture @ np.append(crop.to_crop @ point, 1), point[:2])


def test_resizing_a_crop_keeps_its_square():
    crop = frame_face(FaceBox(cx=40, cy=70, width=33, height=41), FRAMING)
    corner = np.array([-0.5, -0.5, 1.0])
    assert np.allclose(crop.to_picture @ corner, crop.resized(300).to_picture @ corner)


def test_beyond_the_picture_its_edge_is_continued():
    picture = torch.rand(1, 3, 32, 32)
    crop = Crop(to_crop=np.array([[1.0, 0, 8], [0, 1.0, 8]]), size=48).apply(picture)
    assert torch.equal(crop[0, :, 0, 0], picture[0, :, 0, 0]) and torch.equal(crop[0, :, 47, 20], picture[0, :, 31, 12])


def test_no_box_warns_and_takes_the_central_square(caplog):
    framed = frame_side("portrait", (120, 80), None, FRAMING)
    assert "no face box" in caplog.text
    assert (framed.box.cx, framed.box.width) == (pytest.approx(39.5), pytest.approx(80))
    assert framed.box_in_crop.width == pytest.approx(96)


def test_a_box_outside_the_picture_is_refused():
    with pytest.raises(MagPlusError, match="outside the picture"):
        frame_side("portrait", (100, 100), FaceBox(cx=300, cy=10, width=20, height=20), FRAMING)


def test_sources_of_different_sizes_are_refused():
    with pytest.raises(MagPlusError, match="different sizes"):
        frame_sources([torch.rand(3, 50, 50), torch.rand(3, 40, 50)], None, FRAMING)


def test_a_cropped_clip_is_a_clip():
    clip = TensorClip(torch.rand(5, 3, 64, 64))
    view = CroppedClip(clip, frame_whole(64, 64, 64))
    assert view.info.height == 64 and view.info.count == 5
    assert torch.equal(torch.cat(list(view.chunks(2))), clip.frames) and torch.equal(view.frame(3), clip.frames[3])


def test_a_face_that_was_cropped_for_a_framing_is_taken_as_it_is():
    framing = Framing(scale=1.37, shift_y=0.07, size=96)
    crop = frame_face(FaceBox(cx=71.3, cy=66.6, width=33, height=41.7), framing)
    again = frame_face(FaceBox(cx=71.3, cy=66.6, width=33, height=41.7).moved_by(crop.to_crop), framing)
    square = torch.rand(1, 3, 96, 96)
    assert torch.equal(again.apply(square), square)
