# SPDX-License-Identifier: Apache-2.0
"""Curves and comparisons as plain data: dictionaries for JSON and a table for spreadsheets."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .compare import MotionComparison
from .curve import MotionCurve
from .regions import RegionMotion, Values


def curve_report(curve: MotionCurve) -> dict[str, Any]:
    """A curve for ``json.dumps``: plain numbers and lists, None for what is not known. The mode is left out."""
    return plain(
        {
            "rate": str(curve.rate),
            "frames": len(curve.values_pct_face),
            "reference_index": curve.reference,
            "face_box": asdict(curve.box),
            "peak_frame": curve.peak_frame,
            "peak_pct_face": curve.peak_pct_face,
            "peak_px": curve.peak_px,
            "noise_floor_pct_face": curve.noise_floor_pct_face,
            "noise_floor_px": curve.noise_floor_px,
            "explained": curve.explained,
            "left_out_frames": list(curve.left_out),
            "values_pct_face": curve.values_pct_face.tolist(),
            "values_px": curve.values_px.tolist(),
        }
    )


def comparison_report(comparison: MotionComparison) -> dict[str, Any]:
    """A comparison for ``json.dumps``; None, with ``reason`` in words, for what cannot be told."""
    return plain(asdict(comparison))


def curve_csv(curves: Sequence[tuple[str, MotionCurve]]) -> str:
    """Labelled curves of one rate side by side, one line per frame, empty where a curve has ended.

    Columns: frame, time_ms, then for each curve its label followed by `` pct_face`` and `` px``.
    """
    return _table([(label, curve, None) for label, curve in curves])


def motion_csv(motions: Sequence[tuple[str, RegionMotion]]) -> str:
    """The same of `RegionMotion`; with landmarks a third column, `` pct_inter_ocular``, follows the other two."""
    return _table([(label, motion.curve, motion.values_pct_inter_ocular) for label, motion in motions])


def _table(labelled: Sequence[tuple[str, MotionCurve, Values | None]]) -> str:
    columns: dict[str, Values] = {}
    for label, curve, of_eyes in labelled:
        columns |= {f"{label} pct_face": curve.values_pct_face, f"{label} px": curve.values_px}
        columns |= {} if of_eyes is None else {f"{label} pct_inter_ocular": of_eyes}
    longest = max((curve for _, curve, _ in labelled), key=lambda curve: len(curve.values_px), default=None)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["frame", "time_ms", *columns])
    for frame, time_ms in enumerate(longest.times_ms.tolist() if longest else []):
        cells = (f"{values[frame]:.6g}" if frame < len(values) else "" for values in columns.values())
        writer.writerow([frame, f"{time_ms:.3f}", *cells])
    return text.getvalue()


def plain(value: Any) -> Any:
    """Numbers as int or finite float, NaN and infinity as None: JSON knows neither."""
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def region_report(motion: RegionMotion) -> dict[str, Any]:
    """The motion of a region for ``json.dumps``, its curve included."""
    values = motion.values_pct_inter_ocular
    return curve_report(motion.curve) | plain(
        {
            "direction_deg": motion.direction_deg,
            "direction_share": math.hypot(*motion.direction),
            "interval_pct_face": motion.interval_pct_face,
            "magnitude_pct_face": motion.magnitude_pct_face.tolist(),
            "shift": {
                "values_pct_face": motion.shift.values_pct_face.tolist(),
                "values_px": (motion.shift.values_pct_face * motion.curve.box.width / 100).tolist(),
                "direction_deg": math.degrees(math.atan2(motion.shift.direction[1], motion.shift.direction[0])),
                "noise_floor_pct_face": motion.shift.noise_floor_pct_face,
            },
            "inter_ocular_px": motion.inter_ocular_px,
            "values_pct_inter_ocular": None if values is None else values.tolist(),
        }
    )
