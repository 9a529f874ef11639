# SPDX-License-Identifier: Apache-2.0
"""Calibrate Strength: the alpha that a generator needs."""

from __future__ import annotations

import json
from typing import Any

from torch import Tensor

from ..pipeline.face.given import given_box
from ..pipeline.measure import curve_report
from ..pipeline.motion.auto import calibrate
from ..pipeline.motion.calibrate import Target, target_of_response
from ..pipeline.render import plot_curves
from . import convert, host
from .host import io, ui
from .wires import (
    Loaded,
    box_inputs,
    box_sockets,
    estimator_input,
    fps_for,
    magnifier_input,
    numbers_of,
    reference_input,
)

NO_FILE = "none"
RESPONSES = frozenset({".json"})


class CalibrateStrength(io.ComfyNode):  # type: ignore[misc]
    """A clip to the strength that magnifies it as much as a generator wants."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusCalibrateStrength",
            display_name="Calibrate Strength (MagPlus)",
            category="MagPlus/Measure",
            description="Measures how far the face moves and gives the alpha that brings its peak to a target: the "
            "one that a measured response of your generator recommends, or a guess of yours. Says why in words.",
            search_aliases=["alpha", "auto strength", "calibration", "how strong", "response curve", "target motion"],
            is_output_node=True,
            inputs=[
                io.Image.Input("images", tooltip="The clip before magnification."),
                io.Combo.Input(
                    "response_file",
                    options=[NO_FILE, *host.input_files(RESPONSES)],
                    default=NO_FILE,
                    tooltip="A measured response of your generator, in the input folder: its recommended target is "
                    "used. 'none': the number below, which is an uncalibrated guess.",
                ),
                io.Float.Input(
                    "target_pct_face",
                    default=3.0,
                    min=0.01,
                    max=50.0,
                    step=0.1,
                    tooltip="Peak motion to reach, in percent of the face width, where no response is given. More "
                    "makes the generator see more, and pushes it to its limits.",
                ),
                reference_input(),
                *box_inputs("face", "clip"),
                *box_sockets("face", "clip"),
                magnifier_input(),
                fps_for("For the time axis of the plot"),
                io.String.Input(
                    "response",
                    optional=True,
                    force_input=True,
                    tooltip="A measured response as JSON, such as that of Response Curve; it wins over the file.",
                ),
                estimator_input(otherwise="the magnifier, as it is what will magnify"),
            ],
            outputs=[
                io.Float.Output("alpha", tooltip="Magnification for Magnify Motion, with strength 'number'."),
                io.String.Output("reason", tooltip="Peak, target, where the target comes from, and what limited it."),
                io.Image.Output("plot", tooltip="The motion that was measured, with its noise."),
                io.String.Output("report", tooltip="Alpha, target, reason and the curve as JSON."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, *, response_file: str = NO_FILE, **_: Any) -> Any:
        """Changes when the file is written anew."""
        return None if response_file == NO_FILE else convert.fingerprint(host.input_path(response_file))

    @classmethod
    def execute(
        cls,
        *,
        images: Tensor,
        response_file: str,
        target_pct_face: float,
        reference_index: int = 0,
        face_box: Any = None,
        face_mask: Tensor | None = None,
        magnifier: Loaded | None = None,
        fps: float = 25.0,
        response: str | None = None,
        estimator: Loaded | None = None,
        **numbers: float,
    ) -> Any:
        """Measure, divide, explain."""
        target = _target(response_file, response, target_pct_face)
        clip = convert.to_clip(images, name="images", rate=convert.rate_of(fps), device=host.device())
        box = given_box(face_box, face_mask, numbers_of(numbers, "face"), reference=reference_index)
        with host.running(pictures=False) as progress:
            by = estimator.ready() if estimator else None
            chosen, curve = calibrate(
                clip, box, magnifier=convert.magnifier_of(magnifier), target=target, reference=reference_index,
                estimator=by, progress=progress,
            )  # fmt: skip
        host.say(chosen.reason)
        plot = convert.to_picture(plot_curves([("clip", curve)], title=f"alpha {chosen.alpha:.3g}", width=720))
        told = {"alpha": chosen.alpha, "reason": chosen.reason, "target_pct_face": target.pct_face}
        told |= {"target_from": target.origin, "estimator": by.name if by else "the magnifier"}
        report = json.dumps({**told, "curve": curve_report(curve)}, indent=2)
        return io.NodeOutput(chosen.alpha, chosen.reason, plot, report, ui=ui.PreviewImage(plot, cls=cls))


def _target(file: str, response: str | None, number: float) -> Target:
    """From the wire, else from the file, else the number."""
    if response:
        return target_of_response(response, "the connected response")
    if file == NO_FILE:
        return Target(pct_face=number)
    return target_of_response(host.input_path(file).read_text(encoding="utf-8"), file)
