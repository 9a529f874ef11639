# SPDX-License-Identifier: Apache-2.0
"""A strength for each part of a face: soft regions to a map of magnification factors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...models.errors import MagPlusError
from ...models.geometry import FaceBox
from ...models.warp import box_window
from .anatomy import REGIONS, FaceMap, region_mask
from .clip_crop import ClipCrop
from .landmarks import box_from_landmarks, chosen_mesh

SOFTNESS = 0.6
"""Width of a region's edge, in its half axes."""
FADE = 0.35
"""Width of the soft edge around a face box, in its half sides."""


@dataclass(frozen=True, kw_only=True)
class RegionStrengths:
    """Magnification factors by region (of `anatomy.REGIONS`), and that of everything else, 1 for unchanged."""

    alphas: Mapping[str, float]
    outside: float = 1.0
    softness: float = SOFTNESS

    def __post_init__(self) -> None:
        unknown = sorted(set(self.alphas) - set(REGIONS))
        if unknown:
            raise MagPlusError(f"There is no region '{unknown[0]}' of a face. Known: {', '.join(REGIONS)}.")
        for name, alpha in {**self.alphas, "outside": self.outside}.items():
            if not math.isfinite(alpha) or alpha <= 0:
                raise MagPlusError(f"The strength of '{name}' must be a positive number, not {alpha:g}.")
        if not self.chosen:
            raise MagPlusError("No region has a strength other than 'outside'. Set one of them.")

    @property
    def chosen(self) -> dict[str, float]:
        """The regions that differ from what is outside; the others are no regions of their own."""
        return {name: alpha for name, alpha in self.alphas.items() if alpha != self.outside}

    @property
    def strongest(self) -> float:
        """The factor that is farthest from 1, in ratio."""
        return max([*self.chosen.values(), self.outside], key=lambda alpha: abs(math.log(alpha)))

    def masks(self, face: FaceMap, size: tuple[int, int]) -> dict[str, Tensor]:
        """Share of each chosen region in every pixel, ``(H, W)``: soft, and together at most 1."""
        masks = {name: region_mask(face, name, size, softness=self.softness) for name in self.chosen}
        total = torch.stack(list(masks.values())).sum(0).clamp(min=1)
        return {name: mask / total for name, mask in masks.items()}

    def alpha_map(self, face: FaceMap, size: tuple[int, int]) -> Tensor:
        """Factor of every pixel ``(H, W)``; exactly ``outside`` away from the chosen regions."""
        out = torch.full(size, self.outside)
        for name, share in self.masks(face, size).items():
            out += share * (self.chosen[name] - self.outside)
        return out

    def __str__(self) -> str:
        return ", ".join(f"{name} {alpha:g}" for name, alpha in self.chosen.items())


def parse_regions(text: str) -> RegionStrengths:
    """Strengths from ``brows=12,mouth=4``; ``outside=...`` for everything else."""
    values: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        try:
            values[name.strip()] = float(number)
        except ValueError:
            raise MagPlusError(f"'{part}' is no strength of a region. Give REGION=FACTOR, as in brows=12.") from None
    outside = values.pop("outside", 1.0)
    return RegionStrengths(alphas=values, outside=outside)


def within_face(alpha: float, box: FaceBox, size: tuple[int, int]) -> Tensor:
    """A map ``(H, W)`` of one factor inside a face, softly 1 around it.

    Where a head is held still, what stands still behind it moves, and would be magnified.
    """
    return 1 + (alpha - 1) * box_window(box, torch.zeros(1, 1, *size), FADE)[0, 0]


def strongest(alphas: Tensor) -> float:
    """The factor of a map that is farthest from 1, in ratio."""
    flat = alphas.flatten()
    return float(flat[flat.log().abs().argmax()])


def known_face(
    box: FaceBox | None, landmarks: Any = None, crop: ClipCrop | None = None, *, count: int, reference: int
) -> tuple[FaceBox | None, FaceMap | None]:
    """Box and parts of the face on a clip, told by any of the three; None for both where nothing tells them."""
    if box is None and landmarks is None and crop is None:
        return None, None
    face = face_map(box, landmarks, crop, count=count, reference=reference)
    if box is None and crop is not None:
        box = crop.box_in_crop(min(reference, crop.count - 1))
    if box is None:
        box = box_from_landmarks(chosen_mesh(landmarks, count, reference, None))
    return box, face


def face_map(
    box: FaceBox | None, landmarks: Any = None, crop: ClipCrop | None = None, *, count: int, reference: int
) -> FaceMap:
    """The face on a clip of ``count`` frames, in its reference frame: from landmarks, else from its box.

    With a ``crop`` the clip is what it cut out: the landmarks are of the clip before, and the face is known without a
    box too.
    """
    shown = None if crop is None else crop.crop(min(reference, len(crop.crops) - 1))
    if landmarks is not None:
        near = box if box is None or shown is None else box.moved_by(shown.to_picture)
        face = FaceMap.from_landmarks(chosen_mesh(landmarks, count, reference, near))
        return face if shown is None else face.moved_by(shown.to_crop)
    if box is None and crop is not None:
        box = crop.box_in_crop(min(reference, crop.count - 1))
    if box is None:
        raise MagPlusError("Where is the face? Give numbers or a mask, or connect crop, a face box or landmarks.")
    return FaceMap.from_box(box)
