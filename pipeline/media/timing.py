# SPDX-License-Identifier: Apache-2.0
"""Exact frame rates, and what the timestamps of a file say about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ...models.errors import MagPlusError

STILL_RATE = Fraction(25)
"""Rate of what carries none: stills, picture sequences, arrays."""

RATE_TAG = "magplus_rate"
"""Metadata key with the constant rate of a clip we wrote: ``30000/1001``."""

NTSC_TOLERANCE = 2e-4
"""23.98 lies 1.6e-4 from 24000/1001 and means it; 24 lies 1e-3 away and does not."""

JITTER = 0.1
"""Part of a frame period by which timestamps may stray before the rate counts as variable."""


def exact_rate(fps: float | Fraction) -> Fraction:
    """Exact rate for a decimal one: 29.97 is 30000/1001, 200.0 is 200; everything else through limit_denominator."""
    if not 0 < fps < 100_000:
        raise MagPlusError(f"A frame rate of {float(fps):g} per second is not usable. Give a number above 0.")
    whole = round(float(fps) * 1.001)
    ntsc = Fraction(whole * 1000, 1001)
    if whole > 0 and abs(float(fps) - float(ntsc)) <= NTSC_TOLERANCE * float(ntsc) and Fraction(fps) != round(fps):
        return ntsc
    return Fraction(fps).limit_denominator(1001)


@dataclass(frozen=True)
class Pace:
    """Rate of a clip; ``variable`` says in words how its frames stray from it, None where they keep it."""

    rate: Fraction
    variable: str | None = None


def pace(pts: NDArray[np.int64], tick: Fraction, declared: Iterable[Fraction | None]) -> Pace:
    """Rate of frames at ``pts`` (sorted, in units of ``tick`` seconds), given what the file declares.

    A declared rate is believed where every timestamp agrees with it to one tick (the rounding of the container).
    Otherwise the mean of the timestamps counts, so that the duration and the sound stay right.
    """
    rates = [rate for rate in declared if rate]
    if len(pts) < 2:
        return Pace(rates[0] if rates else STILL_RATE)
    for rate in rates:
        if _strays(pts, tick, rate) <= 1.01 * float(tick):
            return Pace(rate)
    span = Fraction(int(pts[-1] - pts[0])) * tick
    if span <= 0:
        return Pace(rates[0] if rates else STILL_RATE)
    mean = exact_rate((len(pts) - 1) / span)
    if _strays(pts, tick, mean) <= max(1.01 * float(tick), JITTER / float(mean)):
        return Pace(mean)
    gaps = np.diff(pts) * float(tick) * 1000
    return Pace(
        mean, f"frames last {gaps.min():.1f} to {gaps.max():.1f} ms; all are kept, at the mean of {float(mean):.4g} fps"
    )


def _strays(pts: NDArray[np.int64], tick: Fraction, rate: Fraction) -> float:
    """Largest distance in seconds of a timestamp from the regular one."""
    regular = np.arange(len(pts)) / float(rate)
    return float(np.abs((pts - pts[0]) * float(tick) - regular).max())


def first_at(second: float | Fraction, rate: Fraction, times_s: NDArray[np.float64] | None) -> int:
    """Number of the first frame shown at or after ``second``; a frame period from the clip's start is frame 1."""
    if second < 0:
        raise MagPlusError(f"A range cannot begin or end at {float(second):g} s: seconds count from the clip's start.")
    if times_s is not None:
        return int(np.searchsorted(times_s, float(second) - 1e-6))
    # One thousandth of a frame forgives decimal seconds such as 0.033 for 1/30.
    return max(0, -int((-(Fraction(second) * rate - Fraction(1, 1000))) // 1))


def resampled(times_s: NDArray[np.float64], last_s: float, rate: Fraction) -> NDArray[np.int64]:
    """For each frame of a constant ``rate`` the number of the source frame on show at its time.

    ``times_s`` begin at any value; ``last_s`` is how long the last frame stays.
    """
    times = times_s - times_s[0]
    count = max(1, round(float(rate) * (float(times[-1]) + last_s)))
    wanted = np.arange(count) / float(rate)
    return np.searchsorted(times, wanted + 1e-6, side="right") - 1
