# SPDX-License-Identifier: Apache-2.0
"""Magnify Motion (MagPlus)."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from ..pipeline.face.given import box_wire, given_box
from ..pipeline.face.regions import strongest
from ..pipeline.motion.auto import CALMEST, calmest, choose
from ..pipeline.motion.band import Band
from ..pipeline.motion.gauge import MotionGauge
from ..pipeline.motion.magnify import magnify
from . import convert, host
from .host import io
from .wires import (
    AlphaMap,
    BoundingBox,
    Loaded,
    alpha_inputs,
    box_inputs,
    box_sockets,
    check_reference,
    fps_for,
    magnifier_input,
    numbers_of,
    reference_input,
    with_reference,
)


class MagnifyMotion(io.ComfyNode):  # type: ignore[misc]
    """Clip to the same clip with larger motion."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusMagnify",
            display_name="Magnify Motion (MagPlus)",
            category="MagPlus/Motion",
            description="Makes the motion of a clip alpha times as large as it is against a reference frame, so that "
            "a face model can see a micro-expression.",
            search_aliases=["motion magnification", "eulerian", "exaggerate motion", "amplify", "micro-expression"],
            inputs=[
                io.Image.Input("images", tooltip="The clip: frames in order, from a camera that stands still."),
                *alpha_inputs("measures the clip and", "uses alpha"),
                reference_input(calmest=True),
                *box_inputs("face", "clip, for 'auto'"),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where to magnify (white); black keeps the input's own pixels, grey magnifies less. One "
                    "mask of the clip's size for all frames, or one per frame.",
                ),
                *box_sockets("face", "clip"),
                magnifier_input(),
                AlphaMap.Input(
                    "alpha_map",
                    optional=True,
                    tooltip="From Region Mask: a factor for each part of the face. It rules instead of alpha_mode and "
                    "alpha; where it is 1, the input's own pixels stay.",
                ),
                io.Float.Input(
                    "band_low_hz",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=5000.0,
                    step=0.1,
                    advanced=True,
                    tooltip="Only motion faster than this is magnified, in Hz. More leaves slow motion, such as a nod "
                    "or breathing, as it is. 0: no lower edge.",
                ),
                io.Float.Input(
                    "band_high_hz",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=5000.0,
                    step=0.1,
                    advanced=True,
                    tooltip="Only motion slower than this is magnified, in Hz. Less leaves fast motion, such as a "
                    "tremor, as it is. 0: no upper edge. Half the frame rate is the most that a clip can show.",
                ),
                fps_for("For a band", optional=True),
            ],
            outputs=[
                io.Image.Output("images", tooltip="The magnified clip."),
                io.Float.Output("alpha", tooltip="The factor that was used; of a map the strongest."),
                io.Int.Output("reference_index", tooltip="For the nodes that follow."),
                BoundingBox.Output("face_box", tooltip="The face box, for Animate Portrait."),
            ],
        )

    @classmethod
    def execute(
        cls,
        *,
        images: Tensor,
        alpha_mode: str,
        alpha: float,
        target_pct_face: float = 3.0,
        reference_index: int = 0,
        magnifier: Loaded | None = None,
        mask: Tensor | None = None,
        face_box: Any = None,
        face_mask: Tensor | None = None,
        alpha_map: Tensor | None = None,
        band_low_hz: float = 0.0,
        band_high_hz: float = 0.0,
        fps: float = 25.0,
        **numbers: float,
    ) -> Any:
        """Choose reference and alpha if asked to, magnify."""
        model, rate = convert.magnifier_of(magnifier), convert.rate_of(fps)
        clip = convert.to_clip(images, name="images", rate=rate, device=host.device())
        band = Band.between(band_low_hz, band_high_hz)
        boxed = partial(given_box, face_box, face_mask, numbers_of(numbers, "face"))
        with host.running() as progress:
            if reference_index == CALMEST:
                reference_index = calmest(clip, boxed(), magnifier=model, progress=progress)
            check_reference(reference_index, images=images)
            box = boxed(reference=reference_index)
            limits = {"magnifier": model, "reference": reference_index}
            if alpha_map is not None:
                alpha = strongest(alpha_map)
            elif alpha_mode == "auto":
                alpha = choose(clip, box, target_pct_face=target_pct_face, progress=progress, **limits)
            used = alpha if alpha_map is None else alpha_map
            at = convert.to_mask(mask, clip.device)
            with MotionGauge(clip.info, box, reference=reference_index) as gauge:
                chunks = magnify(clip, alpha=used, mask=at, band=band, watch=gauge, progress=progress, **limits)
                frames = convert.to_images(chunks, len(images))
                told = gauge.told(warn=alpha_mode == "number" or alpha_map is not None)
        text = f"alpha {alpha:.4g}. {told or ''}".rstrip()
        host.say(text)
        out = with_reference(frames, reference_index), float(alpha), reference_index, box_wire(box)
        return io.NodeOutput(*out, ui={"text": (text,)})
