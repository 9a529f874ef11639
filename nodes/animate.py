# SPDX-License-Identifier: Apache-2.0
"""Animate Portrait: drives any generator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from ..pipeline.face.clip_crop import ClipCrop
from ..pipeline.face.given import given_box
from ..pipeline.face.sides import NO_GUIDES, frame_sides
from ..pipeline.motion.animate import Reference, animate, resolve_reference
from ..pipeline.motion.encoded import EncodedSources
from ..pipeline.motion.fitting import fitting
from ..pipeline.render.overlay import alignment_picture
from . import convert, host
from .host import io
from .wires import (
    Backbone,
    BothSides,
    Crop,
    Guides,
    Loaded,
    box_inputs,
    box_sockets,
    check_reference,
    numbers_of,
    reference_input,
    strength_input,
    with_reference,
)

ENCODED = EncodedSources(keep=2)
"""Kept from run to run: changing alpha changes the driving clip alone."""


class AnimatePortrait(io.ComfyNode):  # type: ignore[misc]
    """Portrait and driving clip to a generated clip."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusAnimate",
            display_name="Animate Portrait (MagPlus)",
            category="MagPlus/Face",
            description="Lets a portrait move as the face in a clip does. Both faces are cropped to a square as the "
            "generator wants it; the picture in the node shows the boxes and how the faces lie on each other.",
            search_aliases=["drive portrait", "reenactment", "talking head", "face animation", "transfer expression"],
            inputs=[
                Backbone.Input("backbone", tooltip="The frozen generator, e.g. from Flow Transfer."),
                io.Image.Input(
                    "source", tooltip="The portrait to move: one picture, or several where the generator takes them."
                ),
                io.Image.Input("driving", tooltip="The clip whose face drives it, e.g. from Magnify Motion."),
                reference_input(),
                *box_inputs("source", "portrait"),
                *box_inputs("driving", "driving clip"),
                *box_sockets("source", "portrait"),
                *box_sockets("driving", "driving clip"),
                io.Combo.Input(
                    "driving_reference",
                    options=["index", "best"],
                    default="index",
                    optional=True,
                    advanced=True,
                    tooltip="index: the frame reference_index. best: the generator looks for the frame whose keypoints "
                    "are nearest to the portrait's; for clips that are not magnified yet.",
                ),
                strength_input(),
                Crop.Input(
                    "source_crop",
                    optional=True,
                    tooltip="From Crop Face, where 'source' is its square: tells the face without a box, and lets "
                    "De-magnify Motion and Paste Back work on the whole portrait.",
                ),
                Crop.Input(
                    "driving_crop",
                    optional=True,
                    tooltip="From Crop Face, where 'driving' is its square, steady or following: tells the face "
                    "without a box.",
                ),
                Guides.Input(
                    "guides",
                    optional=True,
                    tooltip="What the generator needs beyond pixels, such as landmarks or a mask of the head: from "
                    "MetaPortrait Guides or EMOPortraits Guides.",
                ),
            ],
            outputs=[
                io.Image.Output("frames", tooltip="The generated clip: a square at the generator's size."),
                io.Mask.Output("mask", tooltip="Its foreground; white where the generator tells none."),
                io.Int.Output("reference_index", tooltip="For the nodes that follow."),
                io.Image.Output(
                    "preview", tooltip="Both face boxes and crops, and the driving face laid over the portrait."
                ),
                BothSides.Output("crop", tooltip="How both faces lie: for De-magnify and Motion Report."),
                Crop.Output(
                    "portrait_crop", tooltip="The square of the whole portrait that 'frames' show: for Paste Back."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        *,
        backbone: Loaded,
        source: Tensor,
        driving: Tensor,
        reference_index: int = 0,
        driving_reference: str = "index",
        motion_strength: float = 1.0,
        source_box: Any = None,
        source_mask: Tensor | None = None,
        driving_box: Any = None,
        driving_mask: Tensor | None = None,
        source_crop: ClipCrop | None = None,
        driving_crop: ClipCrop | None = None,
        guides: Mapping[str, Any] = NO_GUIDES,
        **numbers: float,
    ) -> Any:
        """Frame both sides, drive, show how they were framed."""
        clip, pictures = convert.to_clip(driving, name="driving clip"), convert.to_clip(source, name="portrait")
        given = {"driving": (driving_box, driving_mask), "source": (source_box, source_mask)}
        boxes = {
            f"{side}_box": given_box(*given[side], numbers_of(numbers, side), reference=reference_index)
            for side in given
        }
        framed = frame_sides(
            clip, pictures, backbone.model, reference=reference_index, device=host.device(),
            driving_within=driving_crop, source_within=source_crop, guides=guides, **boxes,
        )  # fmt: skip
        with host.running() as progress:
            model = fitting(backbone.ready(), progress=progress, escape=host.outside_inference_mode)
            model = ENCODED.remembering(model, weights=backbone.weights)
            wanted: Reference = "best" if driving_reference == "best" else reference_index
            about: Any = {"guides": framed.guides, "progress": progress}
            index = resolve_reference(wanted, model, framed.crops, framed.driver, **about)
            check_reference(index, driving=driving)
            results = animate(
                model, framed.crops, framed.driver, reference=index, motion_strength=motion_strength, **about
            )
            frames, mask = convert.to_images_and_mask(results, len(driving))
            overlay = alignment_picture(clip, pictures, framed.sides)
            progress.show(overlay)  # it stays in the node
        preview, sides = convert.to_picture(overlay), replace(framed.sides, reference=index)
        return io.NodeOutput(with_reference(frames, index), mask, index, preview, sides, sides.portrait_crop)
