# SPDX-License-Identifier: Apache-2.0
"""Anti-aliased lines at real-valued places.

OpenCV's lines can start between pixels too, but are placed to 1/32 px and rounded to 8 bits: of 0.1 px of motion of a
drawn face 0.088 to 0.105 px arrived (least squares on the pictures' gradients), with these 0.0998 to 0.102. They look
like OpenCV's: on the same face the two differ by 0.01 of full scale on average where there is a line.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]

PEAK, FALL, POWER = 0.91, 1.43, 2.4
"""Brightness across an upright or level line of OpenCV: ``PEAK * exp(-FALL * |px| ** POWER)``, measured, to 0.03."""

REACH_PX = 1.75
"""Where that has fallen to 0.004."""

STEEPER = ((0.0, 0.268, 0.577, 1.0), (1.0, 1.054, 1.133, 1.198))
"""Brightness of an OpenCV line by its slope (minor by major axis), measured: it compensates for what slopes thin."""

CAP_PX = (1.0, 0.7)
"""A line begins this far before its end point and is complete this far behind it, along its major axis."""


def paint_line(picture: Picture, start: NDArray[np.float64], end: NDArray[np.float64], colour: Picture) -> None:
    """Lay a line one pixel wide from ``start`` to ``end`` (x, y) over a picture ``(H, W, C)``, in place.

    Whole numbers are the centres of pixels.
    """
    # Seen along its major axis: the picture is turned over for steep lines.
    along = int(abs(end[1] - start[1]) > abs(end[0] - start[0]))
    if start[along] > end[along]:
        start, end = end, start
    surface = picture.swapaxes(0, 1) if along else picture
    (first, level), (last, level_end) = (point if not along else point[::-1] for point in (start, end))
    slope = (level_end - level) / max(last - first, 1e-9)
    columns = _window(first - CAP_PX[0], last + CAP_PX[0], surface.shape[1])
    rows = _window(min(level, level_end) - REACH_PX - 1, max(level, level_end) + REACH_PX + 1, surface.shape[0])
    if not len(columns) or not len(rows):
        return
    covered = np.clip((np.minimum(columns - first, last - columns) + CAP_PX[0]) / sum(CAP_PX), 0, 1)
    away = np.abs(rows[:, None] - (level + slope * (columns - first)))
    weight = np.interp(abs(slope), *STEEPER) * PEAK * np.exp(-FALL * away**POWER) * (away < REACH_PX) * covered
    part = surface[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    part += np.minimum(weight, 1)[..., None].astype(np.float32) * (colour - part)


def _window(low: float, high: float, size: int) -> NDArray[np.int64]:
    """Pixels from ``low`` to ``high`` that the picture has."""
    return np.arange(max(int(np.ceil(low)), 0), min(int(np.floor(high)), size - 1) + 1)
