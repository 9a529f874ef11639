# SPDX-License-Identifier: Apache-2.0
"""Where the face is: boxes from numbers, from masks, or, with a warning, from the whole frame."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...models.errors import MagPlusError
from ...models.geometry import FaceBox

_ROUND = 1.1
"""Ratio of a mask's axes below which its direction is not used: a round mask has none."""

LEAST_MASK = 16
"""Sum of a mask below which it is called empty."""

_BOX_NUMBERS = (4, 5)


def parse_box(text: str) -> FaceBox:
    """Box from ``x,y,width,height`` or ``x,y,width,height,angle`` (px, degrees clockwise)."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in _BOX_NUMBERS or not all(map(math.isfinite, numbers)) or min(numbers[2:4]) <= 0:
        raise MagPlusError(f"'{text}' is no face box. Give x,y,width,height in px, and the head's angle in degrees.")
    return FaceBox.from_corner(*numbers)


def box_from_mask(mask: Tensor) -> FaceBox:
    """Box of the ellipse with the same moments as a face mask ``(H, W)`` in [0, 1].

    The angle is that of the longer axis against the vertical, within 45 degrees: a head is taller than it is wide.
    """
    weight = mask.double()
    mass = weight.sum()
    if mass < LEAST_MASK:
        raise MagPlusError("The face mask is empty. Draw the face in white.")
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in mask.shape), indexing="ij")
    cx, cy = float((weight * x).sum() / mass), float((weight * y).sum() / mass)
    xx = float((weight * (x - cx) ** 2).sum() / mass)
    yy = float((weight * (y - cy) ** 2).sum() / mass)
    xy = float((weight * (x - cx) * (y - cy)).sum() / mass)
    # A solid ellipse has variance (half axis)^2 / 4 along each axis.
    spread = math.hypot((xx - yy) / 2, xy)
    long, short = (4 * math.sqrt(max((xx + yy) / 2 + sign * spread, 1e-9)) for sign in (1, -1))
    angle = math.degrees(0.5 * math.atan2(-2 * xy, yy - xx))
    if long / short < _ROUND or abs(angle) > 45:
        return FaceBox(cx=cx, cy=cy, width=4 * math.sqrt(xx), height=4 * math.sqrt(yy))
    return FaceBox(cx=cx, cy=cy, width=short, height=long, angle_deg=angle)


def whole_frame(height: int, width: int) -> FaceBox:
    """The frame as a box: what is used where nobody says where the face is."""
    return FaceBox.from_corner(0, 0, width, height)
