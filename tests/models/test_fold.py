"""Foldings give the numbers of the plain blocks."""

import pytest
import torch
from magplus.models.fold import DoublingConv, channels_last
from magplus.models.keypoints.blocks import DownBlock, ResBlock, SameBlock, UpBlock
from magplus.models.keypoints.fold import fold_doublings, fold_norms, fold_residuals
from magplus.models.winograd import WinogradConv
from torch import nn


def trained(network):
    """With norms that are not the identity."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias)
    return network.train(False).requires_grad_(False)


@pytest.mark.parametrize("block", [SameBlock, DownBlock, UpBlock])
@pytest.mark.parametrize("size", [(8, 12), (7, 6)])
def test_a_folded_block_is_the_same(block, size):
    network = trained(nn.Sequential(block(6, 10), block(10, 5)))
    picture = torch.randn(2, 6, 2 * size[0], 2 * size[1])
    expected = network(picture)
    found = channels_last(fold_doublings(fold_norms(network)))(picture)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in network.modules())
    assert any(isinstance(part, DoublingConv) for part in network.modules()) == (block is UpBlock)


def test_a_residual_block_keeps_the_norm_in_front_of_its_first_relu():
    network = trained(nn.Sequential(ResBlock(8), ResBlock(8)))
    picture = torch.randn(3, 8, 16, 20)
    expected = network(picture)
    found = fold_residuals(fold_norms(network))(picture)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert sum(isinstance(part, nn.BatchNorm2d) for part in network.modules()) == 2


@pytest.mark.parametrize("shape", [(1, 5, 4, 4), (2, 5, 12, 20), (2, 5, 10, 12)])
def test_winograd_is_the_convolution(shape):
    """The last size is no multiple of the tile's step: it goes the plain way."""
    conv = nn.Conv2d(5, 7, 3, padding=1).requires_grad_(False)
    picture = torch.randn(*shape)
    found = WinogradConv(conv)(picture)
    torch.testing.assert_close(found, conv(picture), atol=1e-5, rtol=1e-5)


def test_winograd_leaves_other_precisions_to_the_convolution():
    conv = nn.Conv2d(5, 7, 3, padding=1).requires_grad_(False).double()
    picture = torch.randn(1, 5, 8, 8, dtype=torch.float64)
    assert torch.equal(WinogradConv(conv)(picture), conv(picture))


def test_its_kernels_are_no_part_of_a_checkpoint():
    assert set(WinogradConv(nn.Conv2d(4, 4, 3, padding=1)).state_dict()) == {"conv.weight", "conv.bias"}
