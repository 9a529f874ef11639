# SPDX-License-Identifier: Apache-2.0
"""Moving a picture by a displacement field: carrying fields between pictures, soft limits, inverse warping."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .geometry import FaceBox, Similarity, inverse
from .sampling import invert, pixel_grid, sample_spline, spline_coefficients

BORDER = 0.06
"""Part of a side over which a field goes to zero at the edge of its picture."""


def carry(displacement: Tensor, transform: Similarity, size: tuple[int, int]) -> Tensor:
    """Displacement ``(N, 2, h, w)`` of one picture on the grid ``size`` of another, in that picture's px.

    ``transform`` maps the first picture's coordinates to the second's. Vectors are scaled and turned with it; outside
    the first picture the field is 0.
    """
    height, width = displacement.shape[-2:]
    back = torch.as_tensor(inverse(transform), dtype=displacement.dtype)
    linear = torch.as_tensor(transform[:, :2], dtype=displacement.dtype)
    at = affine(pixel_grid(*size, like=displacement), back)
    values = sample_spline(spline_coefficients(displacement), at.expand(len(displacement), -1, -1, -1))
    inside = ((at >= 0) & (at <= at.new_tensor([width - 1, height - 1]).view(1, 2, 1, 1))).all(1, keepdim=True)
    return torch.einsum("ij,njhw->nihw", linear, values) * inside


def affine(coordinates: Tensor, matrix: Tensor) -> Tensor:
    """Coordinates ``(N, 2, H, W)`` through a ``(2, 3)`` matrix."""
    return torch.einsum("ij,njhw->nihw", matrix[:, :2], coordinates) + matrix[:, 2].view(1, 2, 1, 1)


def warp_by(image: Tensor, coefficients: Tensor, displacement: Tensor) -> Tensor:
    """Pictures ``(N, 3, H, W)`` in which each pixel of ``image`` ``(1, 3, H, W)`` has moved by ``displacement``.

    Inverse warping: every output pixel is looked up where it came from. A pixel that came from exactly its own place
    is copied, not interpolated, so that what does not move keeps its bits.
    """
    origin = invert(displacement)
    moved = (origin != pixel_grid(*image.shape[-2:], like=image)).any(1, keepdim=True)
    warped = sample_spline(coefficients.expand(len(displacement), -1, -1, -1), origin).clamp(0, 1)
    return torch.where(moved, warped, image)


def box_window(box: FaceBox, like: Tensor, fade: float) -> Tensor:
    """1 inside a face box, 0 beyond ``fade`` half sides outside it, smooth between; ``(1, 1, H, W)``."""
    grid = pixel_grid(*like.shape[-2:], like=like)
    x, y = grid[:, :1] - box.cx, grid[:, 1:] - box.cy
    cos, sin = math.cos(math.radians(box.angle_deg)), math.sin(math.radians(box.angle_deg))
    across = (cos * x + sin * y).abs() / (box.width / 2)
    along = (cos * y - sin * x).abs() / (box.height / 2)
    return smooth_step((1 + fade - across) / fade) * smooth_step((1 + fade - along) / fade)


def border_window(like: Tensor) -> Tensor:
    """1 inside a picture, smoothly to 0 at its edge pixels; ``(1, 1, H, W)``."""
    height, width = like.shape[-2:]
    y = torch.arange(height, dtype=like.dtype, device=like.device)
    x = torch.arange(width, dtype=like.dtype, device=like.device)
    rows = smooth_step(torch.minimum(y, height - 1 - y) / (BORDER * height))
    columns = smooth_step(torch.minimum(x, width - 1 - x) / (BORDER * width))
    return (rows[:, None] * columns)[None, None]


def smooth_step(x: Tensor) -> Tensor:
    """0 below 0, 1 above 1, with continuous first and second derivatives between."""
    x = x.clamp(0, 1)
    return x**3 * (x * (6 * x - 15) + 10)
