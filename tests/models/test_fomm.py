"""FOMM against the official code's outputs under deterministic weights, plain and folded."""

import detfill
import fomm_files
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from magplus.models.errors import MagPlusError
from magplus.models.fomm.arch import networks
from magplus.models.fomm.network import Fomm
from magplus.models.keypoints.motion import Keypoints, MotionOptions, movement_scale, transfer
from magplus.models.precision import has_bfloat16

KEYPOINT, DEFORMATION, FRAME = 1e-4, 1e-3, 2e-3
UPSTREAM = {
    "rel": {"relative": True, "adapt_movement_scale": True},
    "relnoscale": {"relative": True, "adapt_movement_scale": False},
    "abs": {"relative": False, "adapt_movement_scale": False},
}


@pytest.fixture(scope="module")
def arrays():
    return detfill.golden("fomm")[0]


@pytest.fixture(scope="module")
def source():
    return detfill.probe(256, 1)[None]


@pytest.fixture(scope="module")
def driving():
    return detfill.driving(256)


@pytest.fixture(scope="module")
def plain():
    return networks(fomm_files.flat())


@pytest.fixture(scope="module")
def fast():
    return fomm_files.backbone()


def with_options(fast, align_corners=False, **options):
    """The same networks behind other options."""
    fast.generator.align_corners = align_corners
    return Fomm(fast.detector, fast.generator, MotionOptions(**options))


def close(found, array, tolerance):
    np.testing.assert_allclose(found.detach().numpy(), np.asarray(array, np.float32), atol=tolerance, rtol=0)


def check_clip(backbone, arrays, source, driving, name):
    state = backbone.set_reference(backbone.encode_source(source, {}), driving[0], {})
    frames = backbone.drive(state, driving, {}).frames
    for index, frame in enumerate(frames):
        close(frame[:, ::2, ::2].permute(1, 2, 0), arrays[f"anim_{name}_{index}_s2_f16"], FRAME)


@pytest.mark.parametrize("mode", ["rel", "abs"])
def test_plain_motion_and_picture(arrays, source, driving, plain, mode):
    detector, generator = plain
    with torch.no_grad():
        of_source, of_reference, of_frame = (detector(p[None]).keypoints for p in (source[0], driving[0], driving[1]))
        options = MotionOptions(**UPSTREAM[mode])
        goal = transfer(of_source, of_reference, of_frame, options, scale=movement_scale(of_source, of_reference))
        motion = generator.motion(generator.dense_motion_network.down(source), of_source, goal)
        whole = F.interpolate(
            motion.deformation.permute(0, 3, 1, 2), size=(256, 256), mode="bilinear", align_corners=False
        )
        deformed = F.grid_sample(source, whole.permute(0, 2, 3, 1), align_corners=False)
    close(motion.deformation[0], arrays[f"{mode}_drv1_deformation"], DEFORMATION)
    close(motion.occlusion[0, 0], arrays[f"{mode}_drv1_occlusion"], DEFORMATION)
    assert (motion.mask[0].argmax(0).numpy() == arrays[f"{mode}_drv1_mask_argmax"]).mean() > 0.999
    close(deformed[0, :, ::4, ::4], arrays[f"{mode}_drv1_deformed_s4"], FRAME)
    if mode == "rel":
        with torch.no_grad():
            picture = generator(source, of_source, goal)
        close(picture[0], arrays["rel_drv1_prediction_full_f16"], FRAME)


@pytest.mark.parametrize("mode", UPSTREAM)
def test_the_folded_networks_give_the_same_clips(arrays, source, driving, fast, mode):
    check_clip(with_options(fast, **UPSTREAM[mode]), arrays, source, driving, mode)


def test_corner_aligned_sampling(arrays, source, driving, fast):
    check_clip(with_options(fast, align_corners=True, **UPSTREAM["rel"]), arrays, source, driving, "rel_aligned")
    fast.generator.align_corners = False


@pytest.mark.heavy
@pytest.mark.parametrize("align_corners", [False, True])
def test_the_plain_networks_give_the_same_clips(arrays, source, driving, plain, align_corners):
    detector, generator = plain
    generator.align_corners = align_corners
    names = ["rel_aligned"] if align_corners else list(UPSTREAM)
    for name in names:
        options = MotionOptions(**UPSTREAM[name.removesuffix("_aligned")])
        check_clip(Fomm(detector, generator, options), arrays, source, driving, name)
    generator.align_corners = False


def small_clip(fast, frames=4):
    """A portrait and frames of 128 px: everything but the trained size."""
    return fast, detfill.probe(128, 1)[None], torch.cat([detfill.driving(128), detfill.probe(128, 5)[None]])[:frames]


def test_batches_order_and_other_clips_do_not_change_a_frame(fast):
    backbone, source, frames = small_clip(fast)
    state = backbone.encode_source(source, {})
    first, second = (backbone.set_reference(state, frames[i], {}) for i in (0, 3))
    together = backbone.drive(first, frames, {}).frames
    for index in (2, 0, 3, 1):
        backbone.drive(second, frames[:1], {})
        alone = backbone.drive(first, frames[index : index + 1], {}).frames[0]
        assert (alone - together[index]).abs().max() < 1e-5


def test_the_reference_frame_gives_the_portrait_without_motion(fast):
    backbone, source, frames = small_clip(fast)
    encoded = backbone.encode_source(source, {})
    still = backbone.generator.render(
        encoded.features, backbone.generator.motion(encoded.small, encoded.keypoints, encoded.keypoints)
    )
    for reference in (0, 2):
        state = backbone.set_reference(encoded, frames[reference], {})
        made = backbone.drive(state, frames[reference : reference + 1], {}).frames
        assert (made - still).abs().max() < 1e-4


def test_motion_strength_scales_what_the_generator_is_asked_for(fast):
    _, source, frames = small_clip(fast)
    for options in (MotionOptions(), MotionOptions(relative=False)):
        chosen = with_options(fast, relative=options.relative)
        state = chosen.set_reference(chosen.encode_source(source, {}), frames[0], {})
        made = [chosen.drive(state, frames[1:2], {"motion_strength": s}).frames for s in (0.0, 0.25, 0.5, 1.0)]
        away = [(frame - made[0]).abs().mean().item() for frame in made]
        assert 0 < away[1] < away[2] < away[3]
        assert torch.equal(made[3], chosen.drive(state, frames[1:2], {}).frames)


def test_a_degenerate_driver_stays_finite(fast):
    backbone, source, frames = small_clip(fast)
    encoded = backbone.encode_source(source, {})
    flat = Keypoints(value=torch.zeros(1, 10, 2), jacobian=torch.zeros(1, 10, 2, 2))
    motion = backbone.generator.motion(encoded.small, encoded.keypoints, flat)
    assert torch.isfinite(backbone.generator.render(encoded.features, motion)).all()
    black = backbone.set_reference(encoded, torch.zeros(3, 128, 128), {})
    assert torch.isfinite(backbone.drive(black, frames, {}).frames).all()


def test_best_is_the_frame_most_like_the_portrait(fast):
    backbone, source, frames = small_clip(fast)
    clip = torch.cat([frames, source, frames])
    assert backbone.choose_reference(backbone.encode_source(source, {}), clip.split(2)) == len(frames)


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
def test_bfloat16_stays_near(fast):
    exact, source, frames = small_clip(fast, 2)
    rough = fomm_files.backbone(precision="bfloat16")
    pictures = []
    for backbone in (exact, rough):
        state = backbone.set_reference(backbone.encode_source(source, {}), frames[0], {})
        pictures.append(backbone.drive(state, frames, {}).frames)
    assert pictures[1].dtype == torch.float32
    difference = (pictures[1] - pictures[0]).abs()
    assert 0 < difference.mean() < 4e-3 and difference.max() < 0.05
    assert torch.equal(rough.detector(frames).keypoints.value, exact.detector(frames).keypoints.value)


def test_sizes_and_precisions_it_cannot_take(fast):
    with pytest.raises(MagPlusError, match="multiples of 128"):
        fast.encode_source(torch.rand(1, 3, 192, 256), {})
    with pytest.raises(MagPlusError, match="one source"):
        fast.encode_source(torch.rand(2, 3, 128, 128), {})
    half = fomm_files.backbone(precision="float16")
    with pytest.raises(MagPlusError, match="needs a GPU"):
        half.encode_source(torch.rand(1, 3, 128, 128), {})
