# SPDX-License-Identifier: Apache-2.0
"""How far a clip moves, and how two clips' motions relate."""

from .compare import MotionComparison, compare
from .curve import CurveBuilder, MotionCurve, measure_clip, measure_fields, whole_frame_box
from .flow import SPLINE_FIT, DisplacementEstimator, dense_displacement, displacement_by
from .report import comparison_report, curve_csv, curve_report
from .stages import STAGES, measure_stages

__all__ = [
    "SPLINE_FIT",
    "STAGES",
    "CurveBuilder",
    "DisplacementEstimator",
    "MotionComparison",
    "MotionCurve",
    "compare",
    "comparison_report",
    "curve_csv",
    "curve_report",
    "dense_displacement",
    "displacement_by",
    "measure_clip",
    "measure_fields",
    "measure_stages",
    "whole_frame_box",
]
