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
from functools import lru_cache

import torch
from torch import Tensor

from ..filters import wide_blur
from ..medians import medians
from ..sampling import sample_spline
from .bands import Planes
from .blocks import SAMPLED, Blocks, noise_in_blocks
from .levels import BLOCKS_WINDOW, WINDOWS_PX, ReferenceLevel, product, variances
from .light import light_between


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One Gauss-Newton step from every window and, last, no step at all; and how far each is to be trusted."""

    steps: Tensor
    """``(N, K + 1, 2, h, w)`` in px."""
    error: Tensor
    """Expected squared error of the displacement after each step, ``(N, K + 1, h, w)`` in px^2."""
    variance: Tensor
    """The part of it that noise makes."""
    residual: Tensor
    """Reference minus warped frame, ``(N, 3, h, w)``."""
    noise: Tensor
    """Image noise sigma per frame, ``(N, 1, 1, 1)``."""


@dataclass(frozen=True, kw_only=True)
class Estimate(Planes):
    """A displacement ``(N, 2, h, w)`` in px, and its expected squared error, each ``(N, h, w)`` in px^2."""

    displacement: Tensor
    error: Tensor
    variance: Tensor
    """The part of the error that noise makes."""


@dataclass(frozen=True, kw_only=True)
class Unexplained(Planes):
    """What is left of a reference minus the warped frame, and the noise that it shows."""

    residual: Tensor
    """``(N, 3, h, w)``, in the light of the reference."""
    moments: Tensor
    """`moments_of` the residual."""
    noise: Tensor
    """Sigma per frame, ``(N, 1, 1, 1)``."""
    blocks: Blocks


def gather_evidence(level: ReferenceLevel, frame_coefficients: Tensor, grid: Tensor, now: Estimate) -> Evidence:
    """Steps of all windows from an estimate that a search ended with.

    Taking no step competes with the same rules: where a finer level has too little texture to say anything, the
    estimate of the coarser one stands.
    """
    return weigh(level, unexplained(level, frame_coefficients, grid, now, settled=True), now)


def unexplained(
    level: ReferenceLevel, frame_coefficients: Tensor, grid: Tensor, now: Estimate, *, settled: bool
) -> Unexplained:
    """What the present estimate leaves of a frame; ``settled`` in a level's last step, when motion has been found."""
    warped = sample_spline(frame_coefficients, grid + now.displacement)
    residual = level.image + light_between(level.image, warped).on(level.image) - warped
    noise = torch.maximum(_noise_sigma(level, residual), level.least_noise)
    moments = moments_of(level, residual)
    step = window_step(level, BLOCKS_WINDOW, moments)
    left = residual - level.gradient_x * step[:, :1] - level.gradient_y * step[:, 1:]
    blocks = noise_in_blocks(left.detach(), WINDOWS_PX, halvings=level.halvings, settled=settled)
    return Unexplained(residual=residual, moments=moments, noise=noise, blocks=blocks)


def weigh(level: ReferenceLevel, found: Unexplained, now: Estimate) -> Evidence:
    """The evidence in a residual; all may be the same band of their pictures."""
    steps = [_twiced(level, k, found.moments) for k in range(len(WINDOWS_PX))]
    steps.append(torch.zeros_like(steps[0]))
    local = wide_blur(found.residual.square().mean(1, keepdim=True), RESIDUAL_PX).clamp(min=0)
    power, times = torch.maximum(local, found.noise**2)[:, 0], found.blocks.times.unbind(1)
    variance = [each * power * more for each, more in zip(variances(level, found.noise), times, strict=True)]
    expected, stacked = torch.stack([*variance, now.error], 1), torch.stack(steps, 1)
    return Evidence(
        steps=stacked,
        error=expected + _inconsistency(stacked, expected),
        variance=torch.stack([*variance, now.variance], 1),
        residual=found.residual,
        noise=found.noise,
    )


def moments_of(level: ReferenceLevel, residual: Tensor) -> Tensor:
    """The reference's slopes times a residual ``(N, 3, h, w)``, summed over colours: ``(N, 2, h, w)``."""
    colours = residual.unbind(1)
    return torch.stack([weighed(slopes, colours) for slopes in (level.gradient_x, level.gradient_y)], 1)


def _twiced(level: ReferenceLevel, k: int, moments: Tensor) -> Tensor:
    """Step of window ``k``, and the same window's on what that step leaves.

    One use of a window flattens a motion whose width is near its own: a push of sigma 10 px by a fifth in a window of
    sigma 4.8 px. Used twice, by a thirtieth, and what noise adds grows less than in a window as small as that takes.
    """
    step = window_step(level, k, moments)
    return step + window_step(level, k, moments - product(level.products, step))


def window_step(level: ReferenceLevel, k: int, moments: Tensor) -> Tensor:
    """Lucas and Kanade's step in window ``k``, ``(N, 2, h, w)`` in px, from `moments_of` a residual."""
    return product(level.inverse[:, k], wide_blur(moments, WINDOWS_PX[k]))


def _noise_sigma(level: ReferenceLevel, residual: Tensor) -> Tensor:
    """Robust noise level of the residual, by the median of single pixels.

    Two noisy pictures of 8 bits differ by whole levels where nothing has moved, and a median of those knows the noise
    to half a level only; so as much as rounding is added evenly, and taken off again.
    """
    values, rounding = residual.detach().flatten(1)[:, ::SAMPLED], level.least_noise.flatten(1)
    plain = _sigma(values)
    if level.halvings:
        return plain.view(-1, 1, 1, 1)
    spread = _sigma(values + _evenly(values.shape[1], values.device) * (math.sqrt(12) * rounding))
    between = (spread.square() - rounding.square()).clamp(min=0).sqrt()
    return torch.where(plain > NOISY * rounding, between, plain).view(-1, 1, 1, 1)


def _sigma(values: Tensor) -> Tensor:
    """Of normally distributed values ``(N, M)`` around nothing, ``(N, 1)``."""
    return medians(values.abs())[:, None] / 0.6745


@lru_cache(maxsize=8)
def _evenly(count: int, device: torch.device) -> Tensor:
    """Multiples of the golden ratio, which fill the interval from -0.5 to 0.5 evenly, every time alike; counted in
    whole numbers, so at any length."""
    with torch.inference_mode(False):
        return (torch.arange(count, device=device) * GOLDEN).remainder(2**16) / 2**16 - 0.5


NOISY = 3.0
"""Noise in parts of that of rounding from which on steps of 8 bits are looked between: less is rounding itself."""
GOLDEN = 40503
"""2^16 divided by the golden ratio."""


def _inconsistency(steps: Tensor, variance: Tensor) -> Tensor:
    """Squared bias of each window, seen by its disagreement with all smaller windows beyond what noise explains.

    Lepski's principle: a window is too large for the local motion as soon as it contradicts a smaller one.
    """
    (x, y), noise = (part.unbind(1) for part in steps.unbind(2)), (NOISE_MARGIN * variance).unbind(1)
    worst = [torch.zeros_like(noise[0])]
    for k in range(1, len(x)):
        gap = torch.full_like(noise[0], -math.inf)
        for j in range(k):
            across, down = x[k] - x[j], y[k] - y[j]
            gap = torch.maximum(gap, torch.addcmul(across * across, down, down) - noise[j])
        worst.append(torch.maximum(gap - noise[k], worst[-1]))
    return torch.stack(worst, 1)


RESIDUAL_PX = 4.8
"""Sigma of the window in which the unexplained residual is taken for noise, where it exceeds that of the picture."""

TRUST = 2.0

NOISE_MARGIN = 5.0
"""Multiple of the expected noise variance that is not yet called a contradiction."""


def by_windows(evidence: Evidence, now: Estimate, *, may_stay: bool = True) -> Estimate:
    """The next estimate by the prior: each window's step weighed as by `trust_logits`, not smoothed yet.

    ``may_stay``: taking no step is among them.
    """
    error = evidence.error.unbind(1)[: None if may_stay else -1]
    weights = [(each + 1e-8) ** -TRUST for each in error]
    total = sum(weights[1:], weights[0])
    return Estimate(
        displacement=now.displacement + weighed(evidence.steps, weights) / total[:, None],
        error=weighed(evidence.error, weights) / total,
        variance=weighed(evidence.variance, weights) / total,
    )


def weighed(values: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Sum over K of ``(N, K, ..., h, w)`` times as many weights ``(N, h, w)``; what has no weight is left out."""
    total = values.new_zeros(())
    for each, weight in zip(values.unbind(1), weights, strict=False):
        total = torch.addcmul(total, each, weight if each.ndim == weight.ndim else weight[:, None])
    return total


def trust_logits(error: Tensor) -> Tensor:
    """Logits ``(N, K, h, w)`` whose softmax weights go with the inverse expected error to the power `TRUST`."""
    return -TRUST * (error + 1e-8).log()
