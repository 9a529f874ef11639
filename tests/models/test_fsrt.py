"""FSRT against the official code's outputs under deterministic weights."""

import subprocess
import sys

import detfill
import fsrt_files
import fsrt_plain
import numpy as np
import pytest
import torch
from magplus.models.errors import MagPlusError
from magplus.models.fsrt.decoder import pixels_at_once
from magplus.models.fsrt.encoding import encode, encode_keypoints, encode_pixels
from magplus.models.fsrt.network import Fsrt, FsrtOptions
from magplus.models.keypoints.motion import MotionOptions
from magplus.models.precision import has_bfloat16

KEYPOINT, EXPRESSION, TOKEN, FRAME = 1e-4, 1e-3, 1e-3, 4e-3
UPSTREAM = {
    "rel": MotionOptions(relative=True, adapt_movement_scale=True),
    "abs": MotionOptions(relative=False),
}


@pytest.fixture(scope="module")
def arrays():
    return detfill.golden("fsrt")[0]


@pytest.fixture(scope="module")
def fsrt():
    return fsrt_files.backbone()


def sources(size):
    return torch.stack([detfill.probe(size, 1), detfill.probe(size, 2)])


def with_options(fsrt, motion=None, **options):
    """The same networks behind other options."""
    nets = (fsrt.detector, fsrt.expressions, fsrt.encoder, fsrt.decoder)
    return Fsrt(*nets, FsrtOptions(motion=motion or MotionOptions(), **options))


def close(found, array, tolerance):
    np.testing.assert_allclose(found.detach().numpy(), np.asarray(array, np.float32), atol=tolerance, rtol=0)


def colours(backbone, state, frame, pixels=None, strength=1.0):
    """Of some pixels of the picture for a frame, before the clamp."""
    with torch.no_grad():
        goal, expression = backbone.goal(state, frame[None], strength)
        source = state.source
        return backbone.decoder(source.memory, source.places, goal.value, expression, pixels=pixels)


def every_second(size):
    """Numbers of the pixels in every second row and column."""
    return torch.arange(size * size).view(size, size)[::2, ::2].flatten()


def started(backbone, size, count=1):
    """Frames, and the state that drives with them, reference 0."""
    frames = detfill.driving(size)
    return frames, backbone.set_reference(backbone.encode_source(sources(size)[:count], {}), frames[0], {})


@pytest.mark.parametrize(("size", "names"), [(128, ["src1", "src2", "drv0", "drv1", "drv2"]), (256, ["src1", "drv0"])])
def test_keypoints_and_expressions(arrays, fsrt, size, names):
    pictures = torch.cat([sources(size)[: len(names) - 3 if size == 128 else 1], detfill.driving(size)])
    with torch.no_grad():
        found = fsrt.detector(pictures)
        expressions = fsrt.expressions(found)
    for index, name in enumerate(names):
        close(found.keypoints.value[index], arrays[f"h{size}_{name}_kp"], KEYPOINT)
        close(expressions[index], arrays[f"h{size}_{name}_expr"], EXPRESSION)
    if size == 128:
        close(found.heatmaps[0, 0], arrays["h128_src1_heatmap_kp0"], KEYPOINT)
        close(encode_keypoints(found.keypoints.value[:1])[0], arrays["h128_posenc_kp_part_px0"], 1e-3)
        close(encode_pixels(128, 128, pictures.device)[:, 3, 5], arrays["h128_posenc_pix_part_px_y3_x5"], 1e-4)


@pytest.mark.parametrize(("size", "count"), [(128, 8), (256, 4)])
def test_scene_tokens(arrays, fsrt, size, count):
    picture = sources(size)[:1]
    with torch.no_grad():
        found = fsrt.detector(picture)
        scene = fsrt.encoder(picture, found.keypoints.value, fsrt.expressions(found))
    close(scene[0, :count], arrays[f"h{size}_z_first{count}"], TOKEN)


def test_a_whole_picture(arrays, fsrt):
    backbone = with_options(fsrt, UPSTREAM["rel"])
    frames, state = started(backbone, 128)
    close(backbone.goal(state, frames[1:2])[0].value[0], arrays["h128_rel_drv1_kpnorm"], KEYPOINT)
    made = backbone.drive(state, frames[1:2], {}).frames
    assert made.shape == (1, 3, 128, 128) and made.min() >= 0 and made.max() <= 1
    close(made[0].permute(1, 2, 0), arrays["h128_anim_rel_1_s1_f16"], FRAME)


@pytest.mark.parametrize(
    ("mode", "indices", "count", "name"),
    [("rel", (0, 2), 1, "rel"), ("abs", (0, 1, 2), 1, "abs"), ("rel", (0, 1), 2, "rel2src")],
)
def test_every_second_pixel_with_one_and_two_sources(arrays, fsrt, mode, indices, count, name):  # noqa: PLR0917
    backbone = with_options(fsrt, UPSTREAM[mode])
    frames, state = started(backbone, 128, count)
    for index in indices:
        made = colours(backbone, state, frames[index], every_second(128)).view(64, 64, 3)
        close(made.clamp(0, 1), arrays[f"h128_anim_{name}_{index}_s2_f16"], FRAME)


def test_rows_at_the_trained_size(arrays, fsrt):
    backbone = with_options(fsrt, UPSTREAM["rel"])
    frames, state = started(backbone, 256)
    goal, expression = backbone.goal(state, frames[1:2])
    close(goal.value[0], arrays["h256_rel_drv1_kpnorm"], KEYPOINT)
    close(backbone.goal(state, frames[:1])[1][0], arrays["h256_drv0_expr"], EXPRESSION)
    close(expression[0], arrays["h256_drv1_expr"], EXPRESSION)
    made = colours(backbone, state, frames[1], torch.arange(100 * 256, 104 * 256)).view(4, 256, 3)
    close(made, arrays["h256_rel_drv1_rows100_103_raw"], 1e-4)
    close(made.clamp(0, 1), arrays["h256_rel_drv1_rows100_103_f16"], FRAME)


@pytest.mark.heavy
def test_a_whole_picture_at_the_trained_size(arrays, fsrt):
    backbone = with_options(fsrt, UPSTREAM["rel"])
    frames, state = started(backbone, 256)
    made = backbone.drive(state, frames[1:2], {}).frames[0]
    close(made[:, ::2, ::2].permute(1, 2, 0), arrays["h256_rel_drv1_s2_f16"], FRAME)


def test_the_plain_decoder_gives_the_same(arrays, fsrt):
    """The baseline of the benchmark passes the same golden."""
    backbone = with_options(fsrt, UPSTREAM["rel"])
    frames, state = started(backbone, 128)
    picture = sources(128)[:1]
    with torch.no_grad():
        found = fsrt.detector(picture)
        scene = fsrt.encoder(picture, found.keypoints.value, fsrt.expressions(found))
        goal, expression = backbone.goal(state, frames[2:3])
        plain = fsrt_plain.colours(
            fsrt.decoder, scene, goal.value, expression, 128, chunk=1024, pixels=every_second(128)
        )
    close(plain.view(64, 64, 3).clamp(0, 1), arrays["h128_anim_rel_2_s2_f16"], FRAME)
    close(plain, colours(backbone, state, frames[2], every_second(128)).numpy(), 1e-4)


def test_the_memory_it_may_take_does_not_change_the_picture(fsrt):
    frames, state = started(fsrt, 128)
    source, pixels = state.source, torch.arange(3000, 5200)
    with torch.no_grad():
        goal, expression = fsrt.goal(state, frames[1:2])

        def of(pixels, **limit):
            return fsrt.decoder(source.memory, source.places, goal.value, expression, pixels=pixels, **limit)

        whole = of(pixels)
        assert len({pixels_at_once(limit, 256, pixels.device) for limit in (1, 32, 1024)}) == 3
        for limit in (1, 32):
            assert (of(pixels, max_memory_mb=limit) - whole).abs().max() < 1e-5
        alone = torch.cat([of(pixels[at : at + 1]) for at in range(0, len(pixels), 50)])
        assert (alone - whole[::50]).abs().max() < 1e-5


MEASURE = """
import sys
sys.path.insert(0, sys.argv[1])
import conftest, torch
from magplus.models.fsrt import decoder as module
torch.set_num_threads(1)
module.CACHED = 10**9
decoder = module.PixelDecoder().requires_grad_(False)
memory = decoder.remember(torch.rand(1, 1024, 768))
places = decoder.places(256, 256, torch.device("cpu"))
peaks = []
for limit in (6, 24, 96):
    count = module.pixels_at_once(limit, 1024, torch.device("cpu"))
    decoder(memory, places, torch.rand(1, 10, 2), torch.rand(1, 256), pixels=torch.arange(count), max_memory_mb=limit)
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    peaks.append(int(line.split()[1]) / 1024)
print(*peaks)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from Linux")
def test_decoding_stays_within_the_memory_it_may_take(root):
    """Peaks of a fresh process, after as many pixels as are taken for 6, 24 and 96 MB."""
    found = subprocess.run([sys.executable, "-c", MEASURE, root / "tests"], capture_output=True, check=True, text=True)
    before, small, large = (float(word) for word in found.stdout.split())
    assert small - before < 24 and large - before < 96
    assert large - small > 20, "the memory it may take is used"


def test_one_frame_does_not_disturb_another(fsrt):
    frames, state = started(fsrt, 128)
    other = fsrt.set_reference(state.source, frames[2], {})
    few = torch.arange(0, 128 * 128, 37)
    first = colours(fsrt, state, frames[1], few)
    colours(fsrt, other, frames[0], few)
    assert torch.equal(first, colours(fsrt, state, frames[1], few))


def test_motion_strength_goes_from_the_portrait_to_the_goal(fsrt):
    for motion in (MotionOptions(), MotionOptions(relative=False)):
        for relative_expression in (False, True):
            backbone = with_options(fsrt, motion, relative_expression=relative_expression)
            frames, state = started(backbone, 128)
            whole, expression = backbone.goal(state, frames[1:2])
            for part in (0.0, 0.5, 2.0):
                goal, mixed = backbone.goal(state, frames[1:2], part)
                torch.testing.assert_close(goal.value, torch.lerp(state.source.keypoints.value, whole.value, part))
                torch.testing.assert_close(mixed, torch.lerp(state.source.expression, expression, part))


def test_motion_strength_reaches_the_picture(fsrt):
    frames, state = started(fsrt, 128)
    few = torch.arange(0, 128 * 128, 61)
    still, half, whole = (colours(fsrt, state, frames[1], few, strength) for strength in (0.0, 0.5, 1.0))
    assert 0 < (half - still).abs().mean() < (whole - still).abs().mean()
    assert torch.equal(whole, colours(fsrt, state, frames[1], few))
    assert torch.equal(still, colours(fsrt, state, frames[2], few, 0.0))


def test_a_relative_expression_leaves_the_portrait_its_own(fsrt):
    backbone = with_options(fsrt, relative_expression=True)
    frames, state = started(backbone, 128)
    goal, expression = backbone.goal(state, frames[:1])
    torch.testing.assert_close(goal.value, state.source.keypoints.value)
    torch.testing.assert_close(expression, state.source.expression)
    absolute = with_options(fsrt).goal(state, frames[1:2])[1]
    torch.testing.assert_close(
        backbone.goal(state, frames[1:2])[1] - expression, absolute - state.expression, atol=1e-5, rtol=0
    )


def test_best_is_the_frame_most_like_the_portrait(fsrt):
    frames, state = started(fsrt, 128)
    clip = torch.cat([frames, sources(128)[:1], frames])
    assert fsrt.choose_reference(state.source, clip.split(2)) == len(frames)


def test_positions_are_encoded_in_float32():
    places = torch.rand(5, 2).half()
    assert torch.equal(encode(places, 16), encode(places.float(), 16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(encode_pixels(8, 8, places.device), encode_pixels(8, 8, places.device).float())


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
def test_bfloat16_stays_near(fsrt):
    rough = fsrt_files.backbone(precision="bfloat16")
    few = torch.arange(0, 128 * 128, 31)
    frames, state = started(fsrt, 128)
    exact = colours(fsrt, state, frames[1], few)
    frames, state = started(rough, 128)
    assert state.source.memory[0][0].dtype == torch.bfloat16
    made = colours(rough, state, frames[1], few)
    assert made.dtype == torch.float32
    difference = (made - exact).abs()
    assert 0 < difference.mean() < 0.01 and difference.max() < 0.06
    assert torch.equal(rough.goal(state, frames[1:2])[0].value, fsrt.goal(state, frames[1:2])[0].value)


def test_sizes_sources_and_precisions_it_cannot_take(fsrt):
    with pytest.raises(MagPlusError, match="multiples of 128"):
        fsrt.encode_source(torch.rand(1, 3, 64, 64), {})
    for count in (0, 9):
        with pytest.raises(MagPlusError, match="1 to 8 source"):
            fsrt.encode_source(torch.rand(count, 3, 128, 128), {})
    half = fsrt_files.backbone(precision="float16")
    with pytest.raises(MagPlusError, match="needs a GPU"):
        half.encode_source(torch.rand(1, 3, 128, 128), {})
