# SPDX-License-Identifier: Apache-2.0
"""Displacement fields against the truth: error, gain, lag and leak, and whether that will do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from torch import Tensor

from .clips import Goal

GAIN_WITHIN = 0.1
LAG_WITHIN_FRAMES = 1.0
COSINE_FROM = 0.9
SPOT_PX = 0.05
"""A region's curve above it counts as a spot: half of the weakest motion of the proof."""
SPOT_MS = 40.0
RESAMPLES, FIGURE_RESAMPLES = 2000, 400


@dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """One arm on one clip, frame by frame."""

    errors_px: np.ndarray
    motions_px: np.ndarray
    """Mean end-point error, and mean length of the true motion, of each active frame ``(N,)``."""
    found: np.ndarray
    true: np.ndarray
    """Both regions' curves, ``(2, T)``."""

    def resampled(self, draw: np.random.Generator) -> tuple[float, float]:
        """Error in parts of the motion, and mean gain, of as many frames, drawn with replacement."""
        active = draw.integers(0, len(self.errors_px), len(self.errors_px))
        error = self.errors_px[active].mean() / self.motions_px[active].mean()
        chosen = draw.integers(0, self.true.shape[1], self.true.shape[1])
        gains = [_gain(found[chosen], true[chosen]) for found, true in zip(self.found, self.true, strict=True)]
        return float(error), float(np.mean(gains))


@dataclass(frozen=True, kw_only=True)
class Score:
    """One arm on one clip; px of a face of `clips.FACE_PX`."""

    error_px: float
    """Mean end-point error where and while something moves."""
    motion_px: float
    """Mean length of the true motion there: the error of a frozen picture."""
    cosine: float
    gains: tuple[float, float]
    """Per region, along its own direction."""
    lags_frames: tuple[float, float]
    leak_px: float
    """RMS error on the face where neither action moves anything."""
    frames: Frames = field(repr=False, compare=False)
    """What the figures are made of, for their intervals."""

    @property
    def good(self) -> bool:
        """Within all bounds that the proof asks for."""
        return (
            self.error_px < 0.5 * self.motion_px
            and self.cosine >= COSINE_FROM
            and all(abs(gain - 1) <= GAIN_WITHIN for gain in self.gains)
            and all(abs(lag) < LAG_WITHIN_FRAMES for lag in self.lags_frames)
        )

    def report(self) -> dict[str, object]:
        """For ``json.dumps``."""
        numbers = {name: value for name, value in asdict(self).items() if name != "frames"}
        return {**numbers, "good": self.good}


def judge(found: Tensor, goal: Goal) -> Score:
    """Score displacement ``(T, 2, h, w)``."""
    truth, error = goal.fields, (found - goal.fields)
    inside = error.norm(dim=1)[goal.active][:, goal.moving]
    kept, wanted = found[goal.active][:, :, goal.moving], truth[goal.active][:, :, goal.moving]
    lengths = float(kept.norm() * wanted.norm())
    pairs = [region_curves(found, goal, k) for k in (0, 1)]
    return Score(
        error_px=float(inside.mean()),
        motion_px=float(wanted.norm(dim=1).mean()),
        cosine=float((kept * wanted).sum()) / lengths if lengths else 0.0,
        gains=(_gain(*pairs[0]), _gain(*pairs[1])),
        lags_frames=(_lag(*pairs[0]), _lag(*pairs[1])),
        leak_px=float(error.square().sum(1)[goal.active][:, goal.still].mean().sqrt()),
        frames=Frames(
            errors_px=inside.mean(1).double().numpy(),
            motions_px=truth.norm(dim=1)[goal.active][:, goal.moving].mean(1).double().numpy(),
            found=np.stack([pair[0] for pair in pairs]),
            true=np.stack([pair[1] for pair in pairs]),
        ),
    )


def region_curves(found: Tensor, goal: Goal, region: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean motion of a region along its own direction, found and true, ``(T,)`` each."""
    mask, along = goal.regions[region], goal.directions[region]
    return tuple(  # type: ignore[return-value]
        (fields * along).sum(1)[:, mask].mean(1).double().numpy() for fields in (found, goal.fields)
    )


def _gain(found: np.ndarray, true: np.ndarray) -> float:
    power = float(true @ true)
    return float(found @ true) / power if power else 0.0


def _lag(found: np.ndarray, true: np.ndarray) -> float:
    """How much later, in frames, by the peak of the cross-correlation; NaN where nothing moves."""
    if not np.abs(found).max() > 1e-9:
        return math.nan
    reach = min(6, len(true) // 3)
    shifts = np.arange(-reach, reach + 1)
    power = np.array([_overlap(found, true, int(s)) for s in shifts])
    k = int(power.argmax())
    if k in (0, len(shifts) - 1):
        return float(shifts[k])
    left, middle, right = power[k - 1 : k + 2]
    return float(shifts[k] + 0.5 * (left - right) / (left - 2 * middle + right))


def _overlap(found: np.ndarray, true: np.ndarray, shift: int) -> float:
    """Inner product with ``found`` read ``shift`` frames later."""
    a, b = (found[shift:], true[: len(true) - shift]) if shift >= 0 else (found[:shift], true[-shift:])
    return float(a @ b)


def spots(found: Tensor, goal: Goal, frame_ms: float, regions: Sequence[int] = (0, 1)) -> int:
    """How often the curves of ``regions`` stay above `SPOT_PX` for `SPOT_MS`, all together."""
    count = 0
    for region in regions:
        mask, along = goal.regions[region], goal.directions[region]
        curve = (found * along).sum(1)[:, mask].mean(1).abs().numpy()
        run = 0
        for value in [*curve, 0.0]:
            if value > SPOT_PX:
                run += 1
                continue
            count += run * frame_ms >= SPOT_MS
            run = 0
    return count


def interval(differences: Sequence[float], *, seed: int = 0) -> tuple[float, float, float]:
    """Mean of paired differences and its 95 % bootstrap interval."""
    values = np.asarray(differences, dtype=np.float64)
    draw = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[draw].mean(1), [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def mean_intervals(clips: Sequence[Frames], *, seed: int = 0) -> tuple[tuple[float, float], tuple[float, float]]:
    """95 % bootstrap intervals of the mean error in parts of the motion, and of the mean gain.

    Clips are drawn with replacement, and frames within each: few clips of one size say little about others.
    """
    draw = np.random.default_rng(seed)
    means = np.empty((FIGURE_RESAMPLES, 2))
    for k in range(FIGURE_RESAMPLES):
        chosen = draw.integers(0, len(clips), len(clips))
        means[k] = np.mean([clips[i].resampled(draw) for i in chosen], axis=0)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def rate_interval(count: int) -> tuple[float, float]:
    """Exact 95 % limits (Garwood) of the mean of a Poisson count; the lower one of no event is 0."""

    def at_most(k: int, mean: float) -> float:
        return math.fsum(math.exp(j * math.log(mean) - mean - math.lgamma(j + 1)) for j in range(k + 1))

    def solve(k: int, chance: float) -> float:
        low, high = 1e-9, 10.0 * (k + 3)
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if at_most(k, middle) > chance else (low, middle)
        return (low + high) / 2

    return (solve(count - 1, 0.975) if count else 0.0), solve(count, 0.025)
