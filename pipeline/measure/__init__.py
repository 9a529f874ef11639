"""How far a clip moves, and how two clips' motions relate."""

from .compare import MotionComparison, compare
from .curve import CurveBuilder, MotionCurve, measure_clip, measure_fields, whole_frame_box
from .flow import DisplacementEstimator, dense_displacement
from .report import comparison_report, curve_csv, curve_report
from .stages import STAGES, measure_stages

__all__ = [
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
    "measure_clip",
    "measure_fields",
    "measure_stages",
    "whole_frame_box",
]
