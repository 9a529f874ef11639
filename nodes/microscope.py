# SPDX-License-Identifier: Apache-2.0
"""Motion Microscope: one line of a clip over time."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..pipeline.measure import displacement_by
from ..pipeline.render.microscope import LINES, Line, liveliest, microscope_picture
from . import convert, host
from .host import io, ui
from .wires import Loaded, estimator_input, fps_input, reference_input

MOST_MOTION, GIVEN = PLACES = ("most motion", "position")


def _part(id: str, default: float, tooltip: str) -> Any:
    return io.Float.Input(id, default=default, min=0.0, max=1.0, step=0.005, tooltip=tooltip)


class MotionMicroscope(io.ComfyNode):  # type: ignore[misc]
    """A clip, and what was made of it, as slices through space and time."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusMotionMicroscope",
            display_name="Motion Microscope (MagPlus)",
            category="MagPlus/Measure",
            description="Draws one line of the picture over time, the input above the result: an edge at rest is a "
            "straight stripe, and its motion the bend of the stripe. Time in ms, place in px.",
            search_aliases=["x-t slice", "slit scan", "spatio-temporal slice", "timeline", "see micro motion"],
            is_output_node=True,
            inputs=[
                io.Image.Input("images", tooltip="The clip, shown above."),
                io.Combo.Input(
                    "line",
                    options=list(LINES),
                    default=LINES[0],
                    tooltip="A vertical line shows motion up and down, a horizontal one motion to the sides.",
                ),
                io.Combo.Input(
                    "place",
                    options=list(PLACES),
                    default=PLACES[0],
                    tooltip="'most motion' finds the line whose brightness changes most, or by an 'estimator' the "
                    "one that moves most; 'position' uses the number.",
                ),
                _part("position", 0.5, "Where the line lies, for 'position': 0 left or top, 1 right or bottom."),
                _part("start", 0.0, "Where the line begins, as a part of the picture. A shorter line shows more."),
                _part("stop", 1.0, "Where the line ends, as a part of the picture."),
                fps_input(
                    "Frames per second of the clips, for the axis of time; connect it from Load Video.",
                ),
                reference_input(),
                io.Image.Input("result", optional=True, tooltip="What was made of the clip, shown below, same length."),
                estimator_input(
                    ", so that 'most motion' is where most moves", "the line whose brightness changes most is taken"
                ),
            ],
            outputs=[
                io.Image.Output("picture", tooltip="Slices with axes, each beside its frame with the line marked."),
                io.Image.Output("slice", tooltip="The slice of the result, else of the clip: one column per frame."),
                io.Float.Output("line_position", tooltip="Where the line lies, 0 to 1."),
            ],
        )

    @classmethod
    def execute(
        cls,
        *,
        images: Tensor,
        line: str,
        place: str,
        position: float,
        start: float,
        stop: float,
        fps: float,
        reference_index: int = 0,
        result: Tensor | None = None,
        estimator: Loaded | None = None,
    ) -> Any:
        """Find the line, cut, draw."""
        rate, device = convert.rate_of(fps), host.device() if estimator else convert.CPU
        given = [("input", images), *([] if result is None else [("result", result)])]
        clips = [(name, convert.to_clip(value, name=name, rate=rate, device=device)) for name, value in given]
        convert.check_equal_length(*(clip for _, clip in clips))
        with host.running(pictures=False) as progress:
            at = position
            if place == MOST_MOTION:
                by = displacement_by(estimator.ready()) if estimator else None
                at = liveliest(clips[-1][1], line, by, reference=reference_index)
            cut = Line(direction=line, position=at, start=start, stop=stop)
            picture, slices = microscope_picture(clips, cut, reference=reference_index, progress=progress)
        shown = convert.to_picture(picture)
        return io.NodeOutput(shown, convert.from_array(slices[-1]), at, ui=ui.PreviewImage(shown, cls=cls))
