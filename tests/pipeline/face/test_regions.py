"""A factor for each part of the face."""

import pytest
import synth
import torch
from magplus.models.contracts import Framing
from magplus.models.errors import MagPlusError
from magplus.models.geometry import FaceBox
from magplus.models.lkmag.arch import builtin
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.face.anatomy import REGIONS, FaceMap
from magplus.pipeline.face.clip_crop import crop_track
from magplus.pipeline.face.regions import RegionStrengths, face_map, parse_regions, strongest
from magplus.pipeline.motion.magnify import magnify
from test_landmarks import SPOTS, mesh

BOX = FaceBox(cx=60, cy=64, width=84, height=110)
SIZE = (128, 120)
FACE = FaceMap.from_box(BOX)


def at(values, point):
    x, y = (round(float(v)) for v in FACE.points[point])
    return float(values[y, x])


def test_each_region_has_its_factor_and_the_rest_has_the_other():
    alphas = RegionStrengths(alphas={"brows": 12, "mouth": 4, "eyes": 1}).alpha_map(FACE, SIZE)
    assert at(alphas, "left brow") == pytest.approx(12, abs=0.01)
    assert at(alphas, "right mouth corner") == pytest.approx(4, abs=0.1)
    assert at(alphas, "right eye") < 2
    assert (alphas[:10] == 1).all() and at(alphas, "chin") == 1
    assert strongest(alphas) == pytest.approx(12, abs=0.01)


def test_every_region_can_be_told_alone():
    for name in REGIONS:
        strengths = RegionStrengths(alphas=dict.fromkeys(REGIONS, 2.0) | {name: 0.25}, outside=2.0)
        assert strengths.chosen == {name: 0.25}
        alphas = strengths.alpha_map(FACE, SIZE)
        assert alphas.max() == 2 and alphas.min() == pytest.approx(0.25, abs=0.01)
        assert strongest(alphas) == pytest.approx(0.25, abs=0.01)


def test_overlapping_regions_share_a_pixel():
    strengths = RegionStrengths(alphas=dict.fromkeys(REGIONS, 6.0))
    together = torch.stack(list(strengths.masks(FACE, SIZE).values())).sum(0)
    assert together.max() <= 1 + 1e-6
    assert strengths.alpha_map(FACE, SIZE).max() <= 6 + 1e-5


def test_regions_in_words():
    strengths = parse_regions("brows=12, mouth=4,outside=0.5")
    assert (strengths.alphas, strengths.outside) == ({"brows": 12, "mouth": 4}, 0.5)
    assert str(strengths) == "brows 12, mouth 4"
    for text, words in [
        ("brows", "REGION=FACTOR"), ("ears=2", "no region 'ears'.*brows, eyes"), ("brows=-1", "positive"),
        ("brows=1", "other than 'outside'"), ("brows=nan", "positive"),
    ]:  # fmt: skip
        with pytest.raises(MagPlusError, match=words):
            parse_regions(text)


def test_only_the_chosen_region_moves_more():
    """A push at a brow and one at the mouth; only the brow is magnified, and the mouth keeps its bits."""
    brow, mouth = FACE.points["left brow"], FACE.points["right mouth corner"]
    pushes = synth.bump(*brow, 6, 0.0, -0.25), synth.bump(*mouth, 6, 0.2, 0.0)
    frames = synth.clip(synth.total(*pushes), [0.0, 1.0], SIZE, seed=5)
    alphas = parse_regions("brows=8").alpha_map(FACE, SIZE)
    out = torch.cat(list(magnify(TensorClip(frames), builtin(), alpha=alphas)))
    assert torch.equal(out[0], frames[0])
    assert torch.equal(out[:, :, alphas == 1], frames[:, :, alphas == 1])
    expected = synth.clip(synth.total(synth.scaled(pushes[0], 8), pushes[1]), [1.0], SIZE, seed=5)[0]
    x, y = (round(float(v)) for v in brow)
    near = (slice(None), slice(y - 4, y + 5), slice(x - 6, x + 7))
    assert (out[1] - expected)[near].abs().mean() < 0.25 * (frames[1] - expected)[near].abs().mean()


def test_a_map_that_does_not_fit_is_refused():
    frames = TensorClip(synth.clip(synth.shift(0.1, 0), [0.0, 1.0], SIZE))
    with pytest.raises(MagPlusError, match="map of alpha has 10 x 20 px"):
        next(magnify(frames, builtin(), alpha=torch.ones(20, 10)))
    with pytest.raises(MagPlusError, match="alpha 50 is outside"):
        next(magnify(frames, builtin(), alpha=torch.full(SIZE, 50.0)))


def test_landmarks_place_the_regions_also_through_a_crop():
    landmarks = {"frames": [[{"landmarks_xy": mesh()}, {"landmarks_xy": mesh(centre=(400, 120)) * 1.5}]]}
    face = face_map(None, landmarks, count=3, reference=1)
    assert face.points["chin"] == pytest.approx((600, 270)), "the larger one"
    near = FaceBox(cx=140, cy=110, width=90, height=120)
    assert face_map(near, landmarks, count=3, reference=1).points["chin"] == pytest.approx((150, 180))
    info = TensorClip(torch.zeros(3, 3, 300, 400)).info
    crop = crop_track([near], info, Framing(scale=2, shift_y=0, size=480))
    inside = face_map(crop.box_in_crop(0), landmarks, crop, count=3, reference=2)
    moved = crop.crop(0).to_crop
    assert inside.points["chin"] == pytest.approx(moved[:, :2] @ (150, 180) + moved[:, 2])
    assert inside.inter_ocular_px == pytest.approx(2 * 2 * SPOTS["right eye"][0])


def test_a_crop_tells_the_face_by_itself():
    info = TensorClip(torch.zeros(1, 3, 300, 400)).info
    crop = crop_track([FaceBox(cx=150, cy=110, width=90, height=120)], info, Framing(scale=2, shift_y=0, size=240))
    face = face_map(None, None, crop, count=5, reference=3)
    assert (face.points["left eye"] + face.points["right eye"])[0] / 2 == pytest.approx(119.5)
    with pytest.raises(MagPlusError, match="Where is the face"):
        face_map(None, count=1, reference=0)
    with pytest.raises(MagPlusError, match="no face in frame 1"):
        face_map(None, {"frames": [[], []]}, count=2, reference=1)
