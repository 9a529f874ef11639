# SPDX-License-Identifier: Apache-2.0
"""Low-pass filtering of curves over the frames of a clip, without delay."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ...models.errors import MagPlusError

Curves = NDArray[np.float64]

HALF_POWER = math.sqrt(math.log(2)) / (2 * math.pi)
"""Sigma in s, times Hz, of the Gaussian whose amplitude at that frequency is 1 / sqrt(2)."""


def low_pass(curves: Curves, cutoff_hz: float, rate: Fraction) -> Curves:
    """The slow part of ``curves`` ``(T, ...)``: half of the power is left at ``cutoff_hz``, nothing is delayed.

    Every value is that of a line fitted to its surroundings under Gaussian weights: between the ends that is a Gaussian
    filter, and towards them a steady drift stays one. A cutoff of 0 leaves the mean alone; one at or above half the
    frame rate leaves everything.
    """
    if not math.isfinite(cutoff_hz) or cutoff_hz < 0:
        raise MagPlusError(f"A cutoff of {cutoff_hz:g} Hz is none. Give 0 or more.")
    count = len(curves)
    if cutoff_hz == 0:
        return np.broadcast_to(curves.mean(0), curves.shape).copy()
    if cutoff_hz >= rate / 2 or count < 2:
        return curves.copy()
    sigma = HALF_POWER / cutoff_hz * float(rate)
    radius = min(math.ceil(4 * sigma), count)
    away = np.arange(-radius, radius + 1) / sigma
    weights = np.exp(-0.5 * away**2)

    def moment(values: Curves, power: int) -> Curves:
        """Sum over the frames there are of weight x distance^power x value."""
        return np.convolve(values, (weights * away**power)[::-1], mode="full")[radius : radius + count]

    m0, m1, m2 = (moment(np.ones(count), power) for power in range(3))
    columns = [
        (moment(column, 0) * m2 - moment(column, 1) * m1) / (m0 * m2 - m1**2) for column in curves.reshape(count, -1).T
    ]
    return np.stack(columns, axis=1).reshape(curves.shape)
