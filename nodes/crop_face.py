# SPDX-License-Identifier: Apache-2.0
"""Crop Face: a steady or following square around a face."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from torch import Tensor

from ..models.contracts import Framing
from ..pipeline.face.clip_crop import MAX_SIDE, Following, crop_track
from ..pipeline.face.given import given_track, track_wire
from ..pipeline.progress import ticking
from ..pipeline.render.overlay import crop_picture
from . import convert, host
from .host import io
from .wires import (
    Backbone,
    BoundingBox,
    Crop,
    Loaded,
    box_inputs,
    box_sockets,
    fps_for,
    keeping_reference,
    numbers_of,
    reference_input,
)


class CropFace(io.ComfyNode):  # type: ignore[misc]
    """Clip to a square clip of the face."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusCropFace",
            display_name="Crop Face (MagPlus)",
            category="MagPlus/Face",
            description="Cuts a square around a face out of a clip: one that stands still, or one that follows the "
            "face smoothly. Paste Back brings what was done to the square back to its place, bit-exact where nothing "
            "was done.",
            search_aliases=["crop", "face crop", "align face", "cropper", "bounding box crop", "zoom to face"],
            inputs=[
                io.Image.Input("images", tooltip="The clip, or one picture."),
                io.Combo.Input(
                    "track",
                    options=["steady", "follow"],
                    default="steady",
                    tooltip="steady: one square for the whole clip, so that no motion is added. follow: the square "
                    "goes with the face, smoothly; for heads that leave a steady square.",
                ),
                io.Float.Input(
                    "scale",
                    default=1.6,
                    min=0.5,
                    max=8.0,
                    step=0.05,
                    tooltip="Side of the square, in heights of the face box. More shows more around the face. A "
                    "connected backbone decides instead.",
                ),
                io.Float.Input(
                    "shift_y",
                    default=0.0,
                    min=-1.0,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Moves the square down, in parts of its side (negative: up). A connected backbone decides "
                    "instead.",
                ),
                io.Int.Input(
                    "size",
                    default=0,
                    min=0,
                    max=MAX_SIDE,
                    tooltip="Side of the result in px. 0 keeps the picture's own pixels; another size resamples them.",
                ),
                io.Boolean.Input(
                    "upright",
                    default=False,
                    tooltip="Turns the square by the roll of the head, so that the face stands upright in it.",
                ),
                io.Float.Input(
                    "position_hz",
                    default=1.0,
                    min=0.0,
                    max=1000.0,
                    step=0.05,
                    advanced=True,
                    tooltip="For 'follow': the square's place takes part in motion slower than this, in Hz. Less is "
                    "calmer, more keeps the face better in the middle.",
                ),
                io.Float.Input(
                    "size_hz",
                    default=0.2,
                    min=0.0,
                    max=1000.0,
                    step=0.05,
                    advanced=True,
                    tooltip="For 'follow': the same for the square's size, in Hz. Less keeps the head from growing and "
                    "shrinking.",
                ),
                fps_for("For 'follow'"),
                reference_input(),
                *box_inputs("face", "clip"),
                *box_sockets("face", "clip", per_frame=True),
                Backbone.Input(
                    "backbone",
                    optional=True,
                    tooltip="A generator whose framing (scale and shift) the square takes over.",
                ),
            ],
            outputs=[
                io.Image.Output("images", tooltip="The square clip, as many frames as came in."),
                Crop.Output("crop", tooltip="Where the square lies: for Paste Back, Animate Portrait, Region Mask."),
                BoundingBox.Output("face_box", tooltip="The face inside the square, per frame."),
                io.Image.Output("preview", tooltip="The reference frame with face box and square."),
            ],
        )

    @classmethod
    def execute(
        cls,
        *,
        images: Tensor,
        track: str,
        scale: float,
        shift_y: float = 0.0,
        size: int = 0,
        upright: bool = False,
        position_hz: float = 1.0,
        size_hz: float = 0.2,
        fps: float = 25.0,
        reference_index: int = 0,
        face_box: Any = None,
        face_mask: Tensor | None = None,
        backbone: Loaded | None = None,
        **numbers: float,
    ) -> Any:
        """Frame the track, crop, show."""
        clip = convert.to_clip(images, name="images")
        boxes = given_track(face_box, face_mask, numbers_of(numbers, "face"), count=len(images))
        if backbone is not None:
            scale, shift_y = backbone.model.framing.scale, backbone.model.framing.shift_y
        rate: Fraction = convert.rate_of(fps)
        following = Following(position_hz=position_hz, size_hz=size_hz, rate=rate) if track == "follow" else None
        framing = Framing(scale=scale, shift_y=shift_y, size=size)
        crop = crop_track(boxes, clip.info, framing, following=following, upright=upright)
        with host.running() as progress:
            out = convert.to_images(ticking(crop.of(clip), "crop", progress), len(images))
            overlay = crop_picture(clip, crop, reference=min(reference_index, len(images) - 1))
            progress.show(overlay)  # it stays in the node
        wire = track_wire([crop.box_in_crop(index) for index in range(crop.count)])
        return io.NodeOutput(keeping_reference(out, images), crop, wire, convert.to_picture(overlay))
