# SPDX-License-Identifier: Apache-2.0
"""Sampling of pictures at real-valued coordinates.

Coordinates are ``(N, 2, H, W)`` in px, channel 0 = x, channel 1 = y, origin at the centre of the top-left pixel.
Outside the picture the nearest edge value is taken.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .filters import convolve_symmetric, summing_to_one, wide_blur

_POLE = math.sqrt(3) - 2
_TAPS = summing_to_one([math.sqrt(3) * _POLE**k for k in range(13)])
"""Inverse of the sampled cubic B-spline (1/6, 4/6, 1/6), cut where it falls below 3e-7."""


def pixel_grid(height: int, width: int, *, like: Tensor) -> Tensor:
    """Coordinates ``(1, 2, H, W)`` of all pixel centres, with dtype and device of ``like``."""
    y = torch.arange(height, dtype=like.dtype, device=like.device)
    x = torch.arange(width, dtype=like.dtype, device=like.device)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))[None]


def spline_coefficients(images: Tensor) -> Tensor:
    """Coefficients of the cubic B-spline through the pixels of ``(N, C, H, W)`` (mirrored borders).

    Unser, "Splines: a perfect fit for signal and image processing", 1999. The interpolant passes through every pixel
    and has no sampling blur, where Keys' bicubic kernel loses contrast at fine detail.
    """
    return convolve_symmetric(convolve_symmetric(images, _TAPS, 2), _TAPS, 3)


def spline_gradient(image: Tensor, dim: int) -> Tensor:
    """Exact derivative of the cubic spline through the pixels, at the pixels."""
    coefficients = convolve_symmetric(image, _TAPS, dim)
    size = image.shape[dim]
    index = torch.arange(size, device=image.device)
    after = coefficients.index_select(dim, (index + 1).clamp(max=size - 1))
    before = coefficients.index_select(dim, (index - 1).clamp(min=0))
    return (after - before) / 2


def sample_linear(images: Tensor, coordinates: Tensor) -> Tensor:
    """Bilinear samples ``(N, C, H', W')`` of ``(N, C, H, W)``."""
    height, width = images.shape[-2:]
    scale = coordinates.new_tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)]).view(1, 2, 1, 1)
    return _read(images, *(coordinates * scale - 1).split(1, 1))


def sample_spline(coefficients: Tensor, coordinates: Tensor) -> Tensor:
    """Cubic B-spline samples ``(N, C, H', W')`` from `spline_coefficients` ``(N, C, H, W)``.

    The 16 taps are four bilinear reads at shifted places (Sigg and Hadwiger, GPU Gems 2, chapter 20): exact, and on a
    CPU as fast as one bicubic read.
    """
    height, width = coefficients.shape[-2:]
    padded = F.pad(coefficients, (_MARGIN, _MARGIN, _MARGIN, _MARGIN), mode="reflect")
    weight_x, left, right = _pair(coordinates[:, :1], width)
    weight_y, up, down = _pair(coordinates[:, 1:], height)
    top = torch.lerp(_read(padded, right, up), _read(padded, left, up), weight_x)
    bottom = torch.lerp(_read(padded, right, down), _read(padded, left, down), weight_x)
    return torch.lerp(bottom, top, weight_y)


_MARGIN = 2
"""Mirrored coefficients on each side: what the spline needs at the outermost pixel."""


def _pair(x: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Weight of the first of two linear reads that make up four spline taps of a line, and their places for `_read`."""
    x = x.clamp(0, size - 1)
    base = x.detach().floor()
    f = x - base
    square = f * f
    cube = square * f
    first = (5 - 3 * (f + square) + 2 * cube) / 6
    inner, outer = (2 / 3 - square + cube / 2) / first, cube / 6 / (1 - first)
    scale = 2 / (size + 2 * _MARGIN - 1)
    left, right = base + (inner + (_MARGIN - 1)), base + (outer + (_MARGIN + 1))
    return first, left * scale - 1, right * scale - 1


def _read(padded: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Linear reads where -1 and 1 are the centres of the outer pixels."""
    grid = torch.cat([x, y], 1).permute(0, 2, 3, 1)
    return F.grid_sample(padded, grid, mode="bilinear", padding_mode="border", align_corners=True)


def invert(displacement: Tensor, iterations: int = 8) -> Tensor:
    """Where each pixel came from: coordinates ``q`` with ``q + displacement(q) = p`` for all pixels ``p``.

    Fixed-point iteration ``q <- p - displacement(q)``, which converges where the displacement changes by less than one
    px per px; elsewhere it is smoothed first (`without_folds`). All but the last step run without gradient, which is
    the gradient of the fixed point to first order.
    """
    displacement = without_folds(displacement)
    grid = pixel_grid(*displacement.shape[-2:], like=displacement)
    with torch.no_grad():
        q = grid - displacement
        for _ in range(iterations - 1):
            q = grid - sample_linear(displacement, q)
    return grid - sample_linear(displacement, q)


def without_folds(displacement: Tensor) -> Tensor:
    """The displacement, smoothed where neighbours would pass each other, and only there.

    Nothing in a face does that; errors of a measured motion do, once they are magnified, and would leave a spray of
    single pixels from far away.
    """
    for sigma in (2.0, 4.0, 8.0, 16.0):
        folded = _strain(displacement) > STRAIN_LIMIT
        if not folded.any():
            break
        reach = 2 * int(sigma) + 1
        near = F.max_pool2d(folded.to(displacement), (reach, 1), 1, (reach // 2, 0))
        near = F.max_pool2d(near, (1, reach), 1, (0, reach // 2))
        displacement = torch.lerp(displacement, wide_blur(displacement, sigma), wide_blur(near, sigma / 2))
    return displacement


STRAIN_LIMIT = 0.9
"""Change of displacement per px that is still followed."""


def _strain(displacement: Tensor) -> Tensor:
    """Length of the gradient of the displacement, ``(N, 1, H, W)``."""
    across = F.pad(displacement[..., 1:] - displacement[..., :-1], (0, 1))
    down = F.pad(displacement[..., 1:, :] - displacement[..., :-1, :], (0, 0, 0, 1))
    return (across.square() + down.square()).sum(1, keepdim=True).sqrt()
