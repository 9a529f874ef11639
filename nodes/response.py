# SPDX-License-Identifier: Apache-2.0
"""Response Curve: how a generator answers to motion of every size."""

from __future__ import annotations

import json
from typing import Any

from ..models.registry import needs_displacement
from ..pipeline.proof.response import REGIONS, STEPS, measure_response, response_picture, sizes_pct
from . import convert, host
from .host import io, ui
from .wires import Backbone, Loaded, magnifier_input, target_input

ALL = "all"


class ResponseCurve(io.ComfyNode):  # type: ignore[misc]
    """A generator to its response, and to the motion that it wants."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusResponse",
            display_name="Response Curve (MagPlus)",
            category="MagPlus/Measure",
            description="Drives a generator with drawn faces that move by 0.02 to 10 % of their width and measures "
            "what comes out: where it hears nothing, where it saturates, and to which size to magnify a clip for it.",
            search_aliases=["response", "calibration", "target motion", "saturation", "transfer function", "dead zone"],
            is_output_node=True,
            inputs=[
                Backbone.Input("backbone", tooltip="The frozen generator to measure: FOMM, FSRT, KeyFace and so on."),
                io.Int.Input(
                    "steps",
                    default=STEPS,
                    min=2,
                    max=40,
                    tooltip="Sizes of motion from 0.02 to 10 % of the face width, evenly on a logarithmic scale. The "
                    "recommended target is one of them: more steps tell it more finely and take longer in proportion.",
                ),
                io.Int.Input(
                    "faces",
                    default=2,
                    min=1,
                    max=20,
                    tooltip="Pairs of drawn driver and portrait, over which is averaged. More is surer and takes "
                    "longer in proportion.",
                ),
                io.Combo.Input(
                    "region",
                    options=[ALL, *REGIONS],
                    default=ALL,
                    tooltip="Which part of the face moves. 'all' sweeps the six parts one after the other; one part "
                    "alone takes a sixth of the time, and the target is then that of this part.",
                ),
                target_input(
                    "For the way through MagPlus: the size to which each motion is magnified, in percent of "
                    "the face width. More pushes the generator towards its limits. It does not change "
                    "the recommended target, which is read from direct driving.",
                ),
                magnifier_input(),
            ],
            outputs=[
                io.Image.Output("plot", tooltip="Output and error over input, log-log, directly and through MagPlus."),
                io.String.Output("report", tooltip="All numbers as JSON: for 'response' of Calibrate Strength."),
                io.Float.Output(
                    "recommended_pct_face",
                    tooltip="Motion that this generator passes on best, in percent of the face width: for "
                    "target_pct_face of Magnify Motion or Calibrate Strength.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        *,
        backbone: Loaded,
        steps: int,
        faces: int,
        region: str,
        target_pct_face: float,
        magnifier: Loaded | None = None,
    ) -> Any:
        """Sweep, draw."""
        model = needs_displacement(convert.magnifier_of(magnifier), purpose="Measuring a response")
        with host.running(pictures=False) as progress:
            found = measure_response(
                backbone.ready(), model, faces=faces, inputs_pct=sizes_pct(steps),
                regions=REGIONS if region == ALL else (region,), target_pct=target_pct_face,
                device=host.device(), escape=host.outside_inference_mode, progress=progress,
            )  # fmt: skip
        plot, report = convert.to_picture(response_picture(found)), json.dumps(found.report(), indent=2)
        return io.NodeOutput(plot, report, found.recommended_pct, ui=ui.PreviewImage(plot, cls=cls))
