# SPDX-License-Identifier: Apache-2.0
"""How a result's motion relates to the original's: how much larger, how similar in time, how late."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...models.errors import MagPlusError
from .curve import MotionCurve

Values = NDArray[np.float64]

MIN_FRAMES = 3
MIN_POWER_RATIO = 3.0
"""Variance of the original over that of its noise, below which no gain is given: at 3, two thirds are motion."""


@dataclass(frozen=True, kw_only=True)
class MotionComparison:
    """A result's motion against the original's. Whatever cannot be told is None, and ``reason`` says why in words.

    ``gain`` is how many times larger the result moves, in percent of the face-box width, with its sign: the slope of
    result against original over all frames, corrected for the original's noise; ``gain_px`` the same in px.
    ``gain_sigma`` is one standard deviation of ``gain``, from the scatter about the line. The line need not pass
    through zero, because the noise of a clip's reference frame shifts all its other values alike. ``peak_gain`` is the
    ratio of the peak values. ``correlation`` in [-1, 1] is at equal times; ``lag_frames`` (of the original's rate)
    and ``lag_ms`` say how much later the result moves. ``pattern_similarity`` is the cosine of the spatial modes.
    ``left_out`` are frames (of the original's rate) in which either clip is broken; they count for nothing.
    """

    frames: int
    gain: float | None
    gain_px: float | None
    gain_sigma: float | None
    peak_gain: float | None
    correlation: float | None
    lag_frames: float | None
    lag_ms: float | None
    pattern_similarity: float
    reason: str | None = None
    left_out: tuple[int, ...] = ()


def compare(original: MotionCurve, result: MotionCurve) -> MotionComparison:
    """Compare two curves over the time they share, counted from the first frame of each.

    At unequal rates the result is interpolated at the original's times. The result's sign is made that of the
    original first (`MotionCurve.signed_like`), so that a gain below zero means a reversed motion.
    """
    similarity = original.pattern_similarity(result)
    result = result.signed_like(original)
    whole = _on_common_times(original, result)
    sound = _sound(original, result, len(whole[0]))
    first, second = (values[sound] for values in whole)
    reason, left_out = _no_motion(first, original), tuple(np.flatnonzero(~sound).tolist())
    if reason is not None:
        return MotionComparison(
            frames=len(first),
            left_out=left_out,
            gain=None,
            gain_px=None,
            gain_sigma=None,
            peak_gain=None,
            correlation=None,
            lag_frames=None,
            lag_ms=None,
            pattern_similarity=similarity,
            reason=reason,
        )
    gain, sigma = _slope(first, second, original.noise_floor_pct_face or 0.0)
    lag = _lag(*whole)
    return MotionComparison(
        frames=len(first),
        left_out=left_out,
        gain=gain,
        gain_px=gain * result.box.width / original.box.width,
        gain_sigma=sigma,
        peak_gain=_peak(second) / _peak(first),
        correlation=_correlation(first, second),
        lag_frames=lag,
        lag_ms=None if lag is None else lag * float(1000 / original.rate),
        pattern_similarity=similarity,
        reason=None if lag is not None else "The result does not move, so a lag cannot be told.",
    )


def _on_common_times(original: MotionCurve, result: MotionCurve) -> tuple[Values, Values]:
    """Both curves in percent of the face at the original's frame times, as far as both clips go."""
    first, second = original.values_pct_face, result.values_pct_face
    if original.rate == result.rate:
        count = min(len(first), len(second))
        first, second = first[:count], second[:count]
    else:
        last_ms = result.times_ms[-1] + 1e-6
        times_ms = original.times_ms[original.times_ms <= last_ms]
        first, second = first[: len(times_ms)], np.interp(times_ms, result.times_ms, second)
    if len(first) < MIN_FRAMES:
        raise MagPlusError(
            f"The clips share only {len(first)} frames ({len(original.values_px)} at {float(original.rate):g} fps "
            f"against {len(result.values_px)} at {float(result.rate):g} fps). Motion can be compared from "
            f"{MIN_FRAMES} frames on: give clips of the same length."
        )
    return first, second


def _sound(original: MotionCurve, result: MotionCurve, count: int) -> NDArray[np.bool_]:
    """Of ``count`` frames of the original those in which neither clip is broken; all where too few would be left."""
    times_ms, frame_ms = original.times_ms[:count], float(1000 / result.rate)
    sound = np.ones(count, dtype=bool)
    sound[[index for index in original.left_out if index < count]] = False
    for index in result.left_out:  # a value between two frames is as good as the worse of them
        sound &= np.abs(times_ms - index * frame_ms) > 0.999 * frame_ms
    return sound if sound.sum() >= MIN_FRAMES else np.ones(count, dtype=bool)


def _no_motion(values: Values, curve: MotionCurve) -> str | None:
    """Why no gain can be told against this original, or None."""
    floor = curve.noise_floor_pct_face or 0.0
    if values.var() == 0:
        return "The original does not move, so there is nothing to compare with."
    if np.sum((values - values.mean()) ** 2) < MIN_POWER_RATIO * (len(values) - 1) * floor**2:
        return (
            f"The original's motion (peak {abs(_peak(values)):.3f} % of the face width) does not rise above its noise "
            f"({floor:.3f} %), so a gain would be a ratio of noises. Use a longer, quieter or magnified original."
        )
    return None


def _slope(first: Values, second: Values, floor: float) -> tuple[float, float | None]:
    """Slope of ``second`` over ``first`` and its standard deviation.

    Noise on ``first`` adds to its own sum of squares but not to the product, which shrinks a plain regression. Its
    variance is at most ``floor ** 2``, and at most what the scatter about the line leaves room for: noise that both
    share (a magnifier magnifies it, too) shrinks nothing, and the floor of a short, fast clip contains motion.
    """
    a, b = first - first.mean(), second - second.mean()
    power, product = float(a @ a), float(a @ b)
    slope = product / power
    if len(a) <= MIN_FRAMES:
        return slope, None
    scatter = float(((b - slope * a) ** 2).sum()) / (len(a) - 2)
    noise = min(floor**2, scatter / slope**2) if slope else 0.0
    power -= noise * (len(a) - 1)
    return product / power, float(np.sqrt(scatter / power))


def _peak(values: Values) -> float:
    return float(values[np.abs(values).argmax()])


def _correlation(first: Values, second: Values) -> float | None:
    a, b = first - first.mean(), second - second.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return None if size == 0 else float(np.clip(a @ b / size, -1, 1))


def _lag(first: Values, second: Values) -> float | None:
    """Frames by which ``second`` comes later, of either sign, by a parabola through the best correlation.

    The cross-correlation finds the whole frame, but leans towards zero as the overlap shrinks. Around it the
    correlation coefficient of the overlap, which does not lean, decides; alone it would fall for a chance likeness in
    a stretch without motion.
    """
    count = len(first)
    reach = count // 2  # beyond half the clip too few frames overlap to mean anything
    products = np.abs(np.correlate(second - second.mean(), first - first.mean(), mode="full"))
    if products.max() == 0:
        return None
    middle = count - 1  # entry k belongs to a lag of k - middle
    coarse = int(products[middle - reach : middle + reach + 1].argmax()) - reach
    lags = range(max(coarse - 2, -reach), min(coarse + 2, reach) + 1)
    sizes = [abs(_correlation(*_overlap(first, second, lag)) or 0.0) for lag in lags]
    best = int(np.argmax(sizes))
    if not 0 < best < len(sizes) - 1:
        return float(lags[best])
    left, centre, right = sizes[best - 1 : best + 2]
    curvature = left - 2 * centre + right
    return lags[best] + (0.0 if curvature == 0 else (left - right) / (2 * curvature))


def _overlap(first: Values, second: Values, lag: int) -> tuple[Values, Values]:
    """The frames of both that meet when ``second`` is moved ``lag`` frames to the front."""
    count = len(first) - abs(lag)
    return first[max(-lag, 0) :][:count], second[max(lag, 0) :][:count]
