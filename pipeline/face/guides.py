# SPDX-License-Identifier: Apache-2.0
"""Guides for a backbone from what the user gave: brought into the crops that the backbone sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F

from ...models.contracts import AnimationBackbone
from ...models.errors import MagPlusError
from ...models.guides import Landmarks, Mask
from .frame import Framed, box_guides

Size = tuple[int, int]
"""Height and width of a picture in px."""


def place_guides(
    given: Mapping[str, Any],
    backbone: AnimationBackbone,
    *,
    driving: tuple[Framed, Size],
    source: tuple[Framed, Size],
    reference: int = 0,
) -> dict[str, Any]:
    """The face boxes that the backbone asks for, and all that was given, in the coordinates of the crops.

    A guide belongs to the side that its name starts with. What has no place in a picture stays as it is.
    """
    placed = box_guides(backbone, driving[0], source[0])
    for name, value in given.items():
        framed, size = source if name.startswith("source") else driving
        placed[name] = _placed(name, value, framed, size, reference)
    return placed


def _placed(name: str, value: Any, framed: Framed, size: Size, reference: int) -> Any:
    if isinstance(value, Landmarks):
        return value.in_crop(framed.crop.to_crop, size, reference)
    if not isinstance(value, Mask):
        return value
    if value.values.shape != size:
        height, width = value.values.shape
        raise MagPlusError(f"{name} has {width} x {height} px, the picture {size[1]} x {size[0]}. Give them alike.")
    # A crop continues the edge of what it is cut from. Beyond the picture there is nothing to be kept.
    inside = F.pad(value.values[1:-1, 1:-1], (1, 1, 1, 1))
    return framed.crop.apply(inside.expand(1, 3, -1, -1))[0, 0]


def of_reference(given: Mapping[str, Any], reference: int) -> dict[str, Any]:
    """Guides about the driving clip as they were, for the same clip with other motion.

    Landmarks of its frames hold for the reference alone once the motion is magnified.
    """
    return {name: value.at(reference) if isinstance(value, Landmarks) else value for name, value in given.items()}
