# SPDX-License-Identifier: Apache-2.0
"""Spotting micro-expressions in a motion curve: when one begins, culminates and ends.

A bank of band-passes looks for movements that come back: raised cosines of many durations, each made blind to
constants and to drift. An answer counts against what the same band-pass answers elsewhere in the clip: a sensor's noise
is new in every frame, but what a video codec leaves drifts and jumps, and moves the more the longer one looks. The
answer that stands out most is fitted (`arc`) and taken out, the next is looked for in what is left, and in the end all
are fitted again beside each other. Movements that last longer than the limits are found as well and
then left out; otherwise the flank of a smile would pass for a micro-expression.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...models.errors import MagPlusError
from .arc import LEAST_SURROUNDINGS, SURROUNDINGS, Arc, fit_arc, shape
from .curve import MotionCurve, noise_floor

Values = NDArray[np.float64]

FEWEST_FRAMES = 9
"""An arc on a line has six parameters."""
FRAMES_INSIDE = 3
"""Frames that an event must last: what shows in one or two could be a flicker."""
STEP = 1.3
"""Between the durations of the bank."""
BEYOND = 2.5
"""How far the bank goes past the longest event, so that longer movements are known for what they are."""
MOST = 64
"""Movements that are looked for at most."""
ECHO = 0.25
"""Beside a movement, one of less than this part of its height is what its shape left over,"""
ECHO_DURATION = 0.3
"""if it lasts at least so long compared with it."""
ROUNDS = 3
SURE = 3.0
"""Standard deviations that the height of a fitted arc must be away from 0, whatever the noise is."""
TINY = 1e-4
"""Noise of a curve without noise, as a part of its largest value."""
NORMAL_MEDIAN = 0.6745
"""Median of the absolute value of normal noise, in standard deviations."""
FEWEST_ANSWERS = 8
"""A band-pass with fewer answers away from an event says nothing of the noise; the next shorter one speaks for it."""
HIDDEN = 2.5
"""How many times too large the noise may seem before the movements of a short clip are taken out."""
LEAST_CURVATURE = 0.2
"""Of an answer at a clip's end: how much of the arc a line must leave, against the middle of a clip."""


@dataclass(frozen=True, kw_only=True)
class SpotLimits:
    """What counts as an event.

    ``shortest_ms`` and ``longest_ms`` bound its duration, ``least_pct_face`` its height in percent of the face width;
    ``prominence`` is how many times the answer of the band-pass of its duration is that of noise alone: that of the
    frames, or what the clip does at that pace all the time, if that is more.
    """

    shortest_ms: float = 40.0
    longest_ms: float = 500.0
    prominence: float = 5.0
    least_pct_face: float = 0.02

    def __post_init__(self) -> None:
        if not 0 < self.shortest_ms < self.longest_ms:
            raise MagPlusError(
                f"Events of {self.shortest_ms:g} to {self.longest_ms:g} ms cannot be looked for. Give a shortest "
                "duration above 0 and a longest above that."
            )


@dataclass(frozen=True, kw_only=True)
class Event:
    """A movement and its return. ``prominence`` as in `SpotLimits`."""

    arc: Arc
    prominence: float

    @property
    def start_ms(self) -> float:
        """Onset."""
        return self.arc.onset_ms

    @property
    def stop_ms(self) -> float:
        """Offset."""
        return self.arc.offset_ms


@dataclass(frozen=True, kw_only=True)
class Spotted:
    """Events in the order of time; movements that are none; and in words why, where there are no events."""

    events: list[Event]
    rejected: list[tuple[Event, str]] = field(default_factory=list)
    reason: str | None = None


def spot_curve(curve: MotionCurve, limits: SpotLimits) -> Spotted:
    """Events of a curve, heights in percent of the face width."""
    return spot(curve.times_ms, curve.values_pct_face, floor=curve.noise_floor_pct_face, limits=limits)


def spot(times_ms: Values, values: Values, *, floor: float | None = None, limits: SpotLimits) -> Spotted:
    """Events of evenly spaced ``values``, whose frame-to-frame noise has the standard deviation ``floor``."""
    if len(values) < FEWEST_FRAMES:
        raise MagPlusError(f"{len(values)} frames are too few to tell an event. Give {FEWEST_FRAMES} or more.")
    floor = noise_floor(values) if floor is None else floor
    sigma = max(floor or 0.0, TINY * float(np.abs(values - np.median(values)).max()))
    if sigma == 0:
        return Spotted(events=[], reason="nothing moves at all")
    found = _movements(times_ms, values, sigma, limits)
    events, rejected = [], []
    for event in sorted(found, key=lambda event: event.arc.apex_ms):
        why = _refusal(event.arc, limits, times_ms)
        if why is None:
            events.append(event)
        else:
            rejected.append((event, why))
    return Spotted(events=events, rejected=rejected, reason=None if events else _why_none(rejected, limits, times_ms))


def _refusal(arc: Arc, limits: SpotLimits, times_ms: Values) -> str | None:
    """Why a movement is no event, or None."""
    least = _least_ms(times_ms, limits)
    if arc.duration_ms > limits.longest_ms:
        return f"lasts {arc.duration_ms:.0f} ms, longer than {limits.longest_ms:g} ms"
    if arc.duration_ms < limits.shortest_ms:
        return f"lasts {arc.duration_ms:.0f} ms, shorter than {limits.shortest_ms:g} ms"
    if arc.duration_ms < 0.8 * least:
        return f"shows in fewer than {FRAMES_INSIDE} frames ({arc.duration_ms:.0f} ms)"
    if abs(arc.height) < limits.least_pct_face:
        return f"is {abs(arc.height):.4f} % of the face width high, less than {limits.least_pct_face:g} %"
    if arc.apex_ms <= times_ms[0] or arc.apex_ms >= times_ms[-1]:
        return "culminates outside the clip"
    return None


def _why_none(rejected: Sequence[tuple[Event, str]], limits: SpotLimits, times_ms: Values) -> str:
    if rejected:
        event, why = max(rejected, key=lambda one: one[0].prominence)
        return f"the strongest movement, at {event.arc.apex_ms:.0f} ms, {why}"
    short = _least_ms(times_ms, limits)
    words = f"no movement stands {limits.prominence:g} times above the noise"
    if short > limits.shortest_ms:
        words += f"; at this frame rate none shorter than {short:.0f} ms could be seen"
    return words


def _least_ms(times_ms: Values, limits: SpotLimits) -> float:
    return max(limits.shortest_ms, FRAMES_INSIDE * float(times_ms[1] - times_ms[0]))


def _movements(times_ms: Values, values: Values, sigma: float, limits: SpotLimits) -> list[Event]:
    """All movements that stand out, of any duration of the bank, fitted beside each other."""
    bank = _Bank(times_ms, _least_ms(times_ms, limits), BEYOND * limits.longest_ms)
    closed = np.zeros(len(values), dtype=bool)
    arcs: list[Arc] = []
    strengths: list[float] = []
    left = values.copy()
    sizes = bank.answers(left)
    for _ in range(MOST):
        answer = bank.strongest(sizes, closed, sigma, limits.prominence)
        if answer is None:
            break
        at, duration = float(times_ms[answer.index]), answer.duration_ms
        if answer.prominence >= limits.prominence:
            arc = fit_arc(times_ms, left, centre_ms=at, duration_ms=duration, sigma=sigma)
            if not _is_echo(arc, arcs):
                arcs.append(arc)
                strengths.append(answer.prominence)
                left -= arc.values(times_ms)
                sizes = bank.answers(left)
                continue
        closed |= np.abs(times_ms - at) <= max(0.25 * duration, float(times_ms[1] - times_ms[0]))
    for _ in range(ROUNDS if len(arcs) > 1 else 0):
        for k, arc in enumerate(arcs):
            others = sum((other.values(times_ms) for j, other in enumerate(arcs) if j != k), np.zeros_like(values))
            about = {"centre_ms": (arc.onset_ms + arc.offset_ms) / 2, "duration_ms": arc.duration_ms}
            arcs[k] = fit_arc(times_ms, values - others, sigma=sigma, **about)
    found = [Event(arc=arc, prominence=strength) for arc, strength in zip(arcs, strengths, strict=True)]
    return [event for event in found if abs(event.arc.height) > SURE * event.arc.height_sigma]


def _is_echo(arc: Arc, arcs: Sequence[Arc]) -> bool:
    """Whether this is what the shape of a larger movement left over."""
    return any(
        abs(arc.height) < ECHO * abs(other.height)
        and arc.duration_ms > ECHO_DURATION * other.duration_ms
        and other.onset_ms - 0.5 * other.duration_ms < arc.apex_ms < other.offset_ms + 0.5 * other.duration_ms
        for other in arcs
    )


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """What a band-pass says at a frame."""

    index: int
    duration_ms: float
    prominence: float


class _Bank:
    """Band-passes for arcs of many durations about every frame."""

    def __init__(self, times_ms: Values, shortest_ms: float, longest_ms: float) -> None:
        self._times, self._frame = times_ms, float(times_ms[1] - times_ms[0])
        longest_ms = max(min(longest_ms, float(times_ms[-1] - times_ms[0])), shortest_ms)
        count = 1 + math.ceil(math.log(longest_ms / shortest_ms) / math.log(STEP))
        self._parts = [self._of(float(d)) for d in np.geomspace(shortest_ms, longest_ms, count)]

    def answers(self, values: Values) -> Values:
        """Size of each band-pass's answer at every frame, ``(P, T)``, in units of a value's noise; NaN without one."""
        return np.stack([self._answers(values, *part[1:]) for part in self._parts])

    def strongest(self, sizes: Values, closed: NDArray[np.bool_], sigma: float, least: float) -> _Answer | None:
        """The largest of the `answers` outside ``closed`` that may stand out ``least`` times or more, None without any.

        ``sigma`` is the noise of a value. That of answers is told in two steps: a movement passes for noise itself,
        until the frames away from it are known.
        """
        answers = np.where(closed, 0.0, np.nan_to_num(sizes))
        answers[HIDDEN * answers < least * _noise(sizes, sigma)[:, None]] = 0.0
        part, index = np.unravel_index(int(answers.argmax()), answers.shape)
        if answers[part, index] == 0:
            return None
        reach = [[self._parts[part][0] / 2 + len(kernel) // 2 * self._frame] for _, kernel, _ in self._parts]
        away = np.where(np.abs(self._times - self._times[index]) > reach, sizes, np.nan)
        prominence = float(answers[part, index] / _noise(away, sigma)[part])
        return _Answer(index=int(index), duration_ms=self._parts[part][0], prominence=prominence)

    @staticmethod
    def _answers(values: Values, kernel: Values, edges: list[tuple[int, slice, Values]]) -> Values:
        """Those of one band-pass."""
        reach = len(kernel) // 2
        answers = np.full(len(values), np.nan)
        if len(values) >= len(kernel):
            answers[reach : len(values) - reach] = np.correlate(values, kernel, mode="valid")
        for index, part, weights in edges:
            answers[index] = values[part] @ weights
        return np.abs(answers)

    def _of(self, duration: float) -> tuple[float, Values, list[tuple[int, slice, Values]]]:
        """Duration, kernel, and what takes its place near the ends of the clip, where it would reach beyond."""
        reach = math.ceil(duration * (0.5 + SURROUNDINGS) / self._frame + LEAST_SURROUNDINGS)
        kernel, curvature = self._weights(duration, -reach, reach)
        return duration, kernel, list(self._edges(duration, reach, LEAST_CURVATURE * curvature))

    def _edges(self, duration: float, reach: int, least: float) -> Iterator[tuple[int, slice, Values]]:
        count = len(self._times)
        for index in range(count):
            before, after = min(index, reach), min(count - 1 - index, reach)
            if before + after == 2 * reach:
                continue
            weights, curvature = self._weights(duration, -before, after)
            if curvature >= least:
                yield index, slice(index - before, index + after + 1), weights

    def _weights(self, duration: float, first: int, last: int) -> tuple[Values, float]:
        """An arc less the line that fits it best, of length 1, and its length before."""
        at = np.arange(first, last + 1, dtype=np.float64) * self._frame
        arc = shape(at, -duration / 2, 0.0, duration / 2)
        drift = np.stack([np.ones_like(at), at / duration], axis=1)
        left = arc - drift @ np.linalg.lstsq(drift, arc, rcond=None)[0]
        size = float(np.linalg.norm(left))
        return left / max(size, 1e-12), size


def _noise(sizes: Values, sigma: float) -> Values:
    """Standard deviation of the answers ``(P, T)`` of each band-pass, shortest first, to what is no event.

    No smaller than ``sigma``, nor than that of shorter ones: few answers of a long one may be small by chance.
    """
    known = ~np.isnan(sizes)
    spread = [
        float(np.median(row[at])) / NORMAL_MEDIAN if at.sum() >= FEWEST_ANSWERS else 0.0
        for row, at in zip(sizes, known, strict=True)
    ]
    return np.maximum.accumulate(np.maximum(spread, sigma))
