"""Regions move as they were made to, and what is wrong with a clip is told apart from how it moves."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from magplus.models.geometry import FaceBox
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.face.anatomy import FaceMap, region_mask
from magplus.pipeline.face.depth import depth
from magplus.pipeline.measure import measure_clip
from magplus.pipeline.measure.grid import face_grid, mask_grid
from magplus.pipeline.measure.quality import QualityWatch
from magplus.pipeline.measure.regions import FACE, RegionShift, measure_regions
from magplus.pipeline.measure.stages import examine_stages
from synth import Texture, bump, displacement, micro_motion, render, scaled, shift, total

SIZE = (128, 128)
BOX = FaceBox(cx=64, cy=64, width=110, height=118)
MAP = FaceMap.from_box(BOX)
BROWS = total(*(bump(*MAP.points[f"{side} brow"], 12, 0.0, -1.0) for side in ("left", "right")))
BROWS_GRID = mask_grid(region_mask(MAP, "brows", SIZE), BOX)
MOUTH = bump(*MAP.points["right mouth corner"], 12, 0.8, -0.6)
EARLY, LATE = micro_motion(13, 0.35, 0.12), micro_motion(13, 0.65, 0.12)


def faces(size_px):
    """Brows and mouth corner move one after the other, by so many px."""
    texture = Texture(5)
    fields = [
        total(scaled(BROWS, float(size_px * a)), scaled(MOUTH, float(size_px * b)))
        for a, b in zip(EARLY, LATE, strict=True)
    ]
    return torch.stack([render(texture, field, *SIZE) for field in fields])


@pytest.mark.parametrize("size_px", [0.1, 0.5])
def test_each_region_has_the_course_of_its_own(size_px):
    found = measure_regions(TensorClip(faces(size_px), Fraction(50)), BOX, MAP, regions=("brows", "mouth"))
    assert list(found) == [FACE, "brows", "mouth"]
    for name, field, course in (("brows", BROWS, EARLY), ("mouth", MOUTH, LATE)):
        motion = found[name]
        grid = face_grid(displacement(field, *SIZE)[None], BOX)[0]
        truth = size_px * float((grid * motion.curve.weights).sum()) * BOX.width / 100 * course
        assert truth.max() > 0.5 * size_px
        assert np.abs(motion.curve.values_px - truth).max() < max(0.03 * truth.max(), 0.01)
    assert found["brows"].direction_deg == pytest.approx(-90, abs=4)
    assert found["mouth"].direction_deg == pytest.approx(-37, abs=6)
    assert np.hypot(*found["brows"].direction) > 0.95


def test_magnitude_has_no_sign_and_eyes_need_landmarks():
    landmarks = FaceMap(points=MAP.points, measured=True)
    found = measure_regions(TensorClip(faces(0.5)), BOX, landmarks, regions=("brows",))["brows"]
    assert found.magnitude_pct_face.min() >= 0
    assert found.magnitude_pct_face.argmax() == EARLY.argmax()
    assert found.values_pct_inter_ocular == pytest.approx(found.curve.values_px * 100 / MAP.inter_ocular_px)
    assert measure_regions(TensorClip(faces(0.5)[:3]), BOX, None).keys() == {FACE}


def test_the_shift_of_a_region_is_its_mean_motion_along_its_direction():
    mask = BROWS_GRID
    grid = face_grid(displacement(BROWS, *SIZE)[None], BOX)[0]
    mean = 0.5 * (grid * mask).sum((1, 2)) / mask.sum()
    found = measure_regions(TensorClip(faces(0.5), Fraction(50)), BOX, MAP, regions=("brows",))["brows"].shift
    assert np.hypot(*found.direction) == pytest.approx(1)
    assert found.direction[1] == pytest.approx(-1, abs=0.02)
    assert found.values_pct_face == pytest.approx(np.hypot(*mean) * EARLY, abs=0.03 * np.hypot(*mean))
    assert found.noise_floor_pct_face < 0.1 * found.values_pct_face.max()


def test_a_shift_takes_sign_or_direction_of_another_one():
    means = np.outer(np.array([0.0, 0.2, -1.0, 0.1]), [0.6, 0.8])
    alone = RegionShift.of(means)
    assert alone.values_pct_face[2] == pytest.approx(1) and alone.direction == pytest.approx((-0.6, -0.8))
    other = RegionShift(values_pct_face=means[:, 0], direction=(1.0, 0.0), noise_floor_pct_face=None)
    assert RegionShift.of(means, like=other).values_pct_face[2] == pytest.approx(-1)
    assert RegionShift.of(means, along=other).values_pct_face == pytest.approx(means[:, 0])


def test_a_weak_clip_is_shown_along_its_own_pattern_and_compared_along_its_magnified_one():
    """What is magnified is its noise, too: along that pattern gains are truer and a weak peak is too large."""
    weak, loud = (
        TensorClip(faces(s) + 0.003 * torch.randn((len(EARLY), 3, *SIZE), generator=torch.Generator().manual_seed(k)))
        for k, s in enumerate((0.5, 4.0))
    )
    clips, boxes = {"input": weak, "magnified": loud}, {"input": BOX, "magnified": BOX}
    found = examine_stages(clips, boxes, {}, quality=False)
    own, strong = measure_clip(weak, BOX), measure_clip(loud, BOX)
    assert np.array_equal(found["input"].curve.values_pct_face, own.values_pct_face)
    along = measure_clip(weak, BOX, along=strong)
    assert np.array_equal(found["input"].compared.values_pct_face, along.values_pct_face)
    assert not np.array_equal(along.values_pct_face, own.values_pct_face)
    assert found["magnified"].compared is found["magnified"].curve


def test_a_weak_motion_is_told_by_the_shift_where_its_pattern_is_noise():
    """0.1 px under noise of 0.01: the curve's peak is the noise that made its pattern, the shift's is nearer."""
    true = 0.1 * float(-(face_grid(displacement(BROWS, *SIZE)[None], BOX)[0][1] * BROWS_GRID).sum() / BROWS_GRID.sum())
    errors, frames = [], faces(0.1)
    for seed in range(2):
        noisy = frames + 0.01 * torch.randn(frames.shape, generator=torch.Generator().manual_seed(seed))
        found = measure_regions(TensorClip(noisy), BOX, MAP, regions=("brows",))["brows"]
        errors.append((found.curve.values_pct_face.max() - true, found.shift.values_pct_face.max() - true))
    curve, shifted = np.sqrt((np.array(errors) ** 2).mean(0))
    assert shifted < 0.5 * curve


def watched(frames, box=BOX):
    watch = QualityWatch()
    measure_regions(TensorClip(frames), box, None, watch=watch)
    return watch.finish()


def test_motion_is_no_change_of_looks_but_a_changed_face_is():
    moving = faces(0.5)
    calm = watched(moving)
    plain = float((moving[4] - moving[0]).square().mean().sqrt()) * 255
    assert calm.residual_levels.max() < 0.3 * plain
    assert calm.odd_frames == []
    strange = moving.clone()
    strange[7, :, 50:80, 50:80] *= 0.8
    assert watched(strange).odd_frames == [7]


def test_the_head_is_told_from_the_face():
    texture = Texture(5)
    nod = torch.stack([render(texture, shift(0.0, 1.1 * s), *SIZE) for s in (0.0, 0.5, 1.0)])
    moved = watched(nod)
    assert moved.pose_pct_face == pytest.approx([0, 0.5, 1.0], abs=0.03)
    assert watched(faces(0.5)).pose_pct_face.max() < 0.15
    assert np.abs(moved.roll_deg).max() < 0.05


def turned(yaw, pitch):
    """The face of `BOX` as a head of average depth that turns out of the picture plane."""
    middle, eyes_px = (MAP.points["left eye"] + MAP.points["right eye"]) / 2, MAP.inter_ocular_px

    def field(x, y):
        towards = eyes_px * depth(MAP, (np.stack([x, y]) - middle[:, None, None]) / eyes_px)
        return np.radians(yaw) * towards, np.radians(pitch) * towards

    return torch.stack([render(Texture(5), scaled(field, s), *SIZE) for s in (0.0, 0.5, 1.0)])


@pytest.mark.parametrize(("yaw", "pitch"), [(1.0, 0.0), (0.0, -0.8)])
def test_a_turn_out_of_the_plane_is_told_with_its_leak(yaw, pitch):
    """Half a degree moves the nose by 0.4 % of the distance of the eyes, a whole one twice as far."""
    found = watched(turned(yaw, pitch))
    assert found.yaw_deg == pytest.approx(yaw * np.array([0, 0.5, 1]), abs=0.12)
    assert found.pitch_deg == pytest.approx(pitch * np.array([0, 0.5, 1]), abs=0.12)
    told = found.numbers()
    assert told["pose_leak_pct_inter_ocular"] == pytest.approx(0.8 * max(abs(yaw), abs(pitch)), abs=0.12)
    assert told["pose_leak_pct_face"] == pytest.approx(0.47 * told["pose_leak_pct_inter_ocular"])
    shifted = torch.stack([render(Texture(5), shift(0.8 * s, -0.5 * s), *SIZE) for s in (0.0, 0.5, 1.0)])
    assert watched(shifted).numbers()["pose_leak_pct_inter_ocular"] < 0.06
    assert watched(faces(0.5)).numbers()["pose_leak_pct_inter_ocular"] < 0.3, "an expression is hardly a turn"


def test_what_changes_around_the_face_is_told():
    texture, box = Texture(5), FaceBox(cx=64, cy=64, width=64, height=64)
    inside, everywhere = (
        watched(torch.stack([render(texture, scaled(field, s), *SIZE) for s in (0.0, 1.0)]), box)
        for field in (bump(64, 64, 8, 0.5, 0.0), shift(0.5, 0.0))
    )
    assert inside.surroundings_levels[1] < 0.05 * everywhere.surroundings_levels[1]
    assert np.isnan(watched(faces(0.5)[:2]).surroundings_levels).all()  # this box fills its picture
