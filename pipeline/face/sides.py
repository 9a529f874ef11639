# SPDX-License-Identifier: Apache-2.0
"""Both sides of an animation, framed: what Animate Portrait hands on, so that later nodes know where the faces are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...models.contracts import AnimationBackbone
from ...models.errors import MagPlusError
from ...models.geometry import FaceBox, Similarity, compose
from ..clip import CHUNK, Clip, ClipInfo
from .clip_crop import ClipCrop
from .crop import Crop, CroppedClip
from .frame import Framed, frame_side, frame_sources
from .guides import place_guides

NO_GUIDES: Mapping[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Crop and face box of the driving clip and of the portrait, their sizes (height, width), the reference frame.

    ``driving_within`` and ``source_within`` are the crops that either of them is of a larger picture.
    """

    driving: Framed
    driving_size: tuple[int, int]
    source: Framed
    source_size: tuple[int, int]
    reference: int
    driving_within: ClipCrop | None = None
    source_within: ClipCrop | None = None

    def box_on_driving(self, clip: ClipInfo) -> FaceBox:
        """The driving face on a clip of the driving clip's size, or of the size it had before it was cropped."""
        within = self.driving_within
        if within is not None and (clip.height, clip.width) == within.picture:
            return self.driving.box.moved_by(within.crop(self.reference).to_picture)
        if (clip.height, clip.width) != self.driving_size:
            height, width = self.driving_size
            raise MagPlusError(
                f"'{clip.name}' has {clip.width} x {clip.height} px, but the driving clip {width} x {height} px. "
                "Give a face box for it, or the clip at the size it had at Animate Portrait."
            )
        return self.driving.box

    def square(self, clip: ClipInfo) -> Crop:
        """The crop of the portrait that a generated clip shows, at that clip's size."""
        if clip.height != clip.width:
            raise MagPlusError(
                f"'{clip.name}' has {clip.width} x {clip.height} px, but a generated clip is square. "
                "Connect the frames of Animate Portrait."
            )
        return self.source.crop.resized(clip.width)

    @property
    def portrait_size(self) -> tuple[int, int]:
        """Height and width of the whole portrait, before it was cropped."""
        return self.source_size if self.source_within is None else self.source_within.picture

    def on_portrait(self, clip: ClipInfo, size: tuple[int, int]) -> Similarity:
        """Maps a generated clip to the portrait of that size (height, width): the one animated, or the whole one."""
        to_source = self.square(clip).to_picture
        if size == self.source_size:
            return to_source
        if self.source_within is not None and size == self.portrait_size:
            return compose(self.source_within.crop(0).to_picture, to_source)
        height, width = self.portrait_size
        whole = "" if self.source_within is None else f" and was cut out of {width} x {height} px"
        raise MagPlusError(
            f"The portrait has {size[1]} x {size[0]} px, the one that was animated {self.source_size[1]} x "
            f"{self.source_size[0]} px{whole}. Connect the same picture to both nodes."
        )

    @property
    def portrait_crop(self) -> ClipCrop:
        """The square of the whole portrait that a generated clip shows, for `paste_back`."""
        crop, box = self.source.crop, self.source.box
        if self.source_within is not None:
            outer = self.source_within.crop(0)
            crop = Crop(to_crop=compose(crop.to_crop, outer.to_crop), size=crop.size)
            box = box.moved_by(outer.to_picture)
        return ClipCrop(crops=(crop,), boxes=(box,), picture=self.portrait_size)

    def box_on_portrait(self, size: tuple[int, int]) -> FaceBox:
        """The portrait's face on the picture of that size (height, width): the one animated, or the whole one."""
        return self.source.box if size == self.source_size else self.portrait_crop.box(0)

    def box_on_square(self, clip: ClipInfo) -> FaceBox:
        """The portrait's face on a generated clip."""
        return self.source.box.moved_by(self.square(clip).to_crop)

    def box_on_result(self, clip: ClipInfo) -> FaceBox:
        """The portrait's face on a clip that is either the portrait, cropped or whole, or the generated square."""
        size = (clip.height, clip.width)
        if size in (self.source_size, self.portrait_size):
            return self.box_on_portrait(size)
        return self.box_on_square(clip)


@dataclass(frozen=True, kw_only=True)
class FramedSides:
    """What `animate` takes: crops of the portrait ``(N, 3, size, size)``, the driving clip, guides."""

    sides: Sides
    crops: Tensor
    driver: Clip
    guides: dict[str, Any]


def frame_sides(
    driving: Clip,
    portrait: Clip,
    backbone: AnimationBackbone,
    *,
    driving_box: FaceBox | None,
    source_box: FaceBox | None,
    reference: int,
    device: torch.device,
    driving_within: ClipCrop | None = None,
    source_within: ClipCrop | None = None,
    guides: Mapping[str, Any] = NO_GUIDES,
) -> FramedSides:
    """Frame a driving clip and the pictures of a portrait as a backbone wants them, on the device where it runs.

    ``driving_within`` and ``source_within`` are crops whose squares they show; those tell the faces too.
    ``guides`` are those that the user gave.
    """
    driving_box = _from_crop(driving_box, driving_within, driving.info, reference)
    source_box = _from_crop(source_box, source_within, portrait.info, 0)
    size = (driving.info.height, driving.info.width)
    driver = frame_side("driving clip", size, driving_box, backbone.framing)
    pictures = [picture for chunk in portrait.chunks() for picture in chunk]
    source, crops = frame_sources(pictures, source_box, backbone.framing)
    sides = Sides(
        driving=driver,
        driving_size=size,
        source=source,
        source_size=(portrait.info.height, portrait.info.width),
        reference=reference,
        driving_within=driving_within,
        source_within=source_within,
    )
    return FramedSides(
        sides=sides,
        crops=crops.to(device),
        driver=DeviceClip(CroppedClip(driving, driver.crop), device),
        guides=place_guides(
            guides,
            backbone,
            driving=(driver, size),
            source=(source, sides.source_size),
            reference=reference,
        ),
    )


def _from_crop(box: FaceBox | None, within: ClipCrop | None, info: ClipInfo, index: int) -> FaceBox | None:
    """The face that was given on a cropped clip, else the one that its crop knows."""
    if within is None:
        return box
    if (info.height, info.width) != (within.size, within.size):
        raise MagPlusError(
            f"'{info.name}' has {info.width} x {info.height} px, its crop {within.size} x {within.size} px. Connect "
            "the images that Crop Face gave together with that crop."
        )
    return box or within.box_in_crop(index)


@dataclass(frozen=True)
class DeviceClip:
    """A clip whose chunks are brought to a device."""

    clip: Clip
    device: torch.device

    @property
    def info(self) -> ClipInfo:
        return self.clip.info

    def chunks(self, size: int = CHUNK) -> Iterator[Tensor]:
        for chunk in self.clip.chunks(size):
            yield chunk.to(self.device)

    def frame(self, index: int) -> Tensor:
        return self.clip.frame(index).to(self.device)
