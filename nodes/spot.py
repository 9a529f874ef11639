# SPDX-License-Identifier: Apache-2.0
"""Spot Expression: when a micro-expression begins, culminates and ends."""

from __future__ import annotations

import json
from typing import Any

from torch import Tensor

from ..pipeline.face.clip_crop import ClipCrop
from ..pipeline.face.given import given_box
from ..pipeline.face.regions import known_face
from ..pipeline.measure import SPLINE_FIT
from ..pipeline.measure.annotations import read_annotations
from ..pipeline.measure.spot import SpotLimits
from ..pipeline.spotting import spot_expressions
from . import convert, host
from .host import io, ui
from .wires import (
    Loaded,
    box_inputs,
    box_sockets,
    estimator_input,
    face_sockets,
    fps_input,
    numbers_of,
    reference_input,
)

USUAL = SpotLimits()


def _limit(id: str, default: float, most: float, step: float, tooltip: str) -> Any:
    return io.Float.Input(id, default=default, min=0.0, max=most, step=step, tooltip=tooltip)


class SpotExpression(io.ComfyNode):  # type: ignore[misc]
    """A clip to the times of its expressions."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusSpotExpression",
            display_name="Spot Expression (MagPlus)",
            category="MagPlus/Measure",
            description="Finds micro-expressions in a clip: onset, apex, offset and duration in ms, with intervals, "
            "for each part of the face; says 'none' where there is no event, and tells blinks apart.",
            search_aliases=["onset apex offset", "micro-expression", "spotting", "apex frame", "blink", "annotations"],
            is_output_node=True,
            inputs=[
                io.Image.Input("images", tooltip="The clip, before magnification; magnified it shows weaker events."),
                fps_input(
                    "Frames per second of the clip: connect it from Load Video. All times depend on it.",
                ),
                _limit("shortest_ms", USUAL.shortest_ms, 10_000.0, 10.0, "Events shorter than this many ms are none."),
                _limit("longest_ms", USUAL.longest_ms, 10_000.0, 10.0, "Events longer than this many ms are none."),
                _limit(
                    "prominence", USUAL.prominence, 1000.0, 0.5,
                    "How many times an event must stand above the noise. More finds fewer and surer ones.",
                ),
                _limit(
                    "least_pct_face", USUAL.least_pct_face, 100.0, 0.01,
                    "The least height of an event in percent of the face width. More leaves out weaker ones.",
                ),
                reference_input(),
                *box_inputs("face", "clip"),
                *box_sockets("face", "clip"),
                *face_sockets(""),
                io.String.Input(
                    "annotations",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="A CSV table to compare with: onset_ms, apex_ms, offset_ms, or onset_frame and so on. "
                    "Empty: none.",
                ),
                estimator_input(),
            ],
            outputs=[
                io.Image.Output("plot", tooltip="The curves with the fitted events, and their times in words."),
                io.String.Output("report", tooltip="All events as JSON, with intervals and by region; or why none."),
                io.String.Output("csv", tooltip="Onset, apex, offset and duration of each event; a line 'none'."),
                io.Float.Output("onset_ms", tooltip="Onset of the most prominent expression in ms; NaN if none."),
                io.Float.Output("apex_ms", tooltip="Its apex in ms; NaN if none."),
                io.Float.Output("offset_ms", tooltip="Its offset in ms; NaN if none."),
                io.Float.Output("duration_ms", tooltip="From its onset to its offset in ms; NaN if none."),
                io.Int.Output(
                    "reference_index",
                    tooltip="The frame at its onset, for the chain that follows; if none, the input's.",
                ),
                io.Int.Output("apex_index", tooltip="The frame at its apex; if none, the reference."),
                io.Boolean.Output("found", tooltip="Whether there is an expression; a blink is none."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        *,
        images: Tensor,
        fps: float,
        reference_index: int = 0,
        face_box: Any = None,
        face_mask: Tensor | None = None,
        landmarks: Any = None,
        crop: ClipCrop | None = None,
        annotations: str = "",
        estimator: Loaded | None = None,
        **numbers: float,
    ) -> Any:
        """Measure, spot, show."""
        rate, device = convert.rate_of(fps), host.device() if estimator else convert.CPU
        clip = convert.to_clip(images, name="images", rate=rate, device=device)
        limits = SpotLimits(**{name: numbers[name] for name in vars(USUAL)})
        annotated = read_annotations(annotations, rate) if annotations.strip() else ()
        given = given_box(face_box, face_mask, numbers_of(numbers, "face"), reference=reference_index)
        box, face = known_face(given, landmarks, crop, count=len(images), reference=reference_index)
        with host.running(pictures=False) as progress:
            by = estimator.ready() if estimator else SPLINE_FIT
            found = spot_expressions(
                clip, box, face, limits=limits, annotated=annotated, reference=reference_index, estimator=by,
                progress=progress,
            )  # fmt: skip
        plot, times = convert.to_picture(found.plot), found.times_ms()
        frames = [found.frame_of(time, reference_index) for time in times[:2]]
        report = json.dumps(found.numbers, indent=2)
        shown = ui.PreviewImage(plot, cls=cls)
        return io.NodeOutput(plot, report, found.csv, *times, *frames, found.arc is not None, ui=shown)
