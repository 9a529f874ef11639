# SPDX-License-Identifier: Apache-2.0
"""Motion Report: what became of the motion, in numbers."""

from __future__ import annotations

import json
from typing import Any

from torch import Tensor

from ..pipeline.chain import chain_boxes, driving_faces, report_chain
from ..pipeline.face.anatomy import REGIONS
from ..pipeline.face.given import given_box
from ..pipeline.face.sides import Sides
from ..pipeline.measure import SPLINE_FIT, STAGES
from ..pipeline.measure.regions import FACE
from . import convert, host
from .host import io, ui
from .wires import (
    BothSides,
    Landmarks,
    Loaded,
    box_socket,
    check_reference,
    estimator_input,
    fps_input,
    reference_input,
)

LAST = "last"
"""The last stage that is connected."""


class MotionReport(io.ComfyNode):  # type: ignore[misc]
    """The stages of a chain to curves and numbers."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        told = {
            "input": "The clip before magnification.",
            "magnified": "The magnified clip.",
            "generated": "The generated clip.",
            "restored": "The clip after De-magnify Motion.",
        }
        return io.Schema(
            node_id="MagPlusMotionReport",
            display_name="Motion Report (MagPlus)",
            category="MagPlus/Measure",
            description="Measures how far the face moves in every stage, in percent of the face width, and how each "
            "stage relates to the input: gain, correlation, lag. The estimator is not the one that closed the loop.",
            search_aliases=["measure motion", "motion curve", "plot", "gain", "quality", "csv", "pose leak"],
            is_output_node=True,
            inputs=[
                fps_input(
                    "Frames per second of the clips, for the time axis; connect it from Load Video.",
                ),
                reference_input(),
                *(io.Image.Input(f"{stage}_clip", optional=True, tooltip=told[stage]) for stage in STAGES),
                BothSides.Input(
                    "crop",
                    optional=True,
                    tooltip="From Animate Portrait: where the face is in every stage. Not connected: the boxes below, "
                    "or the whole picture.",
                ),
                box_socket("driving_box", "Face box on input and magnified clip in px, without 'crop'."),
                box_socket(
                    "source_box",
                    "Face box on generated and restored clip, in px, without 'crop'.",
                ),
                box_socket("restored_box", "Face box on the restored clip: connect it from De-magnify Motion."),
                estimator_input(),
                io.Image.Input(
                    "portrait",
                    optional=True,
                    tooltip="The portrait: tells how well a stage shows it at rest, apart from any motion.",
                ),
                Landmarks.Input(
                    "landmarks",
                    optional=True,
                    tooltip="From ComfyUI's MediaPipe node, on the driving clip: where its parts are, and percent of "
                    "the distance of the eyes in the report.",
                ),
                io.Combo.Input(
                    "curve_stage",
                    options=[LAST, *STAGES],
                    default=LAST,
                    optional=True,
                    tooltip="Which stage the outputs curve_pct_face and curve_px show.",
                ),
                io.Combo.Input(
                    "curve_region",
                    options=[FACE, *REGIONS],
                    default=FACE,
                    optional=True,
                    tooltip="Which part of the face these outputs show; parts need a known face.",
                ),
            ],
            outputs=[
                io.Image.Output("plot", tooltip="The curves, in percent of the face width over ms."),
                io.String.Output("report", tooltip="All numbers as JSON."),
                io.Float.Output(
                    "gain", tooltip="Motion of the last stage over the input's; NaN where it cannot be told."
                ),
                io.String.Output("csv", tooltip="All curves as a table: a line per frame, stages and regions across."),
                io.Float.Output("curve_pct_face", tooltip="A list: the motion of each frame in percent of face width."),
                io.Float.Output("curve_px", tooltip="A list: the same in px of the clip."),
            ],
        )

    @classmethod
    def execute(
        cls,
        *,
        fps: float,
        reference_index: int = 0,
        crop: Sides | None = None,
        driving_box: Any = None,
        source_box: Any = None,
        restored_box: Any = None,
        estimator: Loaded | None = None,
        portrait: Tensor | None = None,
        landmarks: Any = None,
        curve_stage: str = LAST,
        curve_region: str = FACE,
        **clips: Tensor | None,
    ) -> Any:
        """Measure, draw."""
        check_reference(reference_index, crop=crop, **clips)
        about: dict[str, Any] = {"rate": convert.rate_of(fps), "device": host.device() if estimator else convert.CPU}
        found = {stage: convert.maybe_clip(clips.get(f"{stage}_clip"), name=stage, **about) for stage in STAGES}
        stages = {stage: clip for stage, clip in found.items() if clip is not None}
        given = {"driving": driving_box, "source": source_box, "restored": restored_box}
        sided = {side: given_box(box, reference=reference_index) for side, box in given.items()}
        sided["driving"], faces = driving_faces(landmarks, stages, sided["driving"], reference_index)
        boxes = chain_boxes(stages, crop, **sided)
        shown = None if portrait is None else convert.portrait_of(portrait, convert.CPU)
        with host.running(pictures=False) as progress:
            by = estimator.ready() if estimator else SPLINE_FIT
            report = report_chain(
                stages, boxes, sides=crop, faces=faces, portrait=shown, reference=reference_index, estimator=by,
                progress=progress,
            )  # fmt: skip
        plot = convert.to_picture(report.plot)
        numbers = json.dumps(report.numbers, indent=2)
        curves = report.lists(None if curve_stage == LAST else curve_stage, curve_region)
        return io.NodeOutput(plot, numbers, report.gain, report.csv(), *curves, ui=ui.PreviewImage(plot, cls=cls))
