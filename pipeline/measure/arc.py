# SPDX-License-Identifier: Apache-2.0
"""One movement and its return in a curve: an arc on a drifting baseline, fitted between the frames.

The arc rises from its onset to its apex and falls to its offset as a raised cosine on either side, the two sides of
their own lengths. A line under it takes up what was there before: a baseline and its drift. Onset and offset
are where the arc meets that. As all frames of the stretch tell each of the times, these are known far better than to a
frame, and the scatter about the fit says how well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

SURROUNDINGS = 0.75
"""Baseline that belongs to a fit on either side, in durations of the arc."""
LEAST_SURROUNDINGS = 3.0
"""The same in frames, at the least."""
ITERATIONS = 60
PARAMETERS = 6
CI95 = 1.96
"""Half a 95 % interval in standard deviations."""
SHORTEST_SIDE = 0.5
"""In frames: a side of an arc that is shorter lies between two frames and could be of any length."""
RISES = (0.5, 0.3, 0.7)
"""Parts of the duration before the apex from which a fit sets out."""


@dataclass(frozen=True, kw_only=True)
class Arc:
    """Times in ms, height in the unit of the curve, and one standard deviation of each."""

    onset_ms: float
    apex_ms: float
    offset_ms: float
    height: float
    onset_sigma_ms: float
    apex_sigma_ms: float
    offset_sigma_ms: float
    duration_sigma_ms: float
    height_sigma: float

    @property
    def duration_ms(self) -> float:
        """From onset to offset."""
        return self.offset_ms - self.onset_ms

    def values(self, times_ms: Values) -> Values:
        """The arc without its baseline."""
        return self.height * shape(times_ms, self.onset_ms, self.apex_ms, self.offset_ms)


def shape(times_ms: Values, onset_ms: float, apex_ms: float, offset_ms: float) -> Values:
    """An arc of height 1: 0 up to the onset and from the offset on."""
    rise = (times_ms - onset_ms) / (apex_ms - onset_ms)
    fall = (offset_ms - times_ms) / (offset_ms - apex_ms)
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(np.minimum(rise, fall), 0, 1))


def fit_arc(times_ms: Values, values: Values, *, centre_ms: float, duration_ms: float, sigma: float) -> Arc:
    """The arc near ``centre_ms`` that fits best, of about ``duration_ms`` to begin with.

    ``sigma`` is the noise of a value; scatter beyond it, where the movement is no raised cosine, widens the standard
    deviations, too, and the more, the smoother it is. ``times_ms`` are evenly spaced.
    """
    frame = float(times_ms[1] - times_ms[0])
    reach = duration_ms * (0.5 + SURROUNDINGS) + LEAST_SURROUNDINGS * frame
    near = np.abs(times_ms - centre_ms) <= reach
    problem = _Problem(times_ms[near] - centre_ms, values[near], frame, 4 * duration_ms)
    fits = [problem.solve(np.array([0.0, r * duration_ms, (1 - r) * duration_ms])) for r in RISES]
    sides, cost = min(fits, key=lambda fit: fit[1])
    return problem.arc(sides, cost, centre_ms, sigma)


class _Problem:
    """Least squares over apex and the lengths of both sides; height and baseline follow from those linearly."""

    def __init__(self, times: Values, values: Values, frame: float, longest: float) -> None:
        self._times, self._values = times, values
        self._low = np.array([float(times.min()), *2 * [SHORTEST_SIDE * frame]])
        self._high = np.array([float(times.max()), *2 * [longest]])
        along = times / max(float(np.abs(times).max()), 1e-9)
        self._drift = np.stack([np.ones_like(times), along], axis=1)

    def _basis(self, sides: Values) -> Values:
        apex, rise, fall = sides
        return np.column_stack([shape(self._times, apex - rise, apex, apex + fall), self._drift])

    def _linear(self, sides: Values) -> tuple[Values, Values]:
        """Height and baseline, and what they leave."""
        basis = self._basis(sides)
        found: Values = np.linalg.lstsq(basis, self._values, rcond=None)[0].astype(np.float64)
        return found, self._values - basis @ found

    def _slopes(self, sides: Values, step: Values) -> Values:
        """How the remainder changes with each of the three, by central differences."""
        moves = np.diag(step)
        return np.stack([(self._linear(sides + m)[1] - self._linear(sides - m)[1]) / 2 for m in moves], axis=1) / step

    def solve(self, sides: Values) -> tuple[Values, float]:
        """Levenberg and Marquardt's method from ``sides`` on; the best sides and the sum of squares they leave."""
        sides = np.clip(sides, self._low, self._high)
        remainder = self._linear(sides)[1]
        cost, damping = float(remainder @ remainder), 1e-2
        for _ in range(ITERATIONS):
            slopes = self._slopes(sides, 1e-3 * sides[1:].min() * np.ones(3))
            normal, downhill = slopes.T @ slopes, slopes.T @ remainder
            step = np.linalg.lstsq(normal + damping * np.diag(np.diag(normal) + 1e-12), -downhill, rcond=None)[0]
            tried = np.clip(sides + step, self._low, self._high)
            left = self._linear(tried)[1]
            if (now := float(left @ left)) < cost:
                settled = cost - now <= 1e-10 * cost
                sides, remainder, cost, damping = tried, left, now, damping / 5
                if settled:
                    break
            else:
                damping *= 4
                if damping > 1e8:
                    break
        return sides, cost

    def arc(self, sides: Values, cost: float, centre: float, sigma: float) -> Arc:
        """With the standard deviations that all parameters have together."""
        (height, *_), _ = self._linear(sides)
        step = 1e-3 * float(sides[1:].min())
        moved = [
            height * (self._basis(sides + m)[:, 0] - self._basis(sides - m)[:, 0]) / (2 * step)
            for m in step * np.eye(3)
        ]
        design = np.column_stack([*moved, self._basis(sides)])
        free = len(self._times) - PARAMETERS
        variance = max(sigma**2, cost / free) * _repeated(self._linear(sides)[1]) if free > 0 else sigma**2
        spread = variance * np.linalg.pinv(design.T @ design)
        apex, rise, fall = sides

        def deviation(*weights: float) -> float:
            along = np.array([*weights, *[0.0] * (PARAMETERS - len(weights))])
            return float(np.sqrt(max(along @ spread @ along, 0.0)))

        return Arc(
            onset_ms=float(centre + apex - rise),
            apex_ms=float(centre + apex),
            offset_ms=float(centre + apex + fall),
            height=float(height),
            onset_sigma_ms=deviation(1, -1, 0),
            apex_sigma_ms=deviation(1, 0, 0),
            offset_sigma_ms=deviation(1, 0, 1),
            duration_sigma_ms=deviation(0, 1, 1),
            height_sigma=deviation(0, 0, 0, 1),
        )


def _repeated(left: Values) -> float:
    """How many values in a row say the same, 1 or more: what the fit leaves of a drift or of another shape is smooth.

    One and twice the sum of the autocorrelations up to the first that is not positive.
    """
    power = float(left @ left)
    total = 1.0
    for lag in range(1, len(left) // 4 + 1):
        likeness = float(left[lag:] @ left[:-lag]) / power if power > 0 else 0.0
        if likeness <= 0:
            break
        total += 2 * likeness
    return total
