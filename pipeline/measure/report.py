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
from .regions import RegionMotion


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
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["frame", "time_ms", *(f"{label} {unit}" for label, _ in curves for unit in ("pct_face", "px"))])
    longest = max((curve for _, curve in curves), key=lambda curve: len(curve.values_px), default=None)
    for frame, time_ms in enumerate(longest.times_ms.tolist() if longest else []):
        cells = [cell for _, curve in curves for cell in _cells(curve, frame)]
        writer.writerow([frame, f"{time_ms:.3f}", *cells])
    return text.getvalue()


def _cells(curve: MotionCurve, frame: int) -> tuple[str, str]:
    if frame >= len(curve.values_px):
        return "", ""
    return f"{curve.values_pct_face[frame]:.6g}", f"{curve.values_px[frame]:.6g}"


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
            "inter_ocular_px": motion.inter_ocular_px,
            "values_pct_inter_ocular": None if values is None else values.tolist(),
        }
    )
