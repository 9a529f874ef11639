# SPDX-License-Identifier: Apache-2.0
"""Stabilise Head: a clip whose head stands still."""

from __future__ import annotations

import json
from typing import Any

from torch import Tensor

from ..models.errors import MagPlusError
from ..pipeline.face.given import box_wire, given_box
from ..pipeline.face.head import REMOVE, Remove, StillClip, measure_head
from ..pipeline.progress import ticking
from . import convert, host
from .host import io
from .wires import (
    BoundingBox,
    Head,
    box_inputs,
    box_sockets,
    check_reference,
    fps_for,
    numbers_of,
    reference_input,
    with_reference,
)


class StabiliseHead(io.ComfyNode):  # type: ignore[misc]
    """Clip to the same clip without the head's motion."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusStabiliseHead",
            display_name="Stabilise Head (MagPlus)",
            category="MagPlus/Face",
            description="Holds the head still (shift, roll and size against the reference frame), so that Magnify "
            "Motion enlarges the expression and not the sway. Restore Head Motion puts the same motion back.",
            search_aliases=["stabilize", "head wobble", "jitter", "steady head", "align frames", "anti shake"],
            inputs=[
                io.Image.Input("images", tooltip="The clip, before magnification."),
                io.Combo.Input(
                    "remove",
                    options=list(REMOVE),
                    default=REMOVE[0],
                    tooltip="all: the head stands still. slow: only sway slower than split_hz is taken out. fast: only "
                    "shaking faster than split_hz is.",
                ),
                io.Float.Input(
                    "split_hz",
                    default=1.0,
                    min=0.01,
                    max=1000.0,
                    step=0.05,
                    tooltip="Frequency between slow and fast, in Hz. More counts more of the motion as slow.",
                ),
                fps_for("For 'slow' and 'fast'"),
                reference_input(),
                *box_inputs("face", "clip"),
                *box_sockets("face", "clip"),
                io.Mask.Input(
                    "rigid_mask",
                    optional=True,
                    tooltip="What moves with the skull (white), in the reference frame. Not connected: forehead, nose, "
                    "temples and upper cheeks of the face box.",
                ),
            ],
            outputs=[
                io.Image.Output("images", tooltip="The clip with a still head. The reference frame is untouched."),
                Head.Output("head", tooltip="What was taken out: for Restore Head Motion."),
                io.Int.Output("reference_index", tooltip="For the nodes that follow."),
                BoundingBox.Output("face_box", tooltip="The face, now in one place: for Magnify and Animate."),
                io.String.Output("report", tooltip="What was taken out, and what turns of the head leave, as JSON."),
            ],
        )

    @classmethod
    def execute(
        cls,
        *,
        images: Tensor,
        remove: Remove,
        split_hz: float,
        fps: float = 25.0,
        reference_index: int = 0,
        face_box: Any = None,
        face_mask: Tensor | None = None,
        rigid_mask: Tensor | None = None,
        **numbers: float,
    ) -> Any:
        """Measure, hold still."""
        check_reference(reference_index, images=images)
        clip = convert.to_clip(images, name="images", rate=convert.rate_of(fps))
        box = given_box(face_box, face_mask, numbers_of(numbers, "face"), reference=reference_index)
        if box is None:
            raise MagPlusError("Stabilise Head needs to know where the face is. Give numbers, or connect Track Face.")
        with host.running() as progress:
            head = measure_head(
                clip, box, remove=remove, split_hz=split_hz, reference=reference_index,
                rigid=convert.mask_of_frame(rigid_mask, reference_index), progress=progress,
            )  # fmt: skip
            out = convert.to_images(ticking(StillClip(clip, head), "stabilise", progress), len(images))
        report = json.dumps(head.report(), indent=2)
        return io.NodeOutput(with_reference(out, reference_index), head, reference_index, box_wire(box), report)
