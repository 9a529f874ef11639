"""Guides for a backbone from what the user gave: brought into the crops that the backbone sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...models.contracts import AnimationBackbone
from ...models.guides import Landmarks
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
        placed[name] = value.in_crop(framed.crop.to_crop, size, reference) if isinstance(value, Landmarks) else value
    return placed


def of_reference(given: Mapping[str, Any], reference: int) -> dict[str, Any]:
    """Guides about the driving clip as they were, for the same clip with other motion.

    Landmarks of its frames hold for the reference alone once the motion is magnified.
    """
    return {name: value.at(reference) if isinstance(value, Landmarks) else value for name, value in given.items()}
