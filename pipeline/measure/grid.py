# SPDX-License-Identifier: Apache-2.0
"""Displacement fields in the coordinates of a face."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...models.geometry import FaceBox

GRID = 32
"""Cells along each side of the face box."""


def face_grid(fields_px: Tensor, box: FaceBox) -> NDArray[np.float32]:
    """Fields ``(N, 2, H, W)`` in px as cell means ``(N, 2, GRID, GRID)`` in percent of the box width.

    The cells divide the box evenly; both the cells and the vectors are in the axes of the face (x along its width,
    y along its height). Samples outside the picture are left out of a cell's mean; a cell entirely outside is 0.
    """
    return _turned(_cell_means(fields_px, box), -box.angle_deg) * np.float32(100 / box.width)


def mask_grid(mask: Tensor, box: FaceBox) -> NDArray[np.float64]:
    """A mask ``(H, W)`` as cell means ``(GRID, GRID)`` on the same cells."""
    return _cell_means(mask[None, None], box)[0, 0].astype(np.float64)


def _cell_means(planes: Tensor, box: FaceBox) -> NDArray[np.float32]:
    """``(N, C, H, W)`` as ``(N, C, GRID, GRID)``."""
    planes = planes.detach().float()
    height, width = planes.shape[-2:]
    across = max(1, math.ceil(max(box.width, box.height) / GRID))
    x, y = _sample_points(box, GRID * across)
    # align_corners=True: -1 and 1 are the centres of the outermost pixels, as in FaceBox coordinates
    scale = torch.tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)], dtype=torch.float64)
    points = (torch.from_numpy(np.stack([x, y], axis=-1)) * scale - 1).float().to(planes.device)
    sampled = F.grid_sample(
        planes, points.expand(len(planes), -1, -1, -1), mode="bilinear", padding_mode="border", align_corners=True
    )
    inside = torch.from_numpy((x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)).float()
    inside = inside.to(planes.device)
    part = F.avg_pool2d(inside[None, None], across)
    return (F.avg_pool2d(sampled * inside, across) / part.clamp(min=1e-9)).cpu().numpy()


def _sample_points(box: FaceBox, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Picture coordinates ``(count, count)`` that divide the box evenly."""
    steps = (np.arange(count) + 0.5) / count - 0.5
    along, down = np.meshgrid(steps * box.width, steps * box.height)
    turn = math.radians(box.angle_deg)
    return (
        box.cx + math.cos(turn) * along - math.sin(turn) * down,
        box.cy + math.sin(turn) * along + math.cos(turn) * down,
    )


def _turned(vectors: NDArray[np.float32], angle_deg: float) -> NDArray[np.float32]:
    """Vectors ``(N, 2, ...)`` turned clockwise by ``angle_deg``."""
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    x, y = vectors[:, 0], vectors[:, 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=1).astype(np.float32)
