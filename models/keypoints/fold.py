"""Exact simplifications of trained blocks: fewer and larger operations, the same numbers up to rounding."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..fold import fused
from ..winograd import WinogradConv
from .blocks import ResBlock, SameBlock, UpBlock


class DoublingConv(nn.Module):
    """Nearest x2, a 3 x 3 convolution with padding 1, and ReLU where wanted, as one transposed convolution.

    Each of the four pixels that come from one sees only 2 x 2 different inputs, so 4 of 9 multiplications are enough.
    A transposed convolution of stride 2 says exactly this: its 4 x 4 kernel is the 3 x 3 one, convolved with the 2 x 2
    of ones that repeats a pixel.
    """

    def __init__(self, conv: nn.Conv2d, *, relu: bool = True) -> None:
        super().__init__()
        self.relu = relu
        out, inside = conv.weight.shape[:2]
        flat = F.conv2d(
            conv.weight.detach().flip(2, 3).reshape(out * inside, 1, 3, 3), torch.ones(1, 1, 2, 2), padding=1
        )
        self.weight = nn.Parameter(flat.view(out, inside, 4, 4).transpose(0, 1).contiguous(), requires_grad=False)
        self.bias = nn.Parameter(cast(Tensor, conv.bias).detach().clone(), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        made = F.conv_transpose2d(features, self.weight, self.bias, stride=2, padding=1)
        return F.relu(made) if self.relu else made


def fold_norms(network: nn.Module) -> nn.Module:
    """Batch norms into the convolutions in front of them, in place. Those in front of none stay."""
    for block in network.modules():
        if isinstance(block, SameBlock):
            block.conv, block.norm = fused(block.conv, block.norm), cast(Any, nn.Identity())
        elif isinstance(block, ResBlock):
            block.conv1, block.norm2 = fused(block.conv1, block.norm2), cast(Any, nn.Identity())
    return network


def fold_doublings(network: nn.Module) -> nn.Module:
    """Every `UpBlock` whose norm is folded into a `DoublingConv`, in place."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, UpBlock):
                parent.add_module(name, DoublingConv(child.conv))
    return network


def fold_residuals(network: nn.Module) -> nn.Module:
    """The convolutions of every `ResBlock` whose norms are folded into `WinogradConv`, in place."""
    for block in network.modules():
        if isinstance(block, ResBlock):
            block.conv1 = cast(Any, WinogradConv(block.conv1))
            block.conv2 = cast(Any, WinogradConv(block.conv2))
    return network
