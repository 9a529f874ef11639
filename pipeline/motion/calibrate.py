# SPDX-License-Identifier: Apache-2.0
"""Choosing alpha: how far a motion must be magnified for a backbone to answer to it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np

from ...models.contracts import AlphaRange
from ...models.errors import MagPlusError
from ..measure import MotionCurve

DETECTABLE = 3.0
"""Peak motion over its noise floor below which there is nothing to magnify but noise."""

CLEAR = 10.0
"""Peak motion over its noise floor above which its course in time is not questioned."""

ROUGHNESS = 0.4
"""Von Neumann's ratio above which a weak curve is called noise: about 1 for values without order in time, whatever
their size, and near 0 for a movement that takes several frames."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A chosen factor, and why."""

    alpha: float
    reason: str


GUESS = "an uncalibrated guess"
"""What a target is called that no measured response stands behind."""

RECOMMENDED = "recommended_target_pct_face"
"""Where a measured response says which motion its backbone answers best to."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The motion that a backbone wants, in percent of the face width, and where that comes from."""

    pct_face: float
    origin: str = GUESS


def target_of_response(text: str, name: str) -> Target:
    """The target that a response, as JSON, recommends; ``name`` stands in messages."""
    try:
        told = json.loads(text)
        value = told[RECOMMENDED]
        backbone = told.get("backbone")
    except (ValueError, KeyError, TypeError) as error:
        raise MagPlusError(f"{name} is no measured response: it has no '{RECOMMENDED}'.") from error
    if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise MagPlusError(
            f"{name} recommends no target: the backbone's answer was never proportional to its input. Give the target "
            "as a number, and no response."
        )
    whose = f" of {backbone}" if isinstance(backbone, str) else ""
    return Target(pct_face=float(value), origin=f"the measured response{whose}, {name}")


def choose_alpha(
    curve: MotionCurve, *, target_pct_face: float, allowed: AlphaRange, origin: str = GUESS
) -> Calibration:
    """Alpha that brings the clip's peak motion to ``target_pct_face`` (percent of the face width), within ``allowed``.

    ``origin`` says in the reason where the target comes from. Raises `MagPlusError` where the clip holds no motion
    above its noise floor.
    """
    peak, floor = abs(curve.peak_pct_face), curve.noise_floor_pct_face or 0.0
    if is_noise(curve):
        raise MagPlusError(
            f"No motion above the noise in this clip: its largest value is {peak:.3f} % of the face width, its noise "
            f"floor {floor:.3f} %. Give alpha as a number if you are sure, or a face box if other parts move."
        )
    wanted = target_pct_face / peak
    alpha = min(max(wanted, 1.0, allowed.low), allowed.high)
    reason = f"peak motion {peak:.3f} % of the face width, {_over(peak, floor)}, "
    reason += f"target {target_pct_face:g} % ({origin})"
    if alpha != wanted:
        reason += f"; {wanted:.2f} would be needed, limited to {alpha:g}"
    return Calibration(alpha=alpha, reason=reason)


def is_noise(curve: MotionCurve) -> bool:
    """The clip holds no motion above its noise floor, or none whose course in time is that of a motion."""
    peak, floor = abs(curve.peak_pct_face), curve.noise_floor_pct_face or 0.0
    disordered = peak <= CLEAR * floor and _roughness(curve) > ROUGHNESS
    return peak <= max(DETECTABLE * floor, 1e-6) or disordered


def _over(peak: float, floor: float) -> str:
    return f"{peak / floor:.3g} times the clip's noise floor of {floor:.4f} %" if floor > 0 else "no noise to be seen"


def _roughness(curve: MotionCurve) -> float:
    """Squared steps from frame to frame over twice the variance, the reference left out: its 0 is no measurement."""
    values = np.delete(curve.values_pct_face, curve.reference)
    spread = float(((values - values.mean()) ** 2).sum()) if len(values) > 2 else 0.0
    return float((np.diff(values) ** 2).sum()) / (2 * spread) if spread > 0 else 0.0
