"""EMOPortraits' networks against the official code's outputs under deterministic weights, in their plainest form."""

import detfill
import emoportraits_files as files
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
