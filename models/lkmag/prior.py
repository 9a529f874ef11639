# SPDX-License-Identifier: Apache-2.0
"""Lucas-Kanade displacement with several window sizes: the closed-form heart of the magnifier."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..filters import wide_blur
from .level import WINDOWS_PX, ReferenceLevel, Slopes, Windows
from .unexplained import Unexplained, noise_power, remainder, unexplained

TWICED = 11 / 6
"""Noise variance of a Gaussian window that is used twice (Tukey's twicing), in parts of that of one use: in two
dimensions 4 - 4 * 2 / 3 + 1 / 2."""

LEAST_SLOPE = 1e-6
"""Least squared slope (per px) that a window is said to see beside noise."""

TRUST = 1.6

NOISE_MARGIN = 5.0
"""Multiple of the expected noise variance that is not yet called a contradiction. With 2 motion of many px is found
better (rendered and clean: errors smaller by a tenth) and 0.3 px in a picture of a painting worse by a quarter."""


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
class Estimate:
    """A displacement ``(N, 2, h, w)`` in px, and its expected squared error, each ``(N, h, w)`` in px^2."""

    displacement: Tensor
    error: Tensor
    variance: Tensor
    """The part of the error that noise makes."""

    def at(self, rows: slice, columns: slice = slice(None)) -> Estimate:
        """A band, or another part, of the estimate."""
        return Estimate(
            displacement=self.displacement[..., rows, columns],
            error=self.error[..., rows, columns],
            variance=self.variance[..., rows, columns],
        )


def gather_evidence(level: ReferenceLevel, frame_coefficients: Tensor, grid: Tensor, now: Estimate) -> Evidence:
    """Steps of all windows from an estimate that a search ended with.

    Taking no step competes with the same rules: where a finer level has too little texture to say anything, the
    estimate of the coarser one stands.
    """
    residual, noise = remainder(level, frame_coefficients, grid, now.displacement)
    slopes = level.slopes(noise.square())
    return weigh(slopes, slopes.windows(), unexplained(slopes, residual, noise, settled=True), now)


def weigh(slopes: Slopes, windows: Windows, found: Unexplained, now: Estimate) -> Evidence:
    """The evidence in a residual; all may be the same band of their pictures."""
    steps = [_twiced(windows, k, found.moments) for k in range(len(WINDOWS_PX))]
    steps.append(torch.zeros_like(steps[0]))
    power = noise_power(found.residual, found.noise) * found.coarseness
    variance = _variance(slopes, windows) * power
    expected = torch.cat([variance, now.error[:, None]], 1)
    stacked = torch.stack(steps, 1)
    return Evidence(
        steps=stacked,
        error=expected + _inconsistency(stacked, expected),
        variance=torch.cat([variance * _gathered(windows), now.variance[:, None]], 1),
        residual=found.residual,
        noise=found.noise,
    )


def _twiced(windows: Windows, k: int, moments: Tensor) -> Tensor:
    """Step of window ``k``, and the same window's on what that step leaves.

    One use of a window flattens a motion whose width is near its own: a push of sigma 10 px by a fifth in a window of
    sigma 4.8 px. Used twice, by a thirtieth, and what noise adds grows less than in a window as small as that takes.
    """
    step = windows.step(k, wide_blur(moments, WINDOWS_PX[k]))
    (xx, xy, yy), (x, y) = windows.products.unbind(1), step.unbind(1)
    left = moments - torch.stack([xx * x + xy * y, xy * x + yy * y], 1)
    return step + windows.step(k, wide_blur(left, WINDOWS_PX[k]))


def _variance(slopes: Slopes, windows: Windows) -> Tensor:
    """Variance of each window's displacement for unit image noise, ``(N, K, h, w)`` in px^2.

    Slopes that noise explains say nothing: in flat parts all of them, and a window that took them for texture would be
    sure of what it makes up.
    """
    correlation = 4 * math.pi / 3 * (1 - 4.0**-slopes.halvings) if slopes.halvings else 1.0
    least = windows.made_up * (0.5 * correlation / slopes.pixels).sqrt() + LEAST_SLOPE
    real = torch.maximum(windows.eigenvalues - windows.made_up[:, :, None], least[:, :, None])
    real = torch.minimum(real, windows.eigenvalues)
    return (windows.eigenvalues / real.square()).sum(2) * (TWICED * correlation / slopes.pixels)


def _gathered(windows: Windows) -> Tensor:
    """How many times that variance noise alone may show, ``(N, K, h, w)``, 1 or more.

    Where a window's middle has more texture than its rest (an edge, a pore), fewer pixels than it has carry its step:
    by the root of the ratio, as of a window narrower by the root of 2. To tell noise by; windows that are weighed by it
    stay on coarse levels where finer ones know better.
    """
    strength = torch.cat([windows.products[:, :1] + windows.products[:, 2:], windows.eigenvalues.sum(2)], 1)
    return (strength[:, :-1] / (strength[:, 1:] + LEAST_STRENGTH)).clamp(min=1).sqrt()


LEAST_STRENGTH = 1e-9


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


def trust_logits(error: Tensor) -> Tensor:
    """Logits ``(N, K, h, w)`` whose softmax weights go with the inverse expected error to the power `TRUST`."""
    return -TRUST * (error + 1e-8).log()
