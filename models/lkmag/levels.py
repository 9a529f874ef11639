# SPDX-License-Identifier: Apache-2.0
"""What a reference contributes to its windows, level by level of its pyramid: all that is made once per clip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..filters import halve, wide_blur
from ..sampling import spline_coefficients, spline_gradient
from .bands import Planes
from .blocks import WINDOW_PX, pixels_of

WINDOWS_PX = (1.2, 2.4, 4.8, 9.6)
"""Window sigmas at every pyramid level, in that level's px."""

TWICED = 11 / 6
"""Noise variance of a Gaussian window that is used twice (Tukey's twicing), in parts of that of one use: in two
dimensions 4 - 4 * 2 / 3 + 1 / 2."""

BLOCKS_WINDOW = WINDOWS_PX.index(WINDOW_PX)
"""The window whose step is taken off before noise in blocks is looked for."""

AROUND_PX = 64.0
"""Sigma of the window in which textured places tell how long motion is."""


@dataclass(frozen=True, kw_only=True)
class ReferenceLevel(Planes):
    """What one pyramid level of the reference contributes; K windows. B is 1, or one reference for every frame."""

    image: Tensor
    gradient_x: Tensor
    gradient_y: Tensor
    products: Tensor
    """Of both gradients, summed over colours, ``(B, 3, h, w)``: xx, xy, yy."""
    inverse: Tensor
    """Damped inverse structure tensor per window, ``(B, K, 3, h, w)``: xx, xy, yy."""
    eigenvalues: Tensor
    """Of each window's structure tensor, ``(B, K, 2, h, w)``."""
    halvings: int
    """How often the picture was halved: 0 on the finest level."""
    least_noise: Tensor
    """Sigma, ``(B, 1, 1, 1)``."""

    @cached_property
    def texture(self) -> Tensor:
        """Square of the smallest eigenvalue in the window of `BLOCKS_WINDOW`, ``(B, 1, h, w)``."""
        return self.eigenvalues[:, BLOCKS_WINDOW, 1:].square()

    @cached_property
    def texture_around(self) -> Tensor:
        """Its mean in a window of `AROUND_PX`."""
        return wide_blur(self.texture, AROUND_PX)


def rounding_noise(pictures: Tensor) -> Tensor:
    """Least noise sigma to assume beside references ``(B, 3, H, W)``: the rounding of 8 bits where it shows, else 1e-4.

    Measured noise alone would be zero where two rounded frames agree to the last bit, and every window infinitely sure
    of a motion that rounding has swallowed.
    """
    levels = (pictures * 255).flatten(1)
    eight_bit = (levels - levels.round()).abs().amax(1) < 1e-3
    return torch.where(eight_bit, 1 / 255 / math.sqrt(12), 1e-4).to(pictures).view(-1, 1, 1, 1)


def pyramid(images: Tensor, levels: int) -> list[Tensor]:
    """Finest level first; stops early where the next one would be under 12 px."""
    out = [images]
    while len(out) < levels and min(out[-1].shape[-2:]) >= 24:
        out.append(halve(out[-1]))
    return out


def reference_level(image: Tensor, *, damping: float, least_noise: Tensor, halvings: int = 0) -> ReferenceLevel:
    """Gradients, structure tensors and their inverses of one level ``(B, 3, h, w)``."""
    gx, gy = spline_gradient(image, 3), spline_gradient(image, 2)
    products = torch.cat([(gx * gx).sum(1, True), (gx * gy).sum(1, True), (gy * gy).sum(1, True)], 1)
    tensors = torch.stack([wide_blur(products, sigma) for sigma in WINDOWS_PX], 1)
    xx, xy, yy = tensors[:, :, 0] + damping, tensors[:, :, 1], tensors[:, :, 2] + damping
    mean, apart = (xx + yy) / 2, (((xx - yy) / 2).square() + xy * xy).sqrt()
    return ReferenceLevel(
        image=image,
        gradient_x=gx,
        gradient_y=gy,
        products=products,
        inverse=torch.stack([yy, -xy, xx], 2) / (xx * yy - xy * xy)[:, :, None],
        eigenvalues=torch.stack([mean + apart, (mean - apart).clamp(min=damping)], 2),
        halvings=halvings,
        least_noise=least_noise,
    )


def variances(level: ReferenceLevel, noise: Tensor) -> list[Tensor]:
    """Variance of each window's displacement for unit image noise, K of ``(N, h, w)`` in px^2.

    Of the reference's slopes those that noise explains say nothing: in flat parts all of them, and a window that took
    them for texture would be sure of what it makes up.
    """
    white = level.halvings == 0
    correlation = 1.0 if white else 4 * math.pi / 3 * (1 - 4.0**-level.halvings)
    # Two pictures make the noise of a residual, one that of the slopes.
    made_up = 3 * (SLOPE_NOISE if white else SLOPE_NOISE_HALVED) * torch.maximum(noise**2 / 2, level.least_noise**2)
    made_up = made_up[:, 0]
    found = []
    for k, sigma in enumerate(WINDOWS_PX):
        independent = pixels_of(sigma) / correlation
        least = made_up * math.sqrt(0.5 / independent) + LEAST_SLOPE
        parts = [each / torch.maximum(each - made_up, least).square() for each in level.eigenvalues[:, k].unbind(1)]
        found.append((parts[0] + parts[1]) * (TWICED / independent))
    return found


SLOPE_NOISE, SLOPE_NOISE_HALVED = 1.39, 1.03
"""Squared slope that white noise of unit variance has in a cubic spline, and that it has after one or more halvings, by
its spectrum. There it is correlated, too: windows lose so much less of it, pi at first and 4 pi / 3 in the end."""
LEAST_SLOPE = 1e-6


def product(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Symmetric matrices ``(N, 3, h, w)`` of xx, xy, yy times vectors ``(N, 2, h, w)``."""
    (xx, xy, yy), (x, y) = matrices.unbind(1), vectors.unbind(1)
    return torch.stack([torch.addcmul(xx * x, xy, y), torch.addcmul(xy * x, yy, y)], 1)


def coefficients_of(levels: Sequence[Tensor]) -> list[Tensor]:
    """Spline coefficients of every pyramid level."""
    return [spline_coefficients(level) for level in levels]
