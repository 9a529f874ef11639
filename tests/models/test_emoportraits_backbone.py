"""EMOPortraits as a backbone: head pose, expression, masks, green. Heavy networks have light ones in their place."""

import math

import detfill
import emoportraits_files as files
import emoportraits_small as small
import pytest
import torch
from magplus.models.emoportraits import pose
from magplus.models.emoportraits.arch import HEAD_POSE
from magplus.models.emoportraits.green import FACE, cut_out
from magplus.models.errors import MagPlusError
from magplus.pipeline.motion.fitting import fitting

UPSTREAM = {"head_pose": "driver", "face_crop": "follow", "expression": "absolute", "background": "green"}


@pytest.fixture(scope="module", autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def source():
    return detfill.probe(512, 1)[None]


@pytest.fixture(scope="module")
def frames():
    return detfill.driving(512)


@pytest.fixture(scope="module")
def about_source():
    return {"source_mask": files.source_mask(), "source_theta": files.theta("src")[0]}


def turned(*angles, scale=(1.0, 1.0, 1.0)):
    """A head pose ``(4, 4)`` by its angles."""
    return pose.pose_matrix(torch.tensor([scale]), torch.tensor([angles]), torch.zeros(1, 3))[0]


THETAS = torch.stack([turned(0.0, 0.1, 0.0), turned(0.02, 0.15, -0.05), turned(-0.1, 0.05, 0.1)])


def drive(backbone, source, frames, about_source, thetas=THETAS, *, reference=0, **more):
    state = backbone.encode_source(source, about_source)
    state = backbone.set_reference(state, frames[reference], {"driving_theta": thetas[reference]})
    return backbone.drive(state, frames, {"driving_theta": thetas, **more})


def still(backbone, source, about_source):
    """The portrait with its own expression and head pose, as the network makes it."""
    own = backbone.encode_source(source, about_source)
    embedding = backbone.parts.warp_embedding(own.identity, own.expression)
    return backbone.parts.picture(own.volume, embedding, own.theta).clamp(0, 1)


def test_the_reference_frame_gives_the_portraits_own_expression(source, frames, about_source):
    backbone = small.backbone(background="green")
    for reference in (0, 2):
        made = drive(backbone, source, frames, about_source, reference=reference).frames
        assert (made[reference] - still(backbone, source, about_source)).abs().max() < 1e-5
        assert (made[1] - made[reference]).abs().mean() > 1e-4


def test_strengths_scale_the_expression_in_the_models_own_space(source, frames, about_source):
    base = still(small.backbone(), source, about_source)

    about_driver = {"driving_theta": THETAS[0]}

    def away(strength=1.0, **options):
        backbone = small.backbone(background="green", **options)
        state = backbone.set_reference(backbone.encode_source(source, about_source), frames[0], about_driver)
        made = backbone.drive(state, frames[1:2], {**about_driver, "motion_strength": strength}).frames
        return made[0] - base[0]

    inside, outside = away(expression_strength=0.25), away(0.25)
    assert torch.allclose(inside, outside, atol=1e-6)
    for options in ({}, {"expression": "absolute"}):
        sizes = [away(s, **options).abs().mean().item() for s in (0.0, 0.25, 0.5, 1.0)]
        assert sizes[0] < 1e-6 < sizes[1] < sizes[2] < sizes[3]
        assert sizes[2] / sizes[3] == pytest.approx(0.5, abs=0.15), "the warp is smooth, so nearly in proportion"


def test_upstreams_settings_are_its_formula(source, frames, about_source):
    """The driver's crop is taken by the mixed pose too; its expression meets the portrait's identity."""
    backbone = small.backbone(**UPSTREAM)
    made = drive(backbone, source, frames, about_source).frames
    own, parts = backbone.encode_source(source, about_source), backbone.parts
    mixed = pose.mixed_pose(own.theta, THETAS)
    expression = parts.expression_embedder_nw(frames, mixed)
    expected = parts.picture(
        own.volume.expand(3, -1, -1, -1, -1), parts.warp_embedding(own.identity, expression), mixed
    )
    assert torch.allclose(made, expected.clamp(0, 1), atol=1e-5)
    other = parts.expression_embedder_nw(frames, THETAS)
    assert (other - expression).abs().max() > 1e-3, "with the pose as it is found, the crop would be another one"


def test_a_trembling_head_pose_drowns_micro_motion_and_a_frozen_one_does_not_tremble(source, frames, about_source):
    """A tenth of a degree of jitter, less than such regressors have, on a driver that does not move at all."""
    noise = math.radians(0.1) * torch.randn(6, 3)
    thetas = torch.stack([turned(*angles) for angles in noise])
    held = frames[:1].expand(6, -1, -1, -1)
    trembling = drive(small.backbone(**UPSTREAM), source, held, about_source, thetas).frames
    frozen = drive(small.backbone(), source, held, about_source, thetas).frames
    assert torch.equal(frozen[1:], frozen[:1].expand(5, -1, -1, -1))
    # Where the head's outline, 200 px from its middle, is carried to: more than a micro-expression of 0.2 px.
    edge = torch.tensor([200 / 256, 0.0, 0.0, 1.0])
    places = torch.stack([theta[:2] @ edge for theta in thetas]) * 256
    assert places.std(0).norm() > 0.2
    micro_motion = 0.2 * frozen[0].diff(dim=-1).abs().mean()
    assert (trembling[1:] - trembling[:1]).abs().mean() > micro_motion


def test_a_smoothed_pose_is_upstreams_running_mean_whatever_the_chunks(source, frames, about_source):
    backbone = small.backbone(**UPSTREAM | {"head_pose": "smoothed"})
    together = drive(backbone, source, frames, about_source).frames
    state = backbone.encode_source(source, about_source)
    state = backbone.set_reference(state, frames[0], {"driving_theta": THETAS[0]})
    parts = [backbone.drive(state, frames[i : i + 1], {"driving_theta": THETAS[i : i + 1]}).frames for i in range(3)]
    assert torch.allclose(torch.cat(parts), together, atol=1e-6)
    mean = THETAS.clone()
    for index in (1, 2):
        mean[index] = 0.5 * mean[index - 1] + 0.5 * THETAS[index]
    by_hand = drive(small.backbone(**UPSTREAM), source, frames, about_source, mean).frames
    assert torch.allclose(together, by_hand, atol=1e-5)


def test_with_a_fixed_crop_the_expression_is_read_in_one_place(source, frames, about_source):
    fixed = small.backbone(expression="absolute")
    first = drive(fixed, source, frames, about_source).frames
    others = torch.stack([THETAS[0], turned(0.3, 0.3, 0.3), turned(-0.3, 0.2, 0.1)])
    assert torch.equal(first, drive(fixed, source, frames, about_source, others).frames)
    follow = small.backbone(expression="absolute", face_crop="follow")
    assert not torch.allclose(first, drive(follow, source, frames, about_source, others).frames, atol=1e-4)


def test_frames_do_not_depend_on_each_other(source, frames, about_source):
    backbone = small.backbone(**UPSTREAM)
    encoded = backbone.encode_source(source, about_source)
    first, second = (backbone.set_reference(encoded, frames[i], {"driving_theta": THETAS[i]}) for i in (0, 2))
    together = backbone.drive(first, frames, {"driving_theta": THETAS}).frames
    for index in (2, 0, 1):
        backbone.drive(second, frames[:1], {"driving_theta": THETAS[:1]})
        alone = backbone.drive(first, frames[index : index + 1], {"driving_theta": THETAS[index : index + 1]}).frames[0]
        assert torch.equal(alone, together[index])


def test_what_the_mask_leaves_out_plays_no_part(source, frames, about_source, caplog):
    backbone = small.backbone(files.network(HEAD_POSE))
    masked = {"source_mask": files.source_mask()}
    other = torch.where(files.source_mask() > 0, source, 1 - source)
    first, second = (backbone.encode_source(picture, masked) for picture in (source, other))
    for name in ("theta", "identity", "expression", "volume"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name
    assert "source_mask" not in caplog.text
    third = backbone.encode_source(other, {})
    assert not torch.equal(third.volume, first.volume) and not torch.equal(third.theta, first.theta)
    assert "what is behind the portrait becomes part of the head" in caplog.text


def test_without_the_regressor_the_head_is_canonical_with_a_warning(source, frames, about_source, caplog):
    backbone = small.backbone()
    state = backbone.encode_source(source, {"source_mask": files.source_mask()})
    assert torch.equal(state.theta[0], torch.eye(4)) and "nor source_theta" in caplog.text
    caplog.clear()
    made = backbone.drive(backbone.set_reference(state, frames[0], {}), frames, {}).frames
    assert made.shape == frames.shape and caplog.text.count("nor driving_theta") == 1
    caplog.clear()
    drive(backbone, source, frames, about_source)
    small.backbone(files.network(HEAD_POSE)).encode_source(source, {"source_mask": files.source_mask()})
    assert "regressor" not in caplog.text


def test_the_regressor_is_asked_where_no_pose_is_given(source, frames, about_source):
    regressor = files.network(HEAD_POSE)
    found = drive(small.backbone(regressor, **UPSTREAM), source, frames, about_source, regressor(frames)).frames
    backbone = small.backbone(regressor, **UPSTREAM)
    state = backbone.set_reference(backbone.encode_source(source, about_source), frames[0], {})
    assert torch.allclose(backbone.drive(state, frames, {}).frames, found, atol=1e-5)


def test_half_of_a_head_motion_is_half_of_the_way():
    start, goal = turned(0.1, -0.2, 0.0)[None], turned(0.1, 0.4, 0.0, scale=(1.1, 1.1, 1.1))[None]
    goal = pose.from_parts(goal[:, :3, :3], torch.tensor([[0.2, 0.0, -0.1]]))
    assert torch.allclose(pose.pose_between(start, goal, 1.0), goal, atol=1e-6)
    assert torch.allclose(pose.pose_between(start, goal, 0.0), start, atol=1e-6)
    half = pose.pose_between(start, goal, 0.5)
    turn = half[0, :3, :3] / half[0, :3, :3].norm(dim=1, keepdim=True)
    assert torch.allclose(turn, turned(0.1, 0.1, 0.0)[:3, :3], atol=2e-3)
    place = torch.linalg.solve(half[0, :3, :3], half[0, :3, 3])
    assert torch.allclose(place, torch.tensor([0.1, 0.0, -0.05]), atol=1e-6)
    far = pose.pose_between(start, goal, 3.0)[0, :3, :3]
    assert far.norm() == pytest.approx(goal[0, :3, :3].norm().item(), rel=1e-5), "size is no motion"


def test_green_is_taken_out_and_leaves_no_seam():
    # The wall's green lies below its red too: what is greener than a face in the result is a seam.
    face, wall = torch.tensor([0.8, 0.6, 0.5]), torch.tensor([0.35, 0.3, 0.7])
    coverage = torch.linspace(0, 1, 101)[None, None, :]
    mixed = lambda back: coverage * face[:, None, None] + (1 - coverage) * back[:, None, None]  # noqa: E731
    pictures, mask = cut_out(mixed(torch.tensor([0.0, 1.0, 0.0]))[None])
    assert mask.min() == 0 and mask.max() == 1 and (mask[0].diff() >= 0).all()
    laid = mask[:, None] * pictures + (1 - mask[:, None]) * wall[:, None, None]
    assert (laid[0] - mixed(wall)).abs().max() < 0.15, "skin is redder than green, which makes its edge a little wider"
    seam = laid[0, 1] - torch.maximum(laid[0, 0], laid[0, 2])
    assert seam.max() < FACE + 1e-6, "nowhere greener than a face may be"
    assert torch.equal(pictures[0, :, 0, -1], face) and torch.equal(cut_out(mixed(face)[None])[0][0], mixed(face))


def test_pictures_are_given_with_their_mask(source, frames, about_source):
    for background in ("green", "removed"):
        made = drive(small.backbone(background=background), source, frames, about_source)
        assert made.mask.shape == (3, 512, 512) and made.mask.min() >= 0 and made.mask.max() <= 1
    green = drive(small.backbone(background="green"), source, frames, about_source)
    assert torch.equal(cut_out(green.frames)[0], made.frames) and torch.equal(green.mask, made.mask)


def test_progress_while_the_portrait_is_encoded(source, about_source):
    """After every block; what is left behind on the networks afterwards would tick for the next portrait too."""
    backbone = small.backbone(volume_source_nw=files.network("volume_source_nw"))
    ticks = []
    ticking = fitting(backbone, progress=lambda *tick: ticks.append(tick))
    state = ticking.encode_source(source, about_source)
    assert ticks == [("encode", 1, 3), ("encode", 2, 3), ("encode", 3, 3)]
    assert torch.equal(backbone.encode_source(source, about_source).volume, state.volume) and len(ticks) == 3


def test_what_it_cannot_take(source, about_source):
    backbone = small.backbone()
    with pytest.raises(MagPlusError, match=r"640 x 512 px: give squares of 512"):
        backbone.encode_source(torch.rand(1, 3, 512, 640), {})
    with pytest.raises(MagPlusError, match="one source picture, not 2"):
        backbone.encode_source(torch.rand(2, 3, 512, 512), {})
    with pytest.raises(MagPlusError, match=r"source_mask has the shape \(256, 512\)"):
        backbone.encode_source(source, about_source | {"source_mask": torch.ones(256, 512)})
