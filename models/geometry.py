# SPDX-License-Identifier: Apache-2.0
"""Face boxes and the similarity transforms between them.

Pixel coordinates have their origin at the centre of the top-left pixel, x to the right, y downwards; a positive angle
turns clockwise on the screen. A similarity is a ``(2, 3)`` float64 array that maps ``(x, y, 1)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Similarity = NDArray[np.float64]
"""``(2, 3)``: rotation, uniform scale and shift."""


@dataclass(frozen=True, kw_only=True)
class FaceBox:
    """A face as an upright or turned rectangle, in px: centre, width, height, and head roll in degrees."""

    cx: float
    cy: float
    width: float
    height: float
    angle_deg: float = 0.0

    @classmethod
    def from_corner(cls, x: float, y: float, width: float, height: float, angle_deg: float = 0.0) -> FaceBox:
        """Box whose left-most and top-most pixels are ``x`` and ``y``, ``width`` x ``height`` pixels large."""
        return cls(cx=x + (width - 1) / 2, cy=y + (height - 1) / 2, width=width, height=height, angle_deg=angle_deg)

    @property
    def scale(self) -> float:
        """Size of the face in px: geometric mean of the sides, so that a tall and a wide box of one face agree."""
        return math.sqrt(self.width * self.height)

    def moved_by(self, transform: Similarity) -> FaceBox:
        """The same face after a similarity was applied to its picture."""
        scale = similarity_scale(transform)
        cx, cy = transform @ np.array([self.cx, self.cy, 1.0])
        turn = math.degrees(math.atan2(transform[1, 0], transform[0, 0]))
        return FaceBox(
            cx=float(cx),
            cy=float(cy),
            width=self.width * scale,
            height=self.height * scale,
            angle_deg=self.angle_deg + turn,
        )


def similarity(scale: float, angle_deg: float, centre: tuple[float, float], target: tuple[float, float]) -> Similarity:
    """Similarity that turns and scales about ``centre`` and moves that point to ``target``."""
    cos = scale * math.cos(math.radians(angle_deg))
    sin = scale * math.sin(math.radians(angle_deg))
    linear = np.array([[cos, -sin], [sin, cos]])
    shift = np.asarray(target) - linear @ np.asarray(centre)
    return np.concatenate([linear, shift[:, None]], axis=1)


def between(source: FaceBox, target: FaceBox) -> Similarity:
    """Similarity that lays the face ``source`` on the face ``target``."""
    return similarity(
        target.scale / source.scale,
        target.angle_deg - source.angle_deg,
        (source.cx, source.cy),
        (target.cx, target.cy),
    )


def similarity_scale(transform: Similarity) -> float:
    """Uniform scale of a similarity."""
    return float(math.hypot(transform[0, 0], transform[1, 0]))


def inverse(transform: Similarity) -> Similarity:
    """The similarity that undoes ``transform``."""
    linear = np.linalg.inv(transform[:, :2])
    return np.concatenate([linear, -linear @ transform[:, 2:]], axis=1)


def compose(second: Similarity, first: Similarity) -> Similarity:
    """The similarity that applies ``first``, then ``second``."""
    shift = second[:, :2] @ first[:, 2:] + second[:, 2:]
    return np.concatenate([second[:, :2] @ first[:, :2], shift], axis=1)
