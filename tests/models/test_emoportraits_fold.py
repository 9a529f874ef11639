"""EMOPortraits as it ships: folded, in pieces, in bfloat16; whole clips against the official code's outputs."""

import copy

import detfill
import emoportraits_files as files
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from magplus.models.emoportraits import fold as folding
from magplus.models.emoportraits.fold import PIECE, PiecewiseConv, channels_last, fold, fold_blocks
from magplus.models.emoportraits.layers import DownBlock, ResBlock, StyledBlock, UpBlock
from magplus.models.emoportraits.norm import norm_relu
from magplus.models.emoportraits.parts import MAKERS, Parts
from magplus.models.emoportraits.pose import into_canonical, sample_volume
from magplus.models.precision import has_bfloat16
from torch import nn
from torch.overrides import TorchFunctionMode

MODULE, FRAME = 2e-4, 2e-3
UPSTREAM = {"head_pose": "driver", "face_crop": "follow", "expression": "absolute", "background": "green"}


@pytest.fixture(scope="module", autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def close(found, array, tolerance):
    array = np.asarray(array, np.float32)
    np.testing.assert_allclose(found.numpy(), array, atol=tolerance * np.abs(array).max(), rtol=0)


def random(network):
    """With norms that are not the identity."""
    for name, value in network.named_parameters():
        value.requires_grad_(False).normal_(1.0 if name.endswith("0.weight") else 0.0, 0.2)
    return network


@pytest.mark.parametrize("block", [ResBlock(32, 64), ResBlock(64, 64), DownBlock(32, 64), UpBlock(64, 32)])
@pytest.mark.parametrize("size", [(8, 12), (6, 10)])
def test_a_folded_block_is_the_same(block, size):
    network = random(nn.Sequential(block))
    features = torch.randn(2, block.block_feats[0].num_channels, *size)
    expected = network(features)
    found = channels_last(fold_blocks(nn.Sequential(block)))(features)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


def test_a_folded_block_of_volumes_is_the_same_and_leaves_its_input():
    network = random(nn.Sequential(ResBlock(32, 64, dims=3), ResBlock(64, 64, dims=3)))
    features = torch.randn(1, 32, 4, 6, 8).contiguous(memory_format=torch.channels_last_3d)
    before, expected = features.clone(), network(features)
    torch.testing.assert_close(channels_last(fold_blocks(network))(features), expected, atol=2e-5, rtol=1e-5)
    assert torch.equal(features, before)


def test_a_folded_styled_block_is_the_same():
    network = random(nn.ModuleList([StyledBlock(64, 32)]))
    features, first, second = torch.randn(1, 64, 4, 6, 8), torch.randn(1, 64, 2), torch.randn(1, 32, 2)
    expected = network[0].styled(features, first, second)
    torch.testing.assert_close(fold_blocks(network)[0].styled(features, first, second), expected, atol=3e-5, rtol=1e-5)


@pytest.mark.parametrize("conv", [nn.Conv2d(4, 6, 3, padding=1), nn.Conv3d(4, 6, 3, padding=1, bias=False)])
@pytest.mark.parametrize("pieces", [1, 2, 3, 9])
def test_a_convolution_in_pieces_is_the_convolution(conv, pieces, monkeypatch):
    features = torch.randn(2, 4, 9, 8, *[5] * (conv.weight.ndim - 4))
    operations = 2 * conv.weight.numel() * features[:, 0].numel()
    monkeypatch.setattr(folding, "PIECE", operations / (pieces - 0.5))
    torch.testing.assert_close(PiecewiseConv(conv)(features), conv(features), atol=1e-6, rtol=1e-5)


def test_the_norm_stays_exact_over_many_pixels_far_from_zero():
    """Torch's own in this layout loses three digits here, of which the picture at the end notices."""
    norm = random(nn.GroupNorm(32, 64))
    features = (20 + torch.randn(1, 64, 512, 256)).contiguous(memory_format=torch.channels_last)
    exact = F.relu(F.group_norm(features.double(), 32, norm.weight.double(), norm.bias.double()))
    torch.testing.assert_close(norm_relu(norm, features).double(), exact, atol=1e-5, rtol=1e-5)
    kept = features.clone()
    assert torch.equal(norm_relu(norm, features, inplace=True), norm_relu(norm, kept))


def test_the_decoder():
    arrays = detfill.golden("emoportraits")[0]
    decoder = channels_last(fold_blocks(copy.deepcopy(files.network("decoder_nw"))))
    picture = decoder(detfill.probe_of((1, 1536, 64, 64), 51, -2, 2).unflatten(1, (96, 16)))
    close(picture[:, :, ::4, ::4], arrays["decoder_img_s4"], MODULE)
    close(picture[:, :, 224:288, 224:288], arrays["decoder_img_crop"], MODULE)


class _Operations(TorchFunctionMode):
    """Counts what each call of a convolution computes."""

    def __init__(self):
        super().__init__()
        self.counts = []

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        made = function(*arguments, **(keywords or {}))
        if function in (F.conv2d, F.conv3d):
            self.counts.append(2 * arguments[1][0].numel() * made.numel())
        elif function is F.conv_transpose2d:
            self.counts.append(2 * arguments[1][0].numel() * arguments[0].numel())
        return made


def test_no_single_operation_keeps_cancel_waiting():
    """Portrait and frame, computed without numbers: every convolution is in pieces of a second on a slow core."""
    with torch.device("meta"):
        parts = fold(Parts({name: make() for name, make in MAKERS.items()}).requires_grad_(False))
        picture, latent, theta = torch.empty(1, 3, 512, 512), torch.empty(1, 128), torch.empty(1, 4, 4)
        with _Operations() as operations:
            embedding = parts.warp_embedding(parts.idt_embedder_nw(picture), latent)
            volume = parts.canonical_volume(picture, theta, embedding)
            parts.picture(volume, embedding, theta)
    assert len(operations.counts) > 150 and max(operations.counts) < 1.1 * PIECE
    assert sum(operations.counts) > 3e12


@pytest.fixture(scope="module")
def backbone():
    """As upstream's notebook sets it."""
    return files.backbone(**UPSTREAM)


@pytest.fixture(scope="module")
def encoded(backbone):
    about = {"source_mask": files.source_mask(), "source_theta": files.theta("src")[0]}
    return backbone.encode_source(files.picture(61), about)


def drive(backbone, encoded, names):
    frames = torch.cat([files.picture(62 + int(name[-1])) for name in names])
    thetas = torch.cat([files.theta(name) for name in names])
    state = backbone.set_reference(encoded, frames[0], {"driving_theta": thetas[0]})
    return state, backbone.drive(state, frames, {"driving_theta": thetas}).frames


def part_of(volume):
    return volume[:, ::8, ::4, ::8, ::8]


@pytest.mark.heavy
def test_a_portrait_and_two_frames_end_to_end(backbone, encoded):
    arrays = detfill.golden("emoportraits")[0]
    close(encoded.expression, arrays["e2e_exp_source"], MODULE)
    close(part_of(encoded.volume), arrays["e2e_canon_slice"], MODULE)
    state, frames = drive(backbone, encoded, ["drv0", "drv1"])
    close(state.expression, arrays["e2e_exp_drv0"], MODULE)
    close(drive(backbone, encoded, ["drv1"])[0].expression, arrays["e2e_exp_drv1"], MODULE)
    for index, frame in enumerate(frames):
        close(frame[None, :, ::4, ::4], arrays[f"e2e_frame{index}_s4"], FRAME)
        close(frame[None, :, 192:320, 192:320], arrays[f"e2e_frame{index}_crop"], FRAME)


@pytest.mark.heavy
def test_the_volume_on_its_way(backbone):
    arrays, parts = detfill.golden("emoportraits")[0], backbone.parts
    picture, theta = files.picture(61) * files.source_mask(), files.theta("src")
    volume = parts.volume_source_nw(parts.local_encoder_nw(picture))
    close(part_of(volume), arrays["e2e_source_volume_slice"], MODULE)
    expression = parts.expression_embedder_nw(picture, theta)
    embedding = parts.warp_embedding(parts.idt_embedder_nw(picture), expression)
    turned = sample_volume(volume, into_canonical(theta))
    close(part_of(sample_volume(turned, parts.xy_generator_nw(embedding))), arrays["e2e_vol1_slice"], MODULE)


@pytest.mark.heavy
def test_without_mixing_poses(backbone, encoded):
    unmixed = files.with_options(backbone, **UPSTREAM, mix_pose="off")
    _, frames = drive(unmixed, encoded, ["drv0"])
    close(frames[:, :, ::8, ::8], detfill.golden("emoportraits")[0]["e2e_nomix_frame0_s8"], FRAME)


@pytest.mark.heavy
@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
def test_bfloat16_stays_near(backbone, encoded):
    """Latents and places are the same numbers; only paint is coarser."""
    rough = files.with_options(files.backbone(precision="bfloat16"), **UPSTREAM)
    state, exact = drive(backbone, encoded, ["drv0"])
    other, found = drive(rough, encoded, ["drv0"])
    assert torch.equal(state.expression, other.expression)
    difference = (found - exact).abs()
    assert found.dtype == torch.float32 and 0 < difference.mean() < 0.01 and difference.max() < 0.15
