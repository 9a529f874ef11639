# SPDX-License-Identifier: Apache-2.0
"""Lucas-Kanade displacement with several window sizes: the closed-form heart of the magnifier."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..filters import wide_blur
from ..sampling import sample_spline
from .bands import Planes
from .blocks import SAMPLED, Blocks, noise_in_blocks
from .level import MIDDLE, WINDOWS_PX, ReferenceLevel, Slopes, Windows
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
class Unexplained:
    """What is left of a reference minus the warped frame, and the noise that it shows."""

    residual: Tensor
    """``(N, 3, h, w)``, in the light of the reference."""
    moments: Tensor
    """`Slopes.moments` of the residual."""
    noise: Tensor
    """Sigma per frame, ``(N, 1, 1, 1)``."""
    blocks: Blocks

    def rows(self, kept: slice) -> Unexplained:
        """A band of it."""
        return Unexplained(
            residual=self.residual[..., kept, :],
            moments=self.moments[..., kept, :],
            noise=self.noise,
            blocks=self.blocks,
        )


def gather_evidence(level: ReferenceLevel, frame_coefficients: Tensor, grid: Tensor, now: Estimate) -> Evidence:
    """Steps of all windows from an estimate that a search ended with.

    Taking no step competes with the same rules: where a finer level has too little texture to say anything, the
    estimate of the coarser one stands.
    """
    slopes, left = unexplained(level, frame_coefficients, grid, now, settled=True)
    return weigh(slopes.windows, left, now)


def unexplained(
    level: ReferenceLevel, frame_coefficients: Tensor, grid: Tensor, now: Estimate, *, settled: bool
) -> tuple[Slopes, Unexplained]:
    """What the present estimate leaves of a frame, and the slopes to explain it by, as far as they exceed that noise.

    ``settled`` in a level's last step, when motion has been found. The slopes are others in every step: motion that is
    still to be found looks like noise.
    """
    warped = sample_spline(frame_coefficients, grid + now.displacement)
    residual = level.image + light_between(level.image, warped).on(level.image) - warped
    noise = torch.maximum(_noise_sigma(level, residual), level.least_noise)
    slopes = level.slopes(noise.square())
    moments = slopes.moments(residual)
    step = slopes.windows.step(MIDDLE, moments)
    left = residual - slopes.x * step[:, :1] - slopes.y * step[:, 1:]
    blocks = noise_in_blocks(left.detach(), WINDOWS_PX, halvings=level.halvings, settled=settled)
    return slopes, Unexplained(residual=residual, moments=moments, noise=noise, blocks=blocks)


def weigh(windows: Windows, found: Unexplained, now: Estimate) -> Evidence:
    """The evidence in a residual; all may be the same band of their pictures."""
    steps = [windows.twiced(k, found.moments) for k in range(len(WINDOWS_PX))]
    steps.append(torch.zeros_like(steps[0]))
    local = wide_blur(found.residual.square().mean(1, keepdim=True), RESIDUAL_PX).clamp(min=0)
    variance = windows.variance * torch.maximum(local, found.noise**2) * found.blocks.times
    expected = torch.cat([variance, now.error[:, None]], 1)
    stacked = torch.stack(steps, 1)
    return Evidence(
        steps=stacked,
        error=expected + _inconsistency(stacked, expected),
        variance=torch.cat([variance * windows.gathered(), now.variance[:, None]], 1),
        residual=found.residual,
        noise=found.noise,
    )


def _noise_sigma(level: ReferenceLevel, residual: Tensor) -> Tensor:
    """Robust noise level of the residual, by the median of single pixels.

    Two noisy pictures of 8 bits differ by whole levels where nothing has moved, and a median of those knows the noise
    to half a level only; so as much as rounding is added evenly, and taken off again.
    """
    values, rounding = residual.detach().flatten(1)[:, ::SAMPLED], level.least_noise.flatten(1)
    plain = values.abs().median(1, keepdim=True).values / 0.6745
    if level.halvings:
        return plain.view(-1, 1, 1, 1)
    # Multiples of the golden ratio fill the interval evenly, every time alike, and as whole numbers at any length.
    evenly = (torch.arange(values.shape[1], device=values.device) * GOLDEN).remainder(2**16) / 2**16 - 0.5
    spread = (values + evenly * (math.sqrt(12) * rounding)).abs().median(1, keepdim=True).values / 0.6745
    between = (spread.square() - rounding.square()).clamp(min=0).sqrt()
    return torch.where(plain > NOISY * rounding, between, plain).view(-1, 1, 1, 1)


NOISY = 3.0
"""Noise in parts of that of rounding from which on steps of 8 bits are looked between: less is rounding itself."""
GOLDEN = 40503
"""2^16 divided by the golden ratio."""


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

TRUST = 2.0
"""Power of its expected error by which a window counts for less."""

NOISE_MARGIN = 5.0
"""Multiple of the expected noise variance that is not yet called a contradiction."""


def by_windows(evidence: Evidence, now: Estimate, *, may_stay: bool = True) -> Estimate:
    """The next estimate by the prior: each window's step weighed as by `trust_logits`, not smoothed yet.

    ``may_stay``: taking no step is among them.
    """
    count = evidence.error.shape[1] - (not may_stay)
    error, steps = evidence.error[:, :count], evidence.steps[:, :count]
    weights = (error + 1e-8) ** -TRUST
    weights = weights / weights.sum(1, keepdim=True)
    step = (steps * weights[:, :, None]).sum(1)
    return Estimate(
        displacement=now.displacement + step,
        error=(error * weights).sum(1),
        variance=(evidence.variance[:, :count] * weights).sum(1),
    )


def trust_logits(error: Tensor, trust: float | Tensor = TRUST) -> Tensor:
    """Logits ``(N, K, h, w)`` whose softmax weights go with the inverse expected error to the power ``trust``."""
    return -trust * (error + 1e-8).log()
