# SPDX-License-Identifier: Apache-2.0
"""FlowMag's network in its plain form: what is loaded, trained and compared with. Names are those of checkpoints."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CODES = 32
WIDTH = 64

_DOWN, _UP = (1, 2, 4, 8, 8), (4, 2, 1, 1)
"""Widths of the levels, in units of the first one's."""

_PI = 3.141592
"""As the weights were trained: the missing digits change the code of 16 by up to 1.8e-4."""

_FRAMES = 6
"""Channels of the two pictures, reference and frame alternating: R R' G G' B B'."""


class Generator(nn.Module):
    """Reference and frame to the frame with its motion enlarged. Trained weights have ``width`` 64."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        down, up = ([width * factor for factor in factors] for factors in (_DOWN, _UP))
        self.down_layers = nn.ModuleList([DoubleConv(_FRAMES + CODES, width, width)])
        self.down_layers.extend(Down(a, b) for a, b in pairwise(down))
        # What comes from below is as wide as the skip it meets.
        self.up_layers = nn.ModuleList(Up(2 * skip, b) for skip, b in zip(reversed(down[:-1]), up, strict=True))
        self.up_layers.append(Head(width))

    def forward(self, reference: Tensor, frames: Tensor, alpha: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pictures ``(N, 3, H, W)`` in (0, 1) of ``reference`` and ``frames``, both ``(N, 3, H, W)``, H and W >= 16.

        ``alpha`` is ``(N,)``, or ``(N, H, W)`` for a factor per pixel; ``mask`` as in `code_of`.
        """
        code = code_of(alpha, mask).expand(-1, -1, *frames.shape[-2:])
        pictures = torch.stack([reference, frames], dim=2).flatten(1, 2)
        return self.decode(self.down_layers[0](torch.cat([pictures, code], dim=1)))

    def decode(self, features: Tensor) -> Tensor:
        """Everything after the first `DoubleConv`."""
        skips = [features]
        for down in self.down_layers[1:]:
            skips.append(down(skips[-1]))
        features = skips.pop()
        for up in self.up_layers[:-1]:
            features = up(features, skips.pop())
        return self.up_layers[-1](features)


class DoubleConv(nn.Module):
    """Twice: 3 x 3 convolution, batch norm, ReLU."""

    def __init__(self, channels_in: int, middle: int, channels_out: int) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(channels_in, middle, 3, padding=1),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            nn.Conv2d(middle, channels_out, 3, padding=1),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.double_conv(features)


class Down(nn.Module):
    """Half the size, rounded down, by the largest of 2 x 2; then a `DoubleConv`."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(channels_in, channels_out, channels_out))

    def forward(self, features: Tensor) -> Tensor:
        return self.maxpool_conv(features)


class Up(nn.Module):
    """Twice the size, beside the features of that size on the way down; then a `DoubleConv`."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = DoubleConv(channels_in, channels_in // 2, channels_out)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        return self.conv(torch.cat([skip, doubled(features, skip)], dim=1))


class Head(nn.Module):
    """Features to pictures, in its own precision whatever that of the features is."""

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, 3, 1)

    def forward(self, features: Tensor) -> Tensor:
        return torch.sigmoid(self.conv(features.to(self.conv.weight.dtype)))


def doubled(features: Tensor, skip: Tensor) -> Tensor:
    """Twice the size, with zeros at the right and bottom where the size of ``skip`` is odd."""
    # Aligned corners, as the weights were trained.
    larger = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=True)
    rows, columns = (skip.shape[axis] - larger.shape[axis] for axis in (-2, -1))
    if rows == columns == 0:
        return larger  # Padding by nothing would copy it.
    return F.pad(larger, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))


def code_of(alpha: Tensor, mask: Tensor | None = None) -> Tensor:
    """What the network is told about a factor: sines of 32 wavelengths from 1/8 to 128.

    ``(N, 32, 1, 1)`` of ``alpha`` ``(N,)``, ``(N, 32, H, W)`` of ``(N, H, W)``. Where ``mask`` (``(H, W)`` or
    ``(N, H, W)``, in [0, 1]) is below 1, the code (not the factor) goes linearly to that of 1, which changes nothing.
    """
    code = _sines(alpha)
    if mask is None:
        return code
    mask = mask.expand(len(alpha), *mask.shape[-2:])[:, None].to(code)
    return code * mask + _sines(torch.ones_like(alpha)) * (1 - mask)


def _sines(alpha: Tensor) -> Tensor:
    wavelengths = torch.logspace(-3, 7, CODES, base=2, device=alpha.device)
    alpha = alpha.float().view(len(alpha), 1, *(alpha.shape[1:] if alpha.ndim == 3 else (1, 1)))
    return torch.sin(2 * _PI * alpha / wavelengths.view(1, -1, 1, 1))
