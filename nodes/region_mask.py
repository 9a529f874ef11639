# SPDX-License-Identifier: Apache-2.0
"""Region Mask: a strength for each part of the face."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..pipeline.face.clip_crop import ClipCrop
from ..pipeline.face.given import given_box
from ..pipeline.face.regions import SOFTNESS, RegionStrengths, face_map
from ..pipeline.render.overlay import region_picture
from . import convert
from .host import io, ui
from .wires import (
    AlphaMap,
    box_inputs,
    box_sockets,
    face_sockets,
    numbers_of,
    reference_input,
)

PARTS = {
    "brows": "both brows and the space between them",
    "eyes": "both eyes with their lids",
    "nose": "the nose, from its root to its base",
    "cheeks": "both cheeks",
    "mouth": "the lips and their surroundings",
    "chin": "the chin",
}


def _strength(name: str, default: float, what: str) -> Any:
    return io.Float.Input(
        name,
        default=default,
        min=0.03125,
        max=32.0,
        step=0.05,
        tooltip=f"Magnification of {what}. Above 1 enlarges its motion, below 1 calms it, 1 leaves it as it is.",
    )


class RegionMask(io.ComfyNode):  # type: ignore[misc]
    """Strengths of regions to a map for Magnify Motion."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusRegionMask",
            display_name="Region Mask (MagPlus)",
            category="MagPlus/Face",
            description="Gives brows, eyes, nose, cheeks, mouth and chin a magnification of their own, with soft "
            "edges. Connect alpha_map to Magnify Motion.",
            search_aliases=["face parts", "only the eyes", "brows", "mouth", "alpha map", "region strength"],
            inputs=[
                io.Image.Input("images", tooltip="The clip that Magnify Motion gets, or one picture of its size."),
                *(_strength(name, 8.0, what) for name, what in PARTS.items()),
                _strength("outside", 1.0, "everything else"),
                io.Float.Input(
                    "softness",
                    default=SOFTNESS,
                    min=0.05,
                    max=2.0,
                    step=0.05,
                    advanced=True,
                    tooltip="Width of a region's edge, in its half axes. More blends wider.",
                ),
                reference_input(),
                *box_inputs("face", "clip"),
                *box_sockets("face", "clip"),
                *face_sockets(" With 'crop', landmarks of the clip before the crop."),
            ],
            outputs=[
                AlphaMap.Output("alpha_map", tooltip="A factor for every pixel: for Magnify Motion."),
                io.Mask.Output("mask", tooltip="All regions whose strength differs from 'outside', with soft edges."),
                io.Image.Output("preview", tooltip="The regions in colour on the face, and the strengths."),
            ],
        )

    @classmethod
    def execute(
        cls,
        *,
        images: Tensor,
        outside: float = 1.0,
        softness: float = SOFTNESS,
        reference_index: int = 0,
        face_box: Any = None,
        face_mask: Tensor | None = None,
        landmarks: Any = None,
        crop: ClipCrop | None = None,
        **numbers: float,
    ) -> Any:
        """Find the parts, blend the strengths, show them."""
        index = min(reference_index, len(images) - 1)
        frame = convert.to_clip(images, name="images").frame(index)
        size = (frame.shape[-2], frame.shape[-1])
        strengths = RegionStrengths(alphas={name: numbers[name] for name in PARTS}, outside=outside, softness=softness)
        box = given_box(face_box, face_mask, numbers_of(numbers, "face"), reference=reference_index)
        face = face_map(box, landmarks, crop, count=len(images), reference=reference_index)
        mask = torch.stack(list(strengths.masks(face, size).values())).sum(0)
        preview = convert.to_picture(region_picture(frame, face, strengths))
        shown = ui.PreviewImage(preview, cls=cls)
        return io.NodeOutput(strengths.alpha_map(face, size), mask[None], preview, ui=shown)
