"""A face box from what other nodes and users give: a bounding box in one of its forms, a mask, or five numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ...models.errors import MagPlusError
from ...models.geometry import FaceBox
from .box import box_from_mask

Numbers = tuple[float, float, float, float, float]
"""x, y, width, height in px, and the roll of the head in degrees."""

NO_NUMBERS: Numbers = (0.0, 0.0, 0.0, 0.0, 0.0)


def given_box(
    box: Any = None, mask: Tensor | None = None, numbers: Numbers = NO_NUMBERS, *, reference: int = 0
) -> FaceBox | None:
    """The box that was given, None if there is none. A box wins over a mask, and a mask over numbers.

    ``box`` is a mapping with x, y, width, height and possibly angle, a list of them (the faces of one picture), or a
    list of such lists, one per frame. Of several frames that of ``reference`` counts, of several faces the largest.
    ``mask`` is ``(H, W)`` or ``(N, H, W)``.
    """
    if box is not None:
        return _from_wire(box, reference)
    if mask is not None:
        return box_from_mask(mask if mask.ndim == 2 else mask[min(reference, len(mask) - 1)])
    x, y, width, height, angle = numbers
    if (width > 0) != (height > 0):
        raise MagPlusError(f"A face box of {width:g} x {height:g} px is none. Give width and height, or 0 for both.")
    return FaceBox.from_corner(x, y, width, height, angle) if width > 0 else None


def box_wire(box: FaceBox | None) -> dict[str, float] | None:
    """A box as `given_box` takes it."""
    if box is None:
        return None
    return {
        "x": box.cx - (box.width - 1) / 2,
        "y": box.cy - (box.height - 1) / 2,
        "width": box.width,
        "height": box.height,
        "angle": box.angle_deg,
    }


def _from_wire(value: Any, reference: int) -> FaceBox:
    if isinstance(value, Mapping):
        return _from_mapping(value)
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise MagPlusError("The face box is empty or no box: no face was found. Draw a mask, or give numbers.")
    if all(isinstance(entry, Mapping) for entry in value):
        return max(map(_from_mapping, value), key=lambda found: found.width * found.height)
    return _from_wire(value[min(reference, len(value) - 1)], reference=0)


def _from_mapping(value: Mapping[str, Any]) -> FaceBox:
    try:
        numbers = [float(value[name]) for name in ("x", "y", "width", "height")] + [float(value.get("angle", 0.0))]
    except (KeyError, TypeError, ValueError) as error:
        raise MagPlusError(f"A face box needs x, y, width and height in px; this one is {dict(value)}.") from error
    if not all(map(math.isfinite, numbers)) or min(numbers[2:4]) <= 0:
        raise MagPlusError(f"The face box {dict(value)} has no area. Give one in px, or leave it out.")
    return FaceBox.from_corner(*numbers)
