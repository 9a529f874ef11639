"""Choosing alpha: how far a motion must be magnified for a backbone to answer to it."""

from __future__ import annotations

from dataclasses import dataclass

from ...models.contracts import AlphaRange
from ...models.errors import MagPlusError
from ..measure import MotionCurve

DETECTABLE = 3.0
"""Peak motion over its noise floor below which there is nothing to magnify but noise."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A chosen factor, and why."""

    alpha: float
    reason: str


def choose_alpha(curve: MotionCurve, *, target_pct_face: float, allowed: AlphaRange) -> Calibration:
    """Alpha that brings the clip's peak motion to ``target_pct_face`` (percent of the face width), within ``allowed``.

    Raises `MagPlusError` where the clip holds no motion above its noise floor.
    """
    peak, floor = abs(curve.peak_pct_face), curve.noise_floor_pct_face
    if peak <= max(DETECTABLE * floor, 1e-6):
        raise MagPlusError(
            f"No motion above the noise in this clip: its peak is {peak:.3f} % of the face width, its noise floor "
            f"{floor:.3f} %. Give alpha as a number if you are sure, or a face box, if other parts of the picture move."
        )
    wanted = target_pct_face / peak
    alpha = min(max(wanted, 1.0, allowed.low), allowed.high)
    reason = f"peak motion {peak:.3f} % of the face width, target {target_pct_face:g} % (an uncalibrated guess)"
    if alpha != wanted:
        reason += f"; {wanted:.2f} would be needed, limited to {alpha:g}"
    return Calibration(alpha=alpha, reason=reason)
