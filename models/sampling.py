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

from .filters import convolve_symmetric, wide_blur

_POLE = math.sqrt(3) - 2
_TAPS = [math.sqrt(3) * _POLE**k for k in range(13)]
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
    grid = (coordinates * scale - 1).permute(0, 2, 3, 1)
    # align_corners=True: -1 and 1 are the centres of the outer pixels, as the scale above says.
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)


def sample_spline(coefficients: Tensor, coordinates: Tensor) -> Tensor:
    """Cubic B-spline samples ``(N, C, H', W')`` from `spline_coefficients` ``(N, C, H, W)``.

    The 16 taps are four bilinear reads at shifted places (Sigg and Hadwiger, GPU Gems 2, chapter 20): exact, and on a
    CPU as fast as one bicubic read.
    """
    height, width = coefficients.shape[-2:]
    # Two mirrored coefficients on each side: what the spline needs at the outermost pixel.
    padded = F.pad(coefficients, (2, 2, 2, 2), mode="reflect")
    x, y = coordinates[:, :1].clamp(0, width - 1), coordinates[:, 1:].clamp(0, height - 1)
    (wx, left, right), (wy, up, down) = _pair(x + 2), _pair(y + 2)
    top = _mix(padded, left, right, up, wx)
    bottom = _mix(padded, left, right, down, wx)
    return torch.lerp(bottom, top, wy)


def _pair(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weight of the first of two linear reads that make up four spline taps, and the two places."""
    base = x.detach().floor()
    f = x - base
    w0, w3 = (1 - f) ** 3 / 6, f**3 / 6
    w1 = (4 - 6 * f**2 + 3 * f**3) / 6
    first = w0 + w1
    second = 1 - first
    return first, base - 1 + w1 / first, base + 1 + w3 / second


def _mix(padded: Tensor, left: Tensor, right: Tensor, row: Tensor, weight: Tensor) -> Tensor:
    return torch.lerp(
        sample_linear(padded, torch.cat([right, row], 1)), sample_linear(padded, torch.cat([left, row], 1)), weight
    )


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
