# SPDX-License-Identifier: Apache-2.0
"""Convolution blocks of the first-order-model family. Attribute names are those of the released checkpoints."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SameBlock(nn.Module):
    """Convolution, batch norm, ReLU at one resolution."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(features)))


class DownBlock(SameBlock):
    """The same, then half the resolution by averaging 2 x 2."""

    def forward(self, features: Tensor) -> Tensor:
        return F.avg_pool2d(super().forward(features), 2)


class UpBlock(SameBlock):
    """Twice the resolution by repeating pixels, then the same."""

    def forward(self, features: Tensor) -> Tensor:
        # Nearest has no corners to align: the option would be refused.
        return super().forward(F.interpolate(features, scale_factor=2, mode="nearest"))


class ResBlock(nn.Module):
    """Pre-activation residual block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        inner = self.conv1(F.relu(self.norm1(features)))
        return features + self.conv2(F.relu(self.norm2(inner)))


class _Encoder(nn.Module):
    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.down_blocks = nn.ModuleList(DownBlock(a, b) for a, b in pairwise(channels))


class _Decoder(nn.Module):
    def __init__(self, pairs: list[tuple[int, int]]) -> None:
        super().__init__()
        self.up_blocks = nn.ModuleList(UpBlock(a, b) for a, b in pairs)


class Hourglass(nn.Module):
    """U-Net whose last skip is the raw input: ``(N, C, H, W)`` to ``(N, expansion + C, H, W)``.

    H and W must be multiples of ``2 ** blocks``.
    """

    def __init__(self, channels_in: int, expansion: int, most: int, blocks: int = 5) -> None:
        super().__init__()
        widths = [min(most, expansion * 2**i) for i in range(blocks + 1)]
        self.encoder = _Encoder([channels_in, *widths[1:]])
        first = [(widths[-1], widths[-2])]
        self.decoder = _Decoder(first + [(2 * widths[i], widths[i - 1]) for i in range(blocks - 1, 0, -1)])
        self.channels_out = expansion + channels_in

    def forward(self, features: Tensor) -> Tensor:
        skips = [features]
        for down in self.encoder.down_blocks:
            skips.append(down(skips[-1]))
        result = skips.pop()
        for up in self.decoder.up_blocks:
            result = torch.cat([up(result), skips.pop()], dim=1)
        return result


class AntiAliasDown(nn.Module):
    """A quarter of the resolution: 13 x 13 gaussian of sigma 1.5 with zeros outside, then every fourth pixel.

    The kernel is a buffer of the checkpoint and is loaded, not assumed. Its zero padding darkens the borders; the
    weights were trained with that.
    """

    STEP = 4

    def __init__(self) -> None:
        super().__init__()
        at = torch.arange(13, dtype=torch.float32) - 6
        line = torch.exp(-(at**2) / (2 * 1.5**2))
        kernel = line[:, None] * line
        self.register_buffer("weight", (kernel / kernel.sum()).expand(3, 1, 13, 13).clone())

    def forward(self, pictures: Tensor) -> Tensor:
        # The same samples as filtering everywhere and dropping three of four rows and columns.
        return F.conv2d(pictures, self.get_buffer("weight"), stride=self.STEP, padding=6, groups=3)
