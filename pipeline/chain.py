"""A report over the stages of a chain, as far as they are there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from ..models.contracts import FlowEstimator
from ..models.errors import MagPlusError
from ..models.geometry import FaceBox
from .clip import Clip
from .face.sides import Sides
from .log import log
from .measure import (
    FARNEBACK,
    STAGES,
    compare,
    comparison_report,
    curve_report,
    displacement_by,
    measure_stages,
    whole_frame_box,
)
from .progress import Progress, silent
from .render import plot_curves


@dataclass(frozen=True, kw_only=True)
class ChainReport:
    """Curves as a picture, all numbers ready for JSON, and the gain of the last stage (NaN where it cannot be told)."""

    plot: Image.Image
    numbers: dict[str, Any]
    gain: float


def chain_boxes(
    stages: Mapping[str, Clip],
    sides: Sides | None,
    *,
    driving: FaceBox | None = None,
    source: FaceBox | None = None,
    restored: FaceBox | None = None,
) -> dict[str, FaceBox]:
    """The face in every stage: as given, else as it was framed, else the whole picture with a warning.

    Without ``restored`` a restored clip as large as the portrait is taken for the portrait, any other for the square.
    """
    given = {"input": driving, "magnified": driving, "generated": source, "restored": restored or source}
    boxes = {}
    for stage, clip in stages.items():
        box = given[stage]
        if box is None and sides is not None:
            box = _framed(stage, clip, sides)
        if box is None:
            log.warning("report: no face box for '%s', the whole picture is measured. Connect 'crop' or a box.", stage)
            box = whole_frame_box(clip.info)
        boxes[stage] = box
    return boxes


def _framed(stage: str, clip: Clip, sides: Sides) -> FaceBox:
    if stage in STAGES[:2]:
        return sides.box_on_driving(clip.info)
    return sides.box_on_square(clip.info) if stage == "generated" else sides.box_on_result(clip.info)


def report_chain(
    stages: Mapping[str, Clip],
    boxes: Mapping[str, FaceBox],
    *,
    reference: int = 0,
    estimator: FlowEstimator = FARNEBACK,
    progress: Progress = silent,
) -> ChainReport:
    """Measure every stage and compare it with the input."""
    if not stages:
        raise MagPlusError("There is nothing to report. Connect at least one clip.")
    curves = measure_stages(stages, boxes, reference=reference, estimator=displacement_by(estimator), progress=progress)
    against = {name: compare(curves["input"], curves[name]) for name in curves if "input" in curves and name != "input"}
    last = list(against.values())[-1].gain if against else None
    info = next(iter(stages.values())).info
    numbers = {
        "frames": info.count,
        "rate": str(info.rate),
        "reference_index": reference,
        "estimator": estimator.name,
        "curves": {name: curve_report(curve) for name, curve in curves.items()},
        "against_input": {name: comparison_report(found) for name, found in against.items()},
    }
    plot = plot_curves(list(curves.items()), title="Motion of the face")
    return ChainReport(plot=plot, numbers=numbers, gain=math.nan if last is None else last)
