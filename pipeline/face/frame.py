# SPDX-License-Identifier: Apache-2.0
"""Framing both sides of an animation: one steady crop each, and the face inside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...models.contracts import AnimationBackbone, Framing
from ...models.errors import MagPlusError
from ...models.geometry import FaceBox, compose
from ..clip import Clip
from ..log import log
from .box import whole_frame
from .crop import Crop, CroppedClip, frame_face, frame_whole, native


@dataclass(frozen=True, kw_only=True)
class Framed:
    """The crop of a picture at a backbone's size, and the face box in the picture."""

    crop: Crop
    box: FaceBox

    @property
    def box_in_crop(self) -> FaceBox:
        """The face in the coordinates of the crop."""
        return self.box.moved_by(self.crop.to_crop)

    @property
    def work(self) -> Crop:
        """The same view at the picture's own resolution, where motion is measured and magnified."""
        return native(self.crop)

    @property
    def box_in_work(self) -> FaceBox:
        """The face in the coordinates of the working crop."""
        return self.box.moved_by(self.work.to_crop)

    def from_work(self, clip: Clip) -> CroppedClip:
        """A clip in working coordinates, as the backbone wants it."""
        between = compose(self.crop.to_crop, self.work.to_picture)
        return CroppedClip(clip, Crop(to_crop=between, size=self.crop.size))


def frame_side(what: str, size: tuple[int, int], box: FaceBox | None, framing: Framing) -> Framed:
    """Crop of a picture of ``size`` (height, width). Without a box the whole frame stands for the face, with a warning.

    ``what`` names the picture in messages.
    """
    height, width = size
    if box is None:
        # A picture of the backbone's own size was cropped by its user, and is taken as it is.
        if (height, width) != (framing.size, framing.size):
            log.warning(
                "%s: no face box, the largest centred square is taken for the face. "
                "Give a box or a mask for a better fit.",
                what,
            )
        crop = frame_whole(height, width, framing.size)
        return Framed(crop=crop, box=whole_frame(framing.size, framing.size).moved_by(crop.to_picture))
    if not (0 <= box.cx < width and 0 <= box.cy < height):
        raise MagPlusError(
            f"{what}: the face box is centred at ({box.cx:.0f}, {box.cy:.0f}), outside the picture of "
            f"{width} x {height} px. Give x,y,width,height in px of that picture."
        )
    return Framed(crop=frame_face(box, framing), box=box)


def frame_sources(sources: list[Tensor], box: FaceBox | None, framing: Framing) -> tuple[Framed, Tensor]:
    """Framing of the first source picture, and the crops ``(N, 3, size, size)`` of all; they share one box."""
    check_one_size(sources)
    height, width = sources[0].shape[-2:]
    framed = frame_side("portrait", (height, width), box, framing)
    return framed, framed.crop.apply(torch.stack(sources))


def check_one_size(sources: list[Tensor]) -> None:
    """Refuse source pictures of different sizes."""
    sizes = {tuple(source.shape[-2:]) for source in sources}
    if len(sizes) > 1:
        raise MagPlusError(f"The source pictures have different sizes, {sorted(sizes)}. Crop them alike first.")


def box_guides(backbone: AnimationBackbone, driving: Framed, source: Framed) -> dict[str, Any]:
    """Both face boxes in the coordinates of their crops, as far as the backbone asks for them."""
    boxes = {"driving_box": driving.box_in_crop, "source_box": source.box_in_crop}
    return {name: box for name, box in boxes.items() if name in backbone.guide_names}
