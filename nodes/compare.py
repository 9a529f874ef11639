# SPDX-License-Identifier: Apache-2.0
"""Compare Clips: look at up to four clips at once."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..pipeline.measure import SPLINE_FIT
from ..pipeline.render.views import VIEWS, compare_views
from . import convert, host
from .host import io
from .wires import Loaded, estimator_input, magnifier_input, reference_input

SLOTS = ("a", "b", "c", "d")


class CompareClips(io.ComfyNode):  # type: ignore[misc]
    """Clips to one clip that shows them all."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        labels = [
            io.String.Input(
                f"label_{slot}", default=f"clip {slot}", tooltip=f"Words above clip {slot}; Latin letters are shown."
            )
            for slot in SLOTS
        ]
        clips = [
            io.Image.Input(f"clip_{slot}", optional=True, tooltip=f"Clip {slot}, as long as clip a.")
            for slot in SLOTS[1:]
        ]
        return io.Schema(
            node_id="MagPlusCompareClips",
            display_name="Compare Clips (MagPlus)",
            category="MagPlus/Measure",
            description="Shows clips side by side, one wiped over the other, their signed difference, or how far "
            "each place moves in colours of one scale; on request again in a second row with all motion enlarged, so "
            "that micro-motion becomes visible.",
            search_aliases=[
                "side by side",
                "before after",
                "wipe",
                "difference",
                "split screen",
                "heatmap",
                "optical flow",
            ],
            inputs=[
                io.Image.Input("clip_a", tooltip="The first clip; wipe and difference compare the others with it."),
                io.Combo.Input(
                    "view",
                    options=list(VIEWS),
                    default=VIEWS[0],
                    tooltip="Side by side: all clips. Wipe: clip a on the left of a line, each other clip on its "
                    "right. Signed difference: each clip less clip a, grey where they are equal. Flow heat-map: how "
                    "far each place has moved, in colours of one fixed scale.",
                ),
                io.Float.Input(
                    "inspection",
                    default=1.0,
                    min=1.0,
                    max=32.0,
                    step=0.5,
                    tooltip="Adds a second row with the motion of every clip times this. 1 adds none.",
                ),
                io.Float.Input(
                    "wipe_position",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Where the line of the wipe stands: 0 shows only the other clip, 1 only clip a.",
                ),
                io.Float.Input(
                    "difference_gain",
                    default=10.0,
                    min=1.0,
                    max=255.0,
                    step=1.0,
                    tooltip="How strongly differences are shown: at 10, a tenth of full scale becomes black or white.",
                ),
                io.Int.Input(
                    "panel_height",
                    default=256,
                    min=32,
                    max=2160,
                    tooltip="Height of each picture in px. More shows more detail and needs more memory.",
                ),
                reference_input(),
                *labels,
                *clips,
                magnifier_input(),
                io.Float.Input(
                    "heat_scale_px",
                    default=1.0,
                    min=0.01,
                    max=1000.0,
                    step=0.05,
                    optional=True,
                    tooltip="Motion in px at which the colours of the flow heat-map end, the same for all clips and "
                    "frames. Less shows weaker motion, and noise.",
                ),
                estimator_input(" of the flow heat-map"),
            ],
            outputs=[io.Image.Output("images", tooltip="One clip that shows all of them.")],
        )

    @classmethod
    def execute(
        cls,
        *,
        clip_a: Tensor,
        view: str,
        inspection: float,
        wipe_position: float,
        difference_gain: float,
        panel_height: int,
        reference_index: int = 0,
        magnifier: Loaded | None = None,
        heat_scale_px: float = 1.0,
        estimator: Loaded | None = None,
        **rest: Any,
    ) -> Any:
        """Put them into one picture."""
        given = {slot: rest.get(f"clip_{slot}") for slot in SLOTS} | {"a": clip_a}
        labels = {slot: rest.get(f"label_{slot}", f"clip {slot}") for slot in SLOTS}
        device = host.device()
        clips = [
            (labels[s], convert.to_clip(c, name=labels[s], device=device)) for s, c in given.items() if c is not None
        ]
        with host.running() as progress:
            chunks = compare_views(
                clips, view=view, inspection=inspection, position=wipe_position, gain=difference_gain,
                panel_height=panel_height, reference=reference_index, progress=progress,
                magnifier=convert.magnifier_of(magnifier), heat_scale_px=heat_scale_px,
                estimator=estimator.ready() if estimator else SPLINE_FIT,
            )  # fmt: skip
            return io.NodeOutput(convert.to_images(chunks, len(clip_a)))
