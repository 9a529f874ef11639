# SPDX-License-Identifier: Apache-2.0
"""Lucas-Kanade displacement with several window sizes: the closed-form heart of the magnifier.

Inverse-compositional form (Baker and Matthews, 2004): gradients come from the reference alone, so that pyramid,
gradients and structure tensors are computed once per clip, and repeated steps converge to zero residual instead of
carrying the bias that noisy gradients put into a single step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..filters import halve, wide_blur
from ..sampling import sample_spline, spline_coefficients, spline_gradient

WINDOWS_PX = (1.2, 2.4, 4.8, 9.6)
"""Window sigmas at every pyramid level, in that level's px."""


@dataclass(frozen=True, kw_only=True)
class ReferenceLevel:
    """What one pyramid level of the reference contributes; K windows. B is 1, or one reference for every frame."""

    image: Tensor
    gradient_x: Tensor
    gradient_y: Tensor
    inverse: Tensor
    """Damped inverse structure tensor per window, ``(B, K, 3, h, w)``: xx, xy, yy."""
    variance: Tensor
    """Variance of each window's displacement for unit image noise, ``(B, K, h, w)`` in px^2."""
    least_noise: Tensor
    """Sigma, ``(B, 1, 1, 1)``."""

    def rows(self, kept: slice) -> ReferenceLevel:
        """A band of the level."""
        return ReferenceLevel(
            image=self.image[..., kept, :],
            gradient_x=self.gradient_x[..., kept, :],
            gradient_y=self.gradient_y[..., kept, :],
            inverse=self.inverse[..., kept, :],
            variance=self.variance[..., kept, :],
            least_noise=self.least_noise,
        )


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One Gauss-Newton step from every window and, last, no step at all; and how far each is to be trusted."""

    steps: Tensor
    """``(N, K + 1, 2, h, w)`` in px."""
    error: Tensor
    """Expected squared error of the displacement after each step, ``(N, K + 1, h, w)`` in px^2."""
    residual: Tensor
    """Reference minus warped frame, ``(N, 3, h, w)``."""
    noise: Tensor
    """Image noise sigma per frame, ``(N, 1, 1, 1)``."""


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


def reference_level(image: Tensor, *, damping: float, least_noise: Tensor) -> ReferenceLevel:
    """Gradients, structure tensors and their inverses of one level ``(B, 3, h, w)``."""
    gx, gy = spline_gradient(image, 3), spline_gradient(image, 2)
    products = torch.cat([(gx * gx).sum(1, True), (gx * gy).sum(1, True), (gy * gy).sum(1, True)], 1)
    tensors = torch.stack([wide_blur(products, sigma) for sigma in WINDOWS_PX], 1)
    xx, xy, yy = tensors[:, :, 0] + damping, tensors[:, :, 1], tensors[:, :, 2] + damping
    determinant = xx * yy - xy * xy
    inverse = torch.stack([yy, -xy, xx], 2) / determinant[:, :, None]
    pixels = torch.tensor([4 * math.pi * sigma**2 for sigma in WINDOWS_PX]).to(image).view(-1, 1, 1)
    return ReferenceLevel(
        image=image,
        gradient_x=gx,
        gradient_y=gy,
        inverse=inverse,
        variance=(inverse[:, :, 0] + inverse[:, :, 2]) / pixels,
        least_noise=least_noise,
    )


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A displacement ``(N, 2, h, w)`` in px, and the expected squared error of it, ``(N, h, w)`` in px^2."""

    displacement: Tensor
    error: Tensor

    def rows(self, kept: slice) -> Estimate:
        """A band of the estimate."""
        return Estimate(displacement=self.displacement[..., kept, :], error=self.error[..., kept, :])


def gather_evidence(level: ReferenceLevel, frame_coefficients: Tensor, grid: Tensor, now: Estimate) -> Evidence:
    """Steps of all windows from the present estimate.

    Taking no step competes with the same rules: where a finer level has too little texture to say anything, the
    estimate of the coarser one stands.
    """
    return weigh(level, *unexplained(level, frame_coefficients, grid, now), now)


def unexplained(
    level: ReferenceLevel, frame_coefficients: Tensor, grid: Tensor, now: Estimate
) -> tuple[Tensor, Tensor]:
    """Reference minus warped frame ``(N, 3, h, w)``, and the image noise sigma that it shows, ``(N, 1, 1, 1)``."""
    residual = level.image - sample_spline(frame_coefficients, grid + now.displacement)
    return residual, torch.maximum(_noise_sigma(residual), level.least_noise)


def weigh(level: ReferenceLevel, residual: Tensor, noise: Tensor, now: Estimate) -> Evidence:
    """The evidence in a residual; all but ``noise`` may be the same band of their pictures."""
    moments = torch.stack([(level.gradient_x * residual).sum(1), (level.gradient_y * residual).sum(1)], 1)
    steps = [_solve(level.inverse[:, k], wide_blur(moments, sigma)) for k, sigma in enumerate(WINDOWS_PX)]
    steps.append(torch.zeros_like(steps[0]))
    local = wide_blur(residual.square().mean(1, keepdim=True), RESIDUAL_PX).clamp(min=0)
    variance = level.variance * torch.maximum(local, noise**2)
    variance = torch.cat([variance, now.error[:, None]], 1)
    stacked = torch.stack(steps, 1)
    return Evidence(steps=stacked, error=variance + _inconsistency(stacked, variance), residual=residual, noise=noise)


def _solve(inverse: Tensor, moments: Tensor) -> Tensor:
    x, y = moments[:, 0], moments[:, 1]
    return torch.stack([inverse[:, 0] * x + inverse[:, 1] * y, inverse[:, 1] * x + inverse[:, 2] * y], 1)


def _noise_sigma(residual: Tensor) -> Tensor:
    """Robust noise level of the residual."""
    flat = residual.detach().abs().flatten(1)[:, ::7]
    return (flat.median(1).values / 0.6745).view(-1, 1, 1, 1)


def _inconsistency(steps: Tensor, variance: Tensor) -> Tensor:
    """Squared bias of each window, seen by its disagreement with all smaller windows beyond what noise explains.

    Lepski's principle: a window is too large for the local motion as soon as it contradicts a smaller one.
    """
    worst = [torch.zeros_like(variance[:, 0])]
    for k in range(1, steps.shape[1]):
        gap = torch.zeros_like(worst[0])
        for j in range(k):
            distance = (steps[:, k] - steps[:, j]).square().sum(1)
            gap = torch.maximum(gap, distance - NOISE_MARGIN * (variance[:, j] + variance[:, k]))
        worst.append(torch.maximum(gap, worst[-1]))
    return torch.stack(worst, 1)


RESIDUAL_PX = 4.8
"""Sigma of the window in which the unexplained residual is taken for noise, where it exceeds that of the picture."""

NOISE_MARGIN = 5.0
"""Multiple of the expected noise variance that is not yet called a contradiction."""


def trust_logits(error: Tensor, sharpness: float = 2.0) -> Tensor:
    """Logits ``(N, K, h, w)`` whose softmax weights go with the inverse expected error to the power ``sharpness``."""
    return -sharpness * (error + 1e-8).log()


def coefficients_of(levels: Sequence[Tensor]) -> list[Tensor]:
    """Spline coefficients of every pyramid level."""
    return [spline_coefficients(level) for level in levels]
