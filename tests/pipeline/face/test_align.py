"""How exactly the head's motion is measured, on pictures rendered at real-valued places."""

import math

import numpy as np
import pytest
import synth
import torch
from magplus.models.errors import MagPlusError
from magplus.models.geometry import FaceBox, compose, inverse, similarity, similarity_scale
from magplus.pipeline.face.align import HeadAligner
from magplus.pipeline.face.anatomy import CANONICAL, REGIONS, FaceMap, region_mask, rigid_mask
from magplus.pipeline.face.depth import depth, leak_per_degree, nose_tip
from magplus.pipeline.face.landmarks import MESH

SIZE = (160, 150)
BOX = FaceBox(cx=74, cy=80, width=80, height=104)
CENTRE = (74.0, 80.0)
TEXTURE = synth.Texture(1)


def moved(scale=1.0, angle_deg=0.0, dx=0.0, dy=0.0):
    return similarity(scale, angle_deg, CENTRE, (CENTRE[0] + dx, CENTRE[1] + dy))


def rendered(transform, *, local=None, size=SIZE):
    """The texture under a similarity, and under a displacement of its own before that."""
    x, y = synth.pixel_grid(*size)
    back = inverse(transform)
    x, y = np.einsum("ij,jhw->ihw", back[:, :2], np.stack([x, y])) + back[:, 2].reshape(2, 1, 1)
    qx, qy = x.copy(), y.copy()
    for _ in range(30 if local else 0):
        dx, dy = local(qx, qy)
        qx, qy = x - dx, y - dy
    return torch.from_numpy(TEXTURE(qx, qy)).float()


STILL = rendered(moved())


def errors(pose, truth):
    """Off by px at the face's centre, degrees, and percent of scale."""
    centre = np.array([*CENTRE, 1])
    gap = compose(pose.transform, inverse(truth))
    px = float(np.hypot(*(pose.transform @ centre - truth @ centre)))
    return px, abs(math.degrees(math.atan2(gap[1, 0], gap[0, 0]))), abs(100 * (similarity_scale(gap) - 1))


@pytest.fixture(scope="module")
def aligner():
    return HeadAligner(STILL, BOX)


@pytest.mark.parametrize(
    "truth",
    [
        moved(dx=0.02, dy=-0.01), moved(dx=0.3, dy=-0.2), moved(dx=3.3, dy=2.7), moved(angle_deg=0.02),
        moved(1.01, -3, 6, 4), moved(0.95, 8, -10, 7),
    ],
)  # fmt: skip
def test_shifts_to_two_hundredths_of_a_pixel_and_rolls_to_a_hundredth_of_a_degree(aligner, truth):
    px, degrees, percent = errors(aligner.pose(rendered(truth)), truth)
    assert px < 0.002 and degrees < 0.002 and percent < 0.005


def test_the_expression_itself_does_not_move_the_head(aligner):
    """Brows and mouth pushed by more than a pixel, head shifted by a third of one."""
    face = FaceMap.from_box(BOX)
    mouth = (face.points["left mouth corner"] + face.points["right mouth corner"]) / 2
    local = synth.total(
        synth.bump(*face.points["left brow"], 5, 0.0, -1.5), synth.bump(*face.points["right brow"], 5, 0.0, -1.5),
        synth.bump(*mouth, 9, 1.0, 1.5),
    )  # fmt: skip
    truth = moved(dx=0.3, dy=0.1)
    px, degrees, _ = errors(aligner.pose(rendered(truth, local=local)), truth)
    assert px < 0.02 and degrees < 0.02


def test_a_hand_before_the_forehead_and_another_light_are_borne(aligner):
    truth = moved(1.002, 0.4, 0.5, -0.3)
    frame = 0.8 * rendered(truth) + 0.1
    frame[:, 30:48, 45:75] = 0.9
    px, degrees, _ = errors(aligner.pose(frame), truth)
    assert px < 0.02 and degrees < 0.02


def test_noise_costs_little(aligner):
    generator = torch.Generator().manual_seed(4)
    noisy = HeadAligner(STILL + 0.003 * torch.randn(STILL.shape, generator=generator), BOX)
    found = []
    for k in range(4):
        truth = moved(dx=0.4 * k - 0.7, dy=0.3, angle_deg=0.1 * k)
        frame = rendered(truth) + 0.003 * torch.randn(STILL.shape, generator=generator)
        found.append(errors(noisy.pose(frame), truth)[:2])
    px, degrees = np.sqrt((np.array(found) ** 2).mean(0))
    assert px < 0.02 and degrees < 0.03


def test_a_large_face_is_reduced_and_told_in_its_own_px():
    size, box = (420, 400), FaceBox(cx=200, cy=210, width=340, height=390)
    about = (200.0, 210.0)
    truth = similarity(1.003, 0.2, about, (201.37, 209.5))
    found = HeadAligner(rendered(moved(), size=size), box).pose(rendered(truth, size=size)).transform
    assert np.abs(found - truth)[:, :2].max() < 1e-4
    assert np.abs((found - truth) @ np.array([*about, 1])).max() < 0.02


def test_a_neighbour_shows_the_way_to_a_far_place(aligner):
    truth = moved(1.0, 0.0, 24.0, -3.0)
    near = moved(1.0, 0.0, 22.0, -2.0)
    assert errors(aligner.pose(rendered(truth), near), truth)[0] < 0.002


@pytest.mark.parametrize(("yaw", "pitch"), [(0.5, 0.0), (0.0, -0.5), (1.5, 1.0)])
@pytest.mark.parametrize("depth_of", [1.0, 0.7])
def test_turns_out_of_the_plane_are_told(aligner, yaw, pitch, depth_of):
    """``depth_of``: the head is as deep as assumed, or flatter, which makes the estimate smaller by as much."""
    face = FaceMap.from_box(BOX)

    def turn(x, y):
        px = face.inter_ocular_px
        at = np.stack([(x - CENTRE[0]) / px, (y - face.points["left eye"][1]) / px])
        towards = depth_of * px * depth(face, at)
        return math.radians(yaw) * towards, math.radians(pitch) * towards

    found = aligner.pose(synth.render(TEXTURE, turn, *SIZE))
    assert (found.yaw_deg, found.pitch_deg) == pytest.approx((depth_of * yaw, depth_of * pitch), abs=0.04)


def test_half_a_degree_moves_a_nose_tip_by_the_size_of_the_signal():
    face = FaceMap.from_box(BOX)
    leak = 100 * 0.5 * leak_per_degree(face) / face.inter_ocular_px
    assert np.allclose(leak, np.diag([0.4, 0.4]), atol=0.05)
    turned = FaceMap.from_box(FaceBox(cx=74, cy=80, width=80, height=104, angle_deg=90))
    assert np.allclose(leak_per_degree(turned), [[0, -leak_per_degree(face)[1, 1]], [leak_per_degree(face)[0, 0], 0]])
    assert depth(face, nose_tip(face).reshape(2, 1)) > depth(face, np.array([[0.5], [0.0]])) + 0.35


def test_too_little_to_see_is_refused():
    with pytest.raises(MagPlusError, match="px of the face can tell"):
        HeadAligner(STILL, FaceBox(cx=74, cy=80, width=10, height=12))
    with pytest.raises(MagPlusError, match="outside the picture"):
        HeadAligner(STILL, FaceBox(cx=800, cy=80, width=80, height=104))


def test_a_flat_face_moves_nowhere():
    flat = torch.full((3, *SIZE), 0.5)
    assert np.abs(HeadAligner(flat, BOX).pose(flat).transform - np.eye(2, 3)).max() < 1e-6


def test_landmarks_and_box_name_the_same_points():
    assert set(CANONICAL) == set(MESH)


def test_regions_lie_where_they_should_and_not_on_each_other():
    face = FaceMap.from_box(FaceBox(cx=100, cy=110, width=140, height=180, angle_deg=15))
    masks = {name: region_mask(face, name, (220, 200)) for name in REGIONS}

    def at(name, point):
        x, y = np.round(face.points[point]).astype(int)
        return float(masks[name][y, x])

    for name, point in [("brows", "left brow"), ("eyes", "right eye"), ("mouth", "left mouth corner")]:
        assert at(name, point) > 0.9
    assert at("chin", "chin") > 0.2 and at("nose", "nose base") > 0.5
    assert at("mouth", "right eye") == at("brows", "chin") == at("eyes", "left mouth corner") == 0
    for mask in masks.values():
        assert mask.min() == 0 and 0.999 < mask.max() <= 1
        assert (mask[:, 1:] - mask[:, :-1]).abs().max() < 0.3, "soft"
    overlap = torch.stack(list(masks.values())).sum(0)
    assert overlap.max() < 2.05


def test_what_is_rigid_holds_no_brow_eye_or_mouth():
    box = FaceBox(cx=100, cy=110, width=140, height=180)
    face = FaceMap.from_box(box)
    mask = rigid_mask(face, box, (220, 200))
    for point in ("left brow", "right eye", "left mouth corner", "chin"):
        x, y = np.round(face.points[point]).astype(int)
        assert mask[y, x] < 0.05
    x, y = np.round(nose_tip(face) * face.inter_ocular_px + face.points["left eye"]).astype(int)
    assert mask[y, 100] == 1 and mask[35, 100] > 0.9 and mask[5, 5] == 0
