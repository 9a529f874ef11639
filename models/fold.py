# SPDX-License-Identifier: Apache-2.0
"""What exact simplifications of trained networks have in common, whatever their blocks are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class DoublingConv(nn.Module):
    """Nearest x2 and a 3 x 3 convolution with padding 1, as one transposed convolution.

    Each of the four pixels that come from one sees only 2 x 2 different inputs, so 4 of 9 multiplications are enough.
    A transposed convolution of stride 2 says exactly this: its 4 x 4 kernel is the 3 x 3 one, convolved with the 2 x 2
    of ones that repeats a pixel.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        out, inside = conv.weight.shape[:2]
        flat = F.conv2d(
            conv.weight.detach().flip(2, 3).reshape(out * inside, 1, 3, 3), torch.ones(1, 1, 2, 2), padding=1
        )
        self.weight = nn.Parameter(flat.view(out, inside, 4, 4).transpose(0, 1).contiguous(), requires_grad=False)
        bias = torch.zeros(out) if conv.bias is None else conv.bias.detach().clone()
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        return F.conv_transpose2d(features, self.weight, self.bias, stride=2, padding=1)


def fused(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A convolution and the batch norm behind it as one."""
    return fuse_conv_bn_eval(conv, norm).requires_grad_(False)


def channels_last(network: nn.Module) -> nn.Module:
    """Weights in the layout in which the processor's convolutions are quickest; their results follow."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
