"""Flow Transfer, the generator without weights, and Animate Portrait, which drives any generator."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..models.registry import load_backbone
from ..pipeline.face.given import given_box
from ..pipeline.face.sides import frame_sides
from ..pipeline.motion.animate import animate
from ..pipeline.motion.encoded import EncodedSources
from ..pipeline.render.overlay import alignment_picture
from . import convert, host
from .host import io, ui
from .wires import (
    Backbone,
    Crop,
    Loaded,
    box_inputs,
    box_sockets,
    check_reference,
    numbers_of,
    reference_input,
    with_reference,
)

ENCODED = EncodedSources(keep=2)
"""Kept from run to run: changing alpha changes the driving clip alone."""


class FlowTransfer(io.ComfyNode):  # type: ignore[misc]
    """The built-in generator."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusFlowTransfer",
            display_name="Flow Transfer (MagPlus)",
            category="MagPlus/Face",
            description="The built-in generator: moves the portrait's own pixels as the driving face moves. It needs "
            "no weights and shows no teeth or eyes that the portrait does not show.",
            search_aliases=["face animation backbone", "generator", "reenactment", "live portrait"],
            inputs=[],
            outputs=[Backbone.Output("backbone", tooltip="For Animate Portrait.")],
        )

    @classmethod
    def execute(cls) -> Any:
        """Build it."""
        model, _ = load_backbone("flow", [], {})
        return io.NodeOutput(Loaded(model=model, weights=("flow",), handles=host.managed(model)))


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
            ],
            outputs=[
                io.Image.Output("frames", tooltip="The generated clip: a square at the generator's size."),
                io.Mask.Output("mask", tooltip="Its foreground; white where the generator tells none."),
                io.Int.Output("reference_index", tooltip="For the nodes that follow."),
                io.Image.Output(
                    "preview", tooltip="Both face boxes and crops, and the driving face laid over the portrait."
                ),
                Crop.Output("crop", tooltip="Where both faces and the square are: for De-magnify and Motion Report."),
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
        source_box: Any = None,
        source_mask: Tensor | None = None,
        driving_box: Any = None,
        driving_mask: Tensor | None = None,
        **numbers: float,
    ) -> Any:
        """Frame both sides, drive, show how they were framed."""
        check_reference(reference_index, driving=driving)
        clip, pictures = convert.to_clip(driving, name="driving clip"), convert.to_clip(source, name="portrait")
        given = {"driving": (driving_box, driving_mask), "source": (source_box, source_mask)}
        boxes = {
            f"{side}_box": given_box(*given[side], numbers_of(numbers, side), reference=reference_index)
            for side in given
        }
        framed = frame_sides(clip, pictures, backbone.model, reference=reference_index, device=host.device(), **boxes)
        with host.running() as progress:
            results = animate(
                ENCODED.remembering(backbone.ready(), weights=backbone.weights), framed.crops, framed.driver,
                reference=reference_index, guides=framed.guides, progress=progress,
            )  # fmt: skip
            frames, mask = convert.to_images_and_mask(results, len(driving))
            overlay = alignment_picture(clip, pictures, framed.sides)
            progress.show(overlay)
        preview = convert.to_picture(overlay)
        shown = ui.PreviewImage(preview, cls=cls)
        values = (with_reference(frames, reference_index), mask, reference_index, preview, framed.sides)
        return io.NodeOutput(*values, ui=shown)
