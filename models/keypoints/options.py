# SPDX-License-Identifier: Apache-2.0
"""Options of the models that follow keypoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..options import Option
from .motion import MotionOptions

MOTION_OPTIONS = (
    Option(
        name="relative",
        default=True,
        help="the portrait's keypoints plus the driver's change since its reference; off: the driver's own keypoints, "
        "which carry its face shape",
    ),
    Option(
        name="adapt_movement_scale",
        default=False,
        help="scale the change of keypoints by the ratio of the two faces' sizes (relative only)",
    ),
)


def motion_options(options: Mapping[str, Any]) -> MotionOptions:
    """Their values."""
    return MotionOptions(relative=options["relative"], adapt_movement_scale=options["adapt_movement_scale"])
