# SPDX-License-Identifier: Apache-2.0
"""Separable filters and the image pyramid that the networks share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

MATRIX_PX = 96
"""Lines of up to so many px are filtered by one product with a matrix. Sums of shifted views of pictures this small
spend their time on being called: at 64 px a product takes a quarter of the time, at 24 px a tenth (CPU, one core)."""

BLOCK_PX = 32
"""Longer lines are filtered in blocks of so many px, each with what its ends need: a third to a fifth of the time of
sums of shifted views (256 px, one to three planes), which read a plane twice for every tap."""


def convolve_symmetric(images: Tensor, taps: Sequence[float], dim: int) -> Tensor:
    """Convolve ``(N, C, H, W)`` along ``dim`` (2 or 3) with the symmetric kernel whose right half is ``taps``.

    ``taps[0]`` is the centre. Borders are mirrored about the edge pixel, repeatedly where the kernel is longer than
    the picture.
    """
    if not _by_matrix(images):
        return _shifted_sums(images, taps, dim)
    size = images.shape[dim]
    if size <= MATRIX_PX:
        return _times(images, _convolution(tuple(taps), size, images.dtype), dim)
    return _in_blocks(images, taps, dim)


def _by_matrix(images: Tensor) -> bool:
    """On an accelerator products may be rounded to fewer digits (TF32), and calls cost less."""
    return images.device.type == "cpu"


def _times(images: Tensor, matrix: Tensor, dim: int) -> Tensor:
    """Each line along ``dim`` times a matrix."""
    return images @ matrix if dim == 3 else matrix.T @ images


def _matrix(filtered: Callable[[Tensor], Tensor], size: int, dtype: torch.dtype) -> Tensor:
    """The matrix of a linear filter of lines: what it makes of every unit line ``(1, 1, size, size)``."""
    # Kept from call to call, so it must be of use for gradients too, wherever it is first asked for.
    with torch.inference_mode(False), torch.no_grad():
        return filtered(torch.eye(size, dtype=torch.float64)[None, None])[0, 0].to(dtype)


@lru_cache(maxsize=256)
def _convolution(taps: tuple[float, ...], size: int, dtype: torch.dtype) -> Tensor:
    return _matrix(lambda lines: _shifted_sums(lines, taps, 3), size, dtype)


@lru_cache(maxsize=256)
def _block(taps: tuple[float, ...], dtype: torch.dtype) -> Tensor:
    """A block's pixels from those it needs, ``(BLOCK_PX + 2 * radius, BLOCK_PX)``."""
    radius = len(taps) - 1
    return _matrix(lambda lines: _sums(lines, taps, 3), BLOCK_PX + 2 * radius, dtype)


def _in_blocks(images: Tensor, taps: Sequence[float], dim: int) -> Tensor:
    radius, size = len(taps) - 1, images.shape[dim]
    missing = -size % BLOCK_PX
    matrix = _block(tuple(taps), images.dtype)
    needed = _mirror(images, radius, radius + missing, dim).unfold(dim, len(matrix), BLOCK_PX)
    if dim == 3:
        # Folded by hand: a product of views would be one small product for every line.
        made = (needed.reshape(-1, len(matrix)) @ matrix).view(*images.shape[:3], -1)
    else:
        made = (matrix.T @ needed.transpose(3, 4)).flatten(2, 3)
    return made.narrow(dim, 0, size)


def _shifted_sums(images: Tensor, taps: Sequence[float], dim: int) -> Tensor:
    """About twice as fast as a one-channel convolution (CPU, 256 px)."""
    radius = len(taps) - 1
    return _sums(_mirror(images, radius, radius, dim), taps, dim)


def _sums(padded: Tensor, taps: Sequence[float], dim: int) -> Tensor:
    radius = len(taps) - 1
    size = padded.shape[dim] - 2 * radius
    out = padded.narrow(dim, radius, size) * taps[0]
    for k in range(1, radius + 1):
        pair = padded.narrow(dim, radius - k, size) + padded.narrow(dim, radius + k, size)
        out = torch.add(out, pair, alpha=taps[k])
    return out


def _mirror(images: Tensor, before: int, after: int, dim: int) -> Tensor:
    size = images.shape[dim]
    if max(before, after) < size:
        return F.pad(images, (before, after, 0, 0) if dim == 3 else (0, 0, before, after), mode="reflect")
    period = max(2 * (size - 1), 1)
    index = torch.arange(-before, size + after, device=images.device).remainder(period)
    return images.index_select(dim, torch.minimum(index, period - index))


@lru_cache(maxsize=256)
def gaussian_taps(sigma: float) -> tuple[float, ...]:
    """Right half of a normalised Gaussian, cut at 3 sigma."""
    radius = max(1, math.ceil(3 * sigma))
    return summing_to_one([math.exp(-0.5 * (k / sigma) ** 2) for k in range(radius + 1)])


def summing_to_one(taps: Sequence[float]) -> tuple[float, ...]:
    """Taps as for `convolve_symmetric`, normalised, in whole parts of 2^-22: float32 holds every partial sum of them.

    So what is 0 or 1 all over a kernel stays so to the last bit, in whatever order sums are made: masks do.
    """
    norm = taps[0] + 2 * sum(taps[1:])
    sides = [round(tap / norm * 2**22) / 2**22 for tap in taps[1:]]
    return (1 - 2 * sum(sides), *sides)


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """Blur ``(N, C, H, W)``; ``sigma`` in px is the nominal width of the untruncated kernel."""
    taps = gaussian_taps(sigma)
    return convolve_symmetric(convolve_symmetric(images, taps, 2), taps, 3)


def wide_blur(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of any width at bounded cost: above sigma 3 the work is done on a halved picture, recursively.

    Halving by 2x2 means and doubling by linear interpolation blur by themselves (variance 1/4 and about 1/2 px^2 of
    the larger grid); that is taken off the nominal sigma.
    """
    height, width = images.shape[-2:]
    halvings = _halvings(min(height, width), sigma)
    if not halvings:
        return gaussian_blur(images, sigma)
    if _by_matrix(images) and max(height, width) <= MATRIX_PX:
        rows, columns = (_wide(sigma, halvings, size, images.dtype) for size in (height, width))
        return _times(_times(images, rows, 2), columns, 3)
    blurred = wide_blur(means_of_four(images), _inner(sigma))
    return doubled(blurred)[..., :height, :width]


def means_of_four(images: Tensor) -> Tensor:
    """2 x 2 means, an odd edge counted twice; a fifth of the time of a pooling layer (CPU, 256 px)."""
    images = continued(images, 2)
    rows = images[..., ::2, :] + images[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]) / 4


def continued(images: Tensor, multiple: int) -> Tensor:
    """With the last row and column repeated until height and width are multiples of a number."""
    height, width = images.shape[-2:]
    if not (height % multiple or width % multiple):
        return images
    return F.pad(images, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def doubled(images: Tensor) -> Tensor:
    """Linear interpolation at twice the size: pixel areas, not pixel centres, coincide (align_corners=False)."""
    # Plane by plane: three channels would be taken for colours of pixels, at three times the cost.
    planes = images.reshape(-1, 1, *images.shape[-2:])
    doubled = F.interpolate(planes, scale_factor=2, mode="bilinear", align_corners=False)
    return doubled.view(*images.shape[:2], *doubled.shape[-2:])


def _inner(sigma: float) -> float:
    """What is left to blur on the halved picture, in its px."""
    return math.sqrt(sigma**2 - 0.75) / 2


def _halvings(shorter: int, sigma: float) -> int:
    """How often `wide_blur` halves a picture."""
    return 0 if sigma <= 3 or shorter < 32 else 1 + _halvings((shorter + 1) // 2, _inner(sigma))


@lru_cache(maxsize=256)
def _wide(sigma: float, halvings: int, size: int, dtype: torch.dtype) -> Tensor:
    return _matrix(lambda lines: _wide_lines(lines, sigma, halvings), size, dtype)


def _wide_lines(lines: Tensor, sigma: float, halvings: int) -> Tensor:
    """`wide_blur` of each line along the last dimension alone."""
    if not halvings:
        return _shifted_sums(lines, gaussian_taps(sigma), 3)
    size = lines.shape[3]
    even = F.pad(lines, (0, size % 2, 0, 0), mode="replicate")
    blurred = _wide_lines(F.avg_pool2d(even, (1, 2)), _inner(sigma), halvings - 1)
    return F.interpolate(blurred, scale_factor=(1, 2), mode="bilinear", align_corners=False)[..., :size]


def halve(images: Tensor) -> Tensor:
    """Next pyramid level: blur with sigma 1, then every second pixel, so that level coordinates are ``x / 2``."""
    return gaussian_blur(images, 1.0)[..., ::2, ::2]


def double_displacement(displacement: Tensor, size: tuple[int, int]) -> Tensor:
    """Displacement ``(N, 2, h, w)`` of one level on the next finer one of ``size``, in that level's px."""
    height, width = displacement.shape[-2:]
    y = torch.arange(size[0], device=displacement.device, dtype=displacement.dtype) / 2
    x = torch.arange(size[1], device=displacement.device, dtype=displacement.dtype) / 2
    rows = _linear_rows(displacement, y, 2, height)
    return 2 * _linear_rows(rows, x, 3, width)


def _linear_rows(values: Tensor, at: Tensor, dim: int, size: int) -> Tensor:
    low = at.floor().clamp(max=size - 1).long()
    high = (low + 1).clamp(max=size - 1)
    weight = (at - low).clamp(0, 1).view(-1, 1) if dim == 2 else (at - low).clamp(0, 1)
    return values.index_select(dim, low) * (1 - weight) + values.index_select(dim, high) * weight
