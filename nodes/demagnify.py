# SPDX-License-Identifier: Apache-2.0
"""De-magnify Motion (DeMagPlus)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..pipeline.face.given import box_wire, given_box
from ..pipeline.face.sides import Sides
from ..pipeline.motion.auto import Evidence, restore
from . import convert, host
from .host import io
from .wires import (
    BothSides,
    BoundingBox,
    Loaded,
    box_socket,
    check_reference,
    gain_input,
    intensity_input,
    magnifier_input,
    reference_input,
    with_reference,
)


class DemagnifyMotion(io.ComfyNode):  # type: ignore[misc]
    """Generated clip to a clip at micro intensity."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusDemagnify",
            display_name="De-magnify Motion (MagPlus)",
            category="MagPlus/Motion",
            description="Scales the motion of a generated clip back to the size it had before magnification, on the "
            "generator's picture or on the original portrait in full resolution.",
            search_aliases=["attenuate motion", "undo magnification", "demag", "micro intensity", "reduce motion"],
            inputs=[
                io.Image.Input("generated", tooltip="The generated clip, from Animate Portrait or another generator."),
                io.Combo.Input(
                    "factor_mode",
                    options=["auto", "number"],
                    default="auto",
                    tooltip="'auto' measures how much larger 'generated' moves than 'original' and undoes exactly "
                    "that; 'number' divides by alpha.",
                ),
                io.Float.Input(
                    "alpha",
                    default=8.0,
                    min=0.03125,
                    max=32.0,
                    step=0.05,
                    tooltip="Magnification to undo in mode 'number': motion is divided by it, so more leaves less.",
                ),
                intensity_input(
                    "Times the original motion: 1 as in the original, 0 a still picture, 2 twice as large."
                ),
                io.Combo.Input(
                    "pixels",
                    options=["generated", "source"],
                    default="generated",
                    tooltip="'generated' keeps the generator's picture; 'source' moves the original portrait in full "
                    "resolution (connect portrait, and crop), so that nobody's face changes.",
                ),
                reference_input(),
                io.Image.Input("original", optional=True, tooltip="The clip before magnification, for 'auto'."),
                io.Image.Input(
                    "magnified",
                    optional=True,
                    tooltip="The magnified clip that drove the generator. It shows the pattern of the motion clearly, "
                    "so 'auto' measures a weak original more exactly.",
                ),
                BothSides.Input(
                    "crop",
                    optional=True,
                    tooltip="From Animate Portrait: where the face is in both clips, and where the square lies in the "
                    "portrait. Needed for pixels 'source', unless 'generated' is as large as the portrait.",
                ),
                io.Image.Input(
                    "portrait",
                    optional=True,
                    tooltip="The original portrait, for pixels 'source': what was animated, or the whole picture that "
                    "it was cropped out of.",
                ),
                box_socket(
                    "original_box",
                    "Face box on the original clip in px, where 'crop' does not know it. Not connected and no "
                    "crop: the whole picture.",
                ),
                box_socket(
                    "generated_box",
                    "Face box on the generated clip in px, where 'crop' does not know it, e.g. for a clip from "
                    "another generator.",
                ),
                magnifier_input(),
                gain_input("'auto'"),
            ],
            outputs=[
                io.Image.Output("images", tooltip="The clip at the wanted intensity."),
                io.Float.Output("factor", tooltip="What the motion of the whole face was multiplied with."),
                io.Float.Output("gain", tooltip="How many times larger the whole face moved: measured, or alpha."),
                BoundingBox.Output("face_box", tooltip="The face on 'images', where it is known: for Motion Report."),
            ],
        )

    @classmethod
    def execute(
        cls,
        *,
        generated: Tensor,
        factor_mode: str,
        alpha: float,
        intensity: float,
        pixels: str,
        reference_index: int = 0,
        magnifier: Loaded | None = None,
        original: Tensor | None = None,
        magnified: Tensor | None = None,
        crop: Sides | None = None,
        portrait: Tensor | None = None,
        original_box: Any = None,
        generated_box: Any = None,
        gain: str = "face",
    ) -> Any:
        """Find the factor, apply it."""
        check_reference(reference_index, generated=generated, original=original, magnified=magnified, crop=crop)
        before, strong = (
            convert.maybe_clip(frames, name=name, device=host.device())
            for name, frames in (("original", original), ("magnified", magnified))
        )
        boxes = {"original_box": given_box(original_box, reference=reference_index)}
        boxes |= {"generated_box": given_box(generated_box, reference=reference_index)}
        with host.running() as progress:
            found = restore(
                convert.to_clip(generated, name="generated", device=host.device()),
                convert.magnifier_of(magnifier),
                alpha=alpha if factor_mode == "number" else None,
                evidence=Evidence(original=before, magnified=strong, **boxes),
                sides=crop,
                portrait=convert.portrait_of(portrait, host.device()) if pixels == "source" else None,
                intensity=intensity,
                reference=reference_index,
                by=gain,
                progress=progress,
            )
            images = convert.to_images(found.chunks, len(generated))
        by_place = "" if found.local is None else f" By region: {found.local}."
        host.say(f"Gain {found.gain:.4g}: motion times {found.factor:.4g}.{by_place}")
        return io.NodeOutput(with_reference(images, reference_index), found.factor, found.gain, box_wire(found.box))
