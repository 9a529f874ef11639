# SPDX-License-Identifier: Apache-2.0
"""Paste Back: what was done to a crop, done to the whole picture."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..pipeline.face.clip_crop import ClipCrop
from ..pipeline.face.paste import PASTE_MODES, PasteMode, paste_back
from . import convert, host
from .host import io
from .wires import Crop, keeping_reference


class PasteBack(io.ComfyNode):  # type: ignore[misc]
    """Processed crop to the whole picture."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusPasteBack",
            display_name="Paste Back (MagPlus)",
            category="MagPlus/Face",
            description="Brings a processed crop back into the clip that it was cut out of. What was not touched keeps "
            "every bit, at any size and roll of the crop.",
            search_aliases=["uncrop", "stitch", "composite", "paste face", "merge crop"],
            inputs=[
                io.Image.Input("images", tooltip="The clip, or the picture, that Crop Face was given."),
                io.Image.Input("processed", tooltip="The crop after processing, square, at any size."),
                Crop.Input("crop", tooltip="From Crop Face; or portrait_crop of Animate Portrait, for its frames."),
                io.Combo.Input(
                    "mode",
                    options=list(PASTE_MODES),
                    default=PASTE_MODES[0],
                    tooltip="difference: adds what changed in the crop, so that a low-resolution crop costs no detail. "
                    "replace: puts the processed pixels in place of the picture's; for another face or style.",
                ),
                io.Float.Input(
                    "feather_pct",
                    default=10.0,
                    min=0.0,
                    max=50.0,
                    step=0.5,
                    tooltip="Width of the soft edge in percent of the crop's side. More hides the seam, less keeps "
                    "changes near the edge.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where to paste (white), on the processed crop: one mask, or one per frame.",
                ),
            ],
            outputs=[io.Image.Output("images", tooltip="Whole pictures, as many as the longer of both inputs.")],
        )

    @classmethod
    def execute(
        cls,
        *,
        images: Tensor,
        processed: Tensor,
        crop: ClipCrop,
        mode: PasteMode,
        feather_pct: float,
        mask: Tensor | None = None,
    ) -> Any:
        """Paste frame by frame."""
        original, changed = convert.to_clip(images, name="images"), convert.to_clip(processed, name="processed")
        if mask is not None:
            mask = mask if mask.ndim == 3 else mask[None]
        with host.running() as progress:
            chunks = paste_back(
                original, changed, crop, mode=mode, feather=feather_pct / 100, mask=mask, progress=progress
            )
            out = convert.to_images(chunks, max(len(images), len(processed), crop.count))
        return io.NodeOutput(keeping_reference(out, processed))
