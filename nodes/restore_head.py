# SPDX-License-Identifier: Apache-2.0
"""Restore Head Motion: what Stabilise Head took out, put back."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..pipeline.face.given import given_box
from ..pipeline.face.head import HeadMotion, restored
from . import convert, host
from .host import io
from .wires import Head, box_socket, keeping_reference


class RestoreHeadMotion(io.ComfyNode):  # type: ignore[misc]
    """Clip with a still head to one whose head moves."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusRestoreHeadMotion",
            display_name="Restore Head Motion (MagPlus)",
            category="MagPlus/Face",
            description="Moves the head again exactly as it moved before Stabilise Head, or moves another face so.",
            search_aliases=["unstabilize", "head motion", "reapply motion", "head transfer"],
            inputs=[
                io.Image.Input("images", tooltip="The processed clip, as many frames as were stabilised."),
                Head.Input("head", tooltip="From Stabilise Head."),
                io.Image.Input(
                    "original",
                    optional=True,
                    tooltip="The clip before Stabilise Head. With it, only what changed since is added to it: an "
                    "untouched clip is bit-exact. Without it the processed frames themselves are moved.",
                ),
                box_socket(
                    "face_box",
                    "Face box on 'images' where they show another face than the one that was stabilised, e.g. the "
                    "portrait: the motion is brought to its size and place.",
                ),
            ],
            outputs=[io.Image.Output("images", tooltip="The clip with the head's motion.")],
        )

    @classmethod
    def execute(cls, *, images: Tensor, head: HeadMotion, original: Tensor | None = None, face_box: Any = None) -> Any:
        """Put the motion back."""
        before = convert.maybe_clip(original, name="original")
        box = given_box(face_box, reference=head.reference)
        with host.running() as progress:
            frames = convert.to_clip(images, name="images").chunks()
            chunks = restored(frames, head, original=before, box=box, progress=progress)
            out = convert.to_images(chunks, len(images))
        return io.NodeOutput(keeping_reference(out, images))
