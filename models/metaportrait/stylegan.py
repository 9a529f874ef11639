# SPDX-License-Identifier: Apache-2.0
"""The decoder of the super-resolution: StyleGAN2 without custom operations, as GFPGAN simplified it.

Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020; Wang et al., Towards Real-World Blind
Face Restoration with Generative Facial Prior, CVPR 2021. Attribute names are those of the released checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STYLE = 512
"""Numbers of one style vector."""

Condition = tuple[Tensor, Tensor]
"""Scale and shift of the second half of a level's channels."""


def decoder_channels(size: int) -> int:
    """Of the decoder's features at a resolution."""
    return min(512, 32768 // size)


def doubled(features: Tensor) -> Tensor:
    """Twice the resolution."""
    return F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)


class _Modulated(nn.Module):
    """A convolution whose kernels are scaled per input channel by a style, and set back to unit power if wanted."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, *, demodulate: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, channels_out, channels_in, kernel, kernel))
        self.modulation = nn.Linear(STYLE, channels_in)
        self._demodulate = demodulate

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        """One picture ``(1, C, H, W)`` with its style ``(1, 512)``."""
        weight = self.weight[0] * self.modulation(style).view(1, -1, 1, 1)
        if self._demodulate:
            weight = weight * torch.rsqrt(weight.square().sum((1, 2, 3), keepdim=True) + 1e-8)
        return F.conv2d(features, weight, padding=weight.shape[-1] // 2)


class _StyleConv(nn.Module):
    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.modulated_conv = _Modulated(channels_in, channels_out, 3, demodulate=True)
        # Strength of the noise, which is zero in use; it is in the checkpoint.
        self.weight = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(1, channels_out, 1, 1))

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        return F.leaky_relu(self.modulated_conv(features, style) * math.sqrt(2) + self.bias, 0.2)


class _ToRgb(nn.Module):
    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.modulated_conv = _Modulated(channels_in, 3, 1, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        return (self.modulated_conv(features, style) + self.bias).float()


class _Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, 512, 4, 4))


class StyleDecoder(nn.Module):
    """Styles and conditions of one frame to its picture ``(1, 3, size, size)`` in [-1, 1]."""

    def __init__(self, size: int) -> None:
        super().__init__()
        levels = range(3, int(math.log2(size)) + 1)
        # Mapping network and noise are in the checkpoint and not used: styles come from the U-Net, noise is zero.
        self.style_mlp = nn.Sequential(
            nn.Identity(), *(m for _ in range(8) for m in (nn.Linear(STYLE, STYLE), nn.Identity()))
        )
        self.constant_input = _Constant()
        self.style_conv1, self.to_rgb1 = _StyleConv(512, 512), _ToRgb(512)
        self.style_convs, self.to_rgbs, self.noises = nn.ModuleList(), nn.ModuleList(), nn.Module()
        self.noises.register_buffer("noise0", torch.zeros(1, 1, 4, 4))
        for level in levels:
            inside, outside = decoder_channels(2 ** (level - 1)), decoder_channels(2**level)
            self.style_convs.extend([_StyleConv(inside, outside), _StyleConv(outside, outside)])
            self.to_rgbs.append(_ToRgb(outside))
            for index in (2 * level - 5, 2 * level - 4):
                self.noises.register_buffer(f"noise{index}", torch.zeros(1, 1, 2**level, 2**level))

    def forward(self, styles: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """``styles`` is ``(count, 512)``, ``conditions`` are from coarse to fine."""
        style = [row[None] for row in styles]
        features = self.style_conv1(self.constant_input.weight, style[0])
        rgb = self.to_rgb1(features, style[1])
        for index, (scale, shift) in enumerate(conditions):
            at = 2 * index + 1
            features = self.style_convs[2 * index](doubled(features), style[at])
            free, steered = features.chunk(2, dim=1)
            features = torch.cat([free, torch.addcmul(shift, steered, scale)], dim=1)
            features = self.style_convs[2 * index + 1](features, style[at + 1])
            rgb = self.to_rgbs[index](features, style[at + 2]) + doubled(rgb)
        return rgb
