# SPDX-License-Identifier: Apache-2.0
"""FlowMag's network for inference: the same numbers up to rounding, with less to do for each frame."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..fold import channels_last, fused
from .network import DoubleConv, Generator


class FoldedGenerator(nn.Module):
    """Norms folded, channels last, and the first convolution taken apart.

    Of its 38 input channels 3 are the frame's. What the other 35 give depends on reference and factor alone, the zeros
    around the picture included, and is computed once per clip (`still`).
    """

    def __init__(self, generator: Generator, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.network = fold_norms(copy.deepcopy(generator))
        block = cast(DoubleConv, self.network.down_layers[0])
        first = cast(nn.Conv2d, block.double_conv[0])
        # Pixels and codes stay float32: a motion worth magnifying is less than the rounding of half precision.
        self.of_reference = _part(first, slice(0, 6, 2), bias=True)
        self.of_frame = _part(first, slice(1, 6, 2))
        self.of_code = _part(first, slice(6, None))
        block.double_conv = nn.Sequential(*list(block.double_conv)[1:])
        channels_last(self.network).to(dtype)
        self.network.up_layers[-1].float()
        self.dtype = dtype

    def still(self, reference: Tensor, code: Tensor) -> Tensor:
        """``(1, C, H, W)`` of ``reference`` ``(1, 3, H, W)`` and ``code`` ``(1, 32, 1, 1)`` or ``(1, 32, H, W)``."""
        code = code.expand(-1, -1, *reference.shape[-2:])
        still = self.of_reference(reference) + self.of_code(code)
        return still.contiguous(memory_format=torch.channels_last)

    def forward(self, first: Tensor) -> Tensor:
        """Pictures ``(N, 3, H, W)`` from all that the first convolution gives: `still` plus `moving`."""
        return self.network.decode(self.network.down_layers[0](first.to(self.dtype)))

    def moving(self, frames: Tensor) -> Tensor:
        """``(N, C, H, W)`` of ``frames`` ``(N, 3, H, W)``."""
        return self.of_frame(frames.contiguous(memory_format=torch.channels_last))


def fold_norms(network: Generator) -> Generator:
    """Batch norms into the convolutions in front of them, in place."""
    for block in network.modules():
        if isinstance(block, DoubleConv):
            first, norm, _, second, other, _ = cast(Any, block.double_conv)
            block.double_conv = nn.Sequential(
                fused(first, norm), nn.ReLU(inplace=True), fused(second, other), nn.ReLU(inplace=True)
            )
    return network


def _part(conv: nn.Conv2d, channels: slice, *, bias: bool = False) -> nn.Conv2d:
    """The convolution for some of its input channels alone."""
    kernels = conv.weight.detach()[:, channels]
    part = nn.Conv2d(kernels.shape[1], len(kernels), 3, padding=1, bias=bias).requires_grad_(False)
    part.weight.copy_(kernels)
    if bias:
        cast(Tensor, part.bias).copy_(cast(Tensor, conv.bias))
    channels_last(part)
    return part
