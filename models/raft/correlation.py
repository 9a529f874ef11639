# SPDX-License-Identifier: Apache-2.0
"""The similarity of every pixel of one picture to every pixel of another, and windows of it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 4
RADIUS = 4
CHANNELS = LEVELS * (2 * RADIUS + 1) ** 2


def correlation_pyramid(first: Tensor, second: Tensor) -> list[Tensor]:
    """Dot products of features ``(N, C, h, w)``, ``(N * h * w, 1, h, w)``; then the same with the second one halved."""
    n, channels, height, width = first.shape
    products = first.flatten(2).transpose(1, 2) @ second.flatten(2) / math.sqrt(channels)
    levels = [products.view(n * height * width, 1, height, width)]
    while len(levels) < LEVELS:
        levels.append(F.avg_pool2d(levels[-1], 2))
    return levels


def look_up(levels: list[Tensor], coordinates: Tensor) -> Tensor:
    """Windows of 9 x 9 values around ``coordinates`` ``(N, 2, h, w)`` in every level, ``(N, 324, h, w)``.

    Of the two axes of a window the first one moves along x. Outside the picture all is 0.
    """
    n, _, height, width = coordinates.shape
    steps = torch.arange(-RADIUS, RADIUS + 1, dtype=coordinates.dtype, device=coordinates.device)
    offsets = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)
    centres = coordinates.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
    windows = []
    for index, level in enumerate(levels):
        rows, columns = level.shape[-2:]
        scale = coordinates.new_tensor([2 / (columns - 1), 2 / (rows - 1)])
        grid = (centres / 2**index + offsets) * scale - 1
        # Aligned corners: whole coordinates are the centres of pixels, on every level.
        sampled = F.grid_sample(level, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
        windows.append(sampled.view(n, height, width, -1))
    return torch.cat(windows, dim=-1).permute(0, 3, 1, 2).contiguous()
