"""EMOPortraits' networks against the official code's outputs under deterministic weights, in their plainest form."""

import detfill
import emoportraits_files as files
import emoportraits_small as small
import numpy as np
import pytest
import torch
from magplus.models.emoportraits import pose
from magplus.models.emoportraits.arch import HEAD_POSE

# Of the largest value of an array, as the goldens state them.
EXACT, MODULE, FRAME = 1e-5, 2e-4, 2e-3


@pytest.fixture(scope="module", autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def arrays():
    return detfill.golden("emoportraits")[0]


def close(found, array, tolerance):
    array = np.asarray(array, np.float32)
    np.testing.assert_allclose(found.detach().numpy(), array, atol=tolerance * np.abs(array).max(), rtol=0)


def test_head_pose(arrays):
    found = files.network(HEAD_POSE)
    pictures = detfill.probe_of((2, 3, 512, 512), 11)
    for name, value in zip(("scale", "rotation", "translation"), found.parts(pictures), strict=True):
        close(value, arrays[f"hp_{name}"], EXACT)
    close(found(pictures), arrays["hp_theta"], EXACT)


def test_poses_and_mixed_poses(arrays):
    for name in ("src", "drv0", "drv1"):
        close(files.theta(name), arrays[f"theta_{name}"], EXACT)
    drivers = torch.cat([files.theta("drv0"), files.theta("drv1")])
    for size, old in (("driver", 0), ("source", 1)):
        for index, mixed in enumerate(pose.mixed_pose(files.theta("src"), drivers, size=size)):
            close(mixed[None, :3], arrays[f"mix_old{old}_drv{index}"], EXACT)


def test_turned_grids(arrays):
    source, target = pose.into_canonical(files.theta("src")), pose.turned_grid(files.theta("drv0"))
    close(source[:, ::4, ::16, ::16], arrays["rot_source_slice"], EXACT)
    close(target[:, ::4, ::16, ::16], arrays["rot_target_slice"], EXACT)


def test_identity(arrays):
    close(files.network("idt_embedder_nw")(detfill.probe_of((1, 3, 512, 512), 21)), arrays["idt_embed"], MODULE)


def test_expression_and_its_crop(arrays):
    network = files.network("expression_embedder_nw")
    for name, seed, theta in (("source", 31, "src"), ("target", 32, "drv0")):
        pictures = detfill.probe_of((1, 3, 512, 512), seed)
        crops = pose.face_crop(pictures, files.theta(theta))
        close(crops[:, :, ::2, ::2], arrays[f"exp_{name}_crop"], EXACT)
        close(network(pictures, files.theta(theta)), arrays[f"exp_{name}"], MODULE)


def test_warp_embedding_and_warps(arrays):
    identity = torch.from_numpy(arrays["idt_embed"])
    for name, which in (("source", "xy"), ("target", "uv")):
        embedding = files.embedding(identity, torch.from_numpy(arrays[f"exp_{name}"]))
        close(embedding.flatten(2), arrays[f"embed_{name}"], MODULE)
        warp = files.network(f"{which}_generator_nw")(embedding)
        close(warp[:, ::2, ::4, ::4], arrays[f"{which}_warp_slice"], MODULE)


def part_of(volume):
    return volume[:, ::8, ::4, ::8, ::8]


def test_volumes_before_the_unet(arrays):
    volume = detfill.probe_of((1, 96, 16, 64, 64), 41, -2, 2)
    close(part_of(files.network("volume_source_nw")(volume)), arrays["volume_source_slice"], MODULE)
    embedding = torch.from_numpy(arrays["embed_source"]).view(1, 512, 4, 4)
    turned = pose.sample_volume(volume, pose.into_canonical(files.theta("src")))
    twice = pose.sample_volume(turned, files.network("xy_generator_nw")(embedding))
    close(part_of(twice), arrays["double_warp_slice"], MODULE)


@pytest.mark.heavy
def test_local_encoder(arrays):
    volume = files.network("local_encoder_nw")(detfill.probe_of((1, 3, 512, 512), 21))
    flat = volume.flatten(1, 2)
    close(flat[:, ::64, ::4, ::4], arrays["local_encoder_slice"], MODULE)
    close(flat.mean((2, 3)), arrays["local_encoder_chmean"], MODULE)


@pytest.mark.heavy
def test_unet(arrays):
    volume = detfill.probe_of((1, 96, 16, 64, 64), 41, -2, 2)
    close(part_of(files.network("volume_process_nw")(volume)), arrays["volume_process_slice"], MODULE)


@pytest.mark.heavy
def test_decoder(arrays):
    decoder = files.network("decoder_nw")
    deep = decoder.res_decoder(detfill.probe_of((1, 1536, 64, 64), 51, -2, 2))
    close(deep[:, ::32, ::8, ::8], arrays["decoder_deep_slice"], MODULE)
    picture = decoder.img_decoder(deep)
    close(picture[:, :, ::4, ::4], arrays["decoder_img_s4"], MODULE)
    close(picture[:, :, 224:288, 224:288], arrays["decoder_img_crop"], MODULE)


def test_a_mixed_pose_is_a_pose():
    """The product's last row is 0 0 0 k, whose inverse would crop another face."""
    mixed = pose.mixed_pose(files.theta("src"), files.theta("drv0"))
    assert torch.equal(mixed[0, 3], torch.tensor([0.0, 0, 0, 1]))
    with_k = mixed.clone()
    with_k[0, 3, 3] = 1.1
    picture = detfill.probe_of((1, 3, 512, 512), 32)
    assert (pose.face_crop(picture, mixed) - pose.face_crop(picture, with_k)).abs().max() > 0.05


def test_the_first_angle_is_the_roll_and_angles_are_clamped():
    """Upstream calls it yaw. A point to the right goes down, one in the middle stays."""
    one, none = torch.ones(1, 3), torch.zeros(1, 3)
    roll = pose.pose_matrix(one, torch.tensor([[0.3, 0, 0]]), none)[0]
    moved = roll @ torch.tensor([1.0, 0, 0, 1])
    assert moved[1] == pytest.approx(np.sin(0.3), abs=1e-6) and moved[2] == 0
    turn = pose.pose_matrix(one, torch.tensor([[0, 0.3, 0]]), none)[0] @ torch.tensor([1.0, 0, 0, 1])
    assert turn[1] == 0 and turn[2] != 0
    low, clamped = (pose.pose_matrix(one, torch.tensor([[a, 0, 0]]), none) for a in (-3.0, -np.pi / 2))
    assert torch.equal(low, clamped)


def test_the_identity_grid_is_not_the_identity():
    """Its ends are the volume's edges, where sampling sees half of nothing: so trained, so kept."""
    ones = torch.ones(1, 1, 16, 64, 64)
    grid = pose.turned_grid(torch.eye(4)[None])
    sampled = pose.sample_volume(ones, grid)[0, 0]
    assert sampled[8, 32, 32] == pytest.approx(1) and sampled[0, 0, 0] == pytest.approx(1 / 8)


def test_expression_and_turn_are_two_samplings_in_this_order():
    small_parts = small.backbone().parts
    volume = detfill.probe_of((1, 96, 16, 64, 64), 41)
    embedding = torch.linspace(-2, 2, 512 * 16).view(1, 512, 4, 4)
    theta, places = files.theta("drv0"), small_parts.uv_generator_nw(embedding)
    turn = pose.turned_grid(theta)
    found = small_parts.picture(volume, embedding, theta)
    expected, other = (
        small_parts.decoder_nw(pose.sample_volume(pose.sample_volume(volume, first), second))
        for first, second in ((places, turn), (turn, places))
    )
    assert torch.equal(found, expected) and not torch.allclose(found, other, atol=1e-3)
