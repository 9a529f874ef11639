# SPDX-License-Identifier: Apache-2.0
"""The square of a clip that shows a face, steady or following it, and where the face is: what Crop Face hands on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from ...models.contracts import Framing
from ...models.errors import MagPlusError
from ...models.geometry import FaceBox, similarity
from ..clip import CHUNK, Clip, ClipInfo
from .crop import Crop
from .smooth import low_pass

MIN_SIDE = 16
MAX_SIDE = 8192
UPRIGHT_DEG = 0.01
"""Roll below which a crop is not turned: what a box in whole px cannot tell anyway."""


@dataclass(frozen=True, kw_only=True)
class ClipCrop:
    """One `Crop` for all frames or one per frame, all of one size; face boxes in the picture likewise."""

    crops: tuple[Crop, ...]
    boxes: tuple[FaceBox, ...]
    picture: tuple[int, int]
    """Height and width of the clip's pictures."""
    missing: frozenset[int] = frozenset()
    """Frames in which no face was found and which are to stay as they are."""

    @property
    def size(self) -> int:
        """Side of the square in px."""
        return self.crops[0].size

    @property
    def count(self) -> int:
        """Frames it was made for; 1 where it fits any number."""
        return max(len(self.crops), len(self.boxes))

    def crop(self, index: int) -> Crop:
        """The crop of one frame."""
        return self.crops[index if len(self.crops) > 1 else 0]

    def box(self, index: int) -> FaceBox:
        """The face in the picture of one frame."""
        return self.boxes[index if len(self.boxes) > 1 else 0]

    def box_in_crop(self, index: int) -> FaceBox:
        """The face in the crop of one frame."""
        return self.box(index).moved_by(self.crop(index).to_crop)

    def of(self, clip: Clip) -> SquareClip:
        """A clip seen through this crop."""
        self.check(clip.info, clip.info.name)
        return SquareClip(clip, self)

    def check(self, info: ClipInfo, name: str) -> None:
        """Refuse a clip that this crop does not belong to."""
        if (info.height, info.width) != self.picture:
            height, width = self.picture
            raise MagPlusError(
                f"'{name}' has {info.width} x {info.height} px, but the crop was made on {width} x {height} px. "
                "Connect the clip that Crop Face was given."
            )
        if self.count > 1 and info.count not in (None, 1, self.count):
            raise MagPlusError(
                f"'{name}' has {info.count} frames, but the crop was made for {self.count}. "
                "Connect the clip that Crop Face was given."
            )


@dataclass(frozen=True)
class SquareClip:
    """A clip seen through the crop of each frame."""

    clip: Clip
    crop: ClipCrop

    @property
    def info(self) -> ClipInfo:
        info = self.clip.info
        return ClipInfo(height=self.crop.size, width=self.crop.size, rate=info.rate, count=info.count, name=info.name)

    def chunks(self, size: int = CHUNK) -> Iterator[Tensor]:
        done = 0
        for chunk in self.clip.chunks(size):
            yield torch.cat([self.crop.crop(done + k).apply(frame[None]) for k, frame in enumerate(chunk)])
            done += len(chunk)

    def frame(self, index: int) -> Tensor:
        return self.crop.crop(index).apply(self.clip.frame(index)[None])[0]


@dataclass(frozen=True, kw_only=True)
class Following:
    """How a crop follows a face: what is slower than these frequencies, the position (with the roll) and the size."""

    position_hz: float
    size_hz: float
    rate: Fraction


def crop_track(
    boxes: Sequence[FaceBox | None],
    info: ClipInfo,
    framing: Framing,
    *,
    following: Following | None = None,
    upright: bool = False,
) -> ClipCrop:
    """Crop of a clip whose face is at ``boxes``: one for all frames, or one per frame, None where it was not found.

    Without ``following`` one square, around the median face, serves all frames. ``framing.size`` is the side of the
    result in px; 0 keeps the picture's own pixels (and cuts them out without resampling where the square neither
    follows nor turns). ``upright`` turns the crop by the roll of the head. Frames without a face are listed in
    `ClipCrop.missing` and framed as the last known face.
    """
    known = _filled(boxes)
    numbers = np.array([[b.cx, b.cy, b.height, b.width, b.angle_deg] for b in known])
    numbers[:, 4] = np.degrees(np.unwrap(np.radians(numbers[:, 4])))
    if following is None or len(numbers) == 1:
        paths = np.median(numbers, axis=0, keepdims=True)
    else:
        paths = low_pass(numbers, following.position_hz, following.rate)
        paths[:, 2:4] = np.exp(low_pass(np.log(numbers[:, 2:4]), following.size_hz, following.rate))
    _check_inside(paths, info)
    size = framing.size or round(framing.scale * float(np.median(paths[:, 2])))
    if not MIN_SIDE <= size <= MAX_SIDE:
        raise MagPlusError(
            f"The crop would be {size} x {size} px; {MIN_SIDE} to {MAX_SIDE} are possible. Check face box and scale."
        )
    own_pixels = len(paths) == 1 and not framing.size
    crops = [_square(row, framing, size, own_pixels=own_pixels, upright=upright) for row in paths]
    if own_pixels and not upright:
        crops = [_on_whole_pixels(crops[0])]
    return ClipCrop(
        crops=tuple(crops),
        boxes=tuple(known),
        picture=(info.height, info.width),
        missing=frozenset(index for index, box in enumerate(boxes) if box is None),
    )


def _check_inside(paths: np.ndarray, info: ClipInfo) -> None:
    """Refuse a face whose centre lies outside its picture."""
    cx, cy = paths[:, 0], paths[:, 1]
    outside = (cx < 0) | (cx >= info.width) | (cy < 0) | (cy >= info.height)
    if outside.any():
        index = int(outside.argmax())
        raise MagPlusError(
            f"'{info.name}': the face box is centred at ({cx[index]:.0f}, {cy[index]:.0f}), outside the picture of "
            f"{info.width} x {info.height} px. Give x, y, width, height in px of that picture."
        )


def _filled(boxes: Sequence[FaceBox | None]) -> list[FaceBox]:
    """The last known face where there is none, at the beginning the first."""
    last = next((box for box in boxes if box is not None), None)
    if last is None:
        raise MagPlusError("No frame has a face box. Give numbers or a mask, or connect Track Face.")
    out = []
    for box in boxes:
        last = box or last
        out.append(last)
    return out


def _square(row: np.ndarray, framing: Framing, size: int, *, own_pixels: bool, upright: bool) -> Crop:
    """Crop of one face, given as centre, height, width, angle."""
    cx, cy, height, _, angle = (float(value) for value in row)
    side = framing.scale * height
    turn = math.radians(angle if upright and abs(angle) > UPRIGHT_DEG else 0.0)
    # The shift goes down the face, or down the picture where the crop does not turn with it.
    shift = framing.shift_y * side
    centre = (cx - math.sin(turn) * shift, cy + math.cos(turn) * shift)
    middle = (size - 1) / 2
    scale = 1.0 if own_pixels else size / side
    return Crop(to_crop=similarity(scale, -math.degrees(turn), centre, (middle, middle)), size=size)


def _on_whole_pixels(crop: Crop) -> Crop:
    shift = np.round(crop.to_crop[:, 2])
    return Crop(to_crop=np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]]), size=crop.size)
