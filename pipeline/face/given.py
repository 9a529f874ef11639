# SPDX-License-Identifier: Apache-2.0
"""A face box from what other nodes and users give: a bounding box in one of its forms, a mask, or five numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ...models.errors import MagPlusError
from ...models.geometry import FaceBox
from .box import LEAST_MASK, box_from_mask

Numbers = tuple[float, float, float, float, float]
"""x, y, width, height in px, and the roll of the head in degrees."""

NO_BOX = "The face box is empty or no box: no face was found. Draw a mask, or give numbers."

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


def given_track(
    box: Any = None, mask: Tensor | None = None, numbers: Numbers = NO_NUMBERS, *, count: int
) -> list[FaceBox | None]:
    """The largest face of every frame of `given_faces`, None where there is none."""
    return [max(faces, key=_area, default=None) for faces in given_faces(box, mask, numbers, count=count)]


def given_faces(
    box: Any = None, mask: Tensor | None = None, numbers: Numbers = NO_NUMBERS, *, count: int
) -> list[list[FaceBox]]:
    """All faces of a clip of ``count`` frames that were given: one list for all frames, or one list per frame.

    What is given is what `given_box` takes; an empty list or an empty mask of a frame is a frame without a face. An
    empty result says that nothing was given.
    """
    if box is not None:
        return _all_from_wire(box, count)
    if mask is not None and mask.ndim == 3 and len(mask) > 1 and not bool((mask == mask[:1]).all()):
        _check_length("mask", len(mask), count)
        return [[box_from_mask(one)] if one.sum() >= LEAST_MASK else [] for one in mask]
    one = given_box(None, mask, numbers)
    return [] if one is None else [[one]]


def _all_from_wire(value: Any, count: int) -> list[list[FaceBox]]:
    if isinstance(value, Mapping):
        return [[_from_mapping(value)]]
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise MagPlusError(NO_BOX)
    if _is_picture(value):
        return [[_from_mapping(face) for face in value]]
    _check_length("list of face boxes", len(value), count)
    return [[_from_mapping(face) for face in ([faces] if isinstance(faces, Mapping) else faces)] for faces in value]


def _area(box: FaceBox) -> float:
    return box.width * box.height


def _is_picture(value: Sequence[Any]) -> bool:
    """Whether a list holds the faces of one picture, not those of several frames."""
    return all(isinstance(entry, Mapping) for entry in value)


def _check_length(what: str, length: int, count: int) -> None:
    if length not in (1, count):
        raise MagPlusError(f"The {what} has {length} frames, the clip {count}. Give one per frame, or one for all.")


def track_wire(boxes: Sequence[FaceBox | None]) -> list[list[dict[str, float]]]:
    """Boxes as BOUNDING_BOX carries them: per frame a list, which is empty where there is no face."""
    wires = [box_wire(box) for box in boxes]
    return [[] if wire is None else [wire] for wire in wires]


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
        raise MagPlusError(NO_BOX)
    if _is_picture(value):
        return max(map(_from_mapping, value), key=_area)
    return _from_wire(value[min(reference, len(value) - 1)], reference=0)


def _from_mapping(value: Mapping[str, Any]) -> FaceBox:
    try:
        numbers = [float(value[name]) for name in ("x", "y", "width", "height")] + [float(value.get("angle", 0.0))]
    except (KeyError, TypeError, ValueError) as error:
        raise MagPlusError(f"A face box needs x, y, width and height in px; this one is {dict(value)}.") from error
    if not all(map(math.isfinite, numbers)) or min(numbers[2:4]) <= 0:
        raise MagPlusError(f"The face box {dict(value)} has no area. Give one in px, or leave it out.")
    return FaceBox.from_corner(*numbers)
