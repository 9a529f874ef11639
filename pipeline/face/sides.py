"""Both sides of an animation, framed: what Animate Portrait hands on, so that later nodes know where the faces are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...models.contracts import AnimationBackbone
from ...models.errors import MagPlusError
from ...models.geometry import FaceBox
from ..clip import CHUNK, Clip, ClipInfo
from .crop import Crop, CroppedClip
from .frame import Framed, frame_side, frame_sources
from .guides import place_guides

NO_GUIDES: Mapping[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Crop and face box of the driving clip and of the portrait, their sizes (height, width), the reference frame."""

    driving: Framed
    driving_size: tuple[int, int]
    source: Framed
    source_size: tuple[int, int]
    reference: int

    def box_on_driving(self, clip: ClipInfo) -> FaceBox:
        """The driving face on a clip of the driving clip's size."""
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

    def box_on_square(self, clip: ClipInfo) -> FaceBox:
        """The portrait's face on a generated clip."""
        return self.source.box.moved_by(self.square(clip).to_crop)

    def box_on_result(self, clip: ClipInfo) -> FaceBox:
        """The portrait's face on a clip that is either the whole portrait or the generated square."""
        if (clip.height, clip.width) == self.source_size:
            return self.source.box
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
    guides: Mapping[str, Any] = NO_GUIDES,
) -> FramedSides:
    """Frame a driving clip and the pictures of a portrait as a backbone wants them, on the device where it runs.

    ``guides`` are those that the user gave.
    """
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
    )
    return FramedSides(
        sides=sides,
        crops=crops.to(device),
        driver=DeviceClip(CroppedClip(driving, driver.crop), device),
        guides=place_guides(
            guides,
            backbone,
            driving=(driver, sides.driving_size),
            source=(source, sides.source_size),
            reference=reference,
        ),
    )


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
