# SPDX-License-Identifier: Apache-2.0
"""When a face shows an expression: measured, spotted, drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from ..models.contracts import FlowEstimator
from ..models.geometry import FaceBox
from .clip import Clip
from .face.anatomy import FaceMap
from .measure import SPLINE_FIT, displacement_by, whole_frame_box
from .measure.annotations import Annotation
from .measure.arc import Arc
from .measure.expression import FaceSpots, agreement_numbers, event_numbers, events_csv, spot_face
from .measure.regions import FACE, measure_regions
from .measure.report import plain
from .measure.spot import SpotLimits
from .progress import Progress, silent
from .render.spots import spot_picture


@dataclass(frozen=True, kw_only=True)
class Spotting:
    """The events of a clip, as data, table and picture. Times of the strongest expression are NaN without one."""

    spots: FaceSpots
    numbers: dict[str, Any]
    csv: str
    plot: Image.Image
    frame_ms: float
    count: int

    @property
    def arc(self) -> Arc | None:
        """The strongest expression."""
        return None if self.spots.strongest is None else self.spots.strongest.main.arc

    def times_ms(self) -> tuple[float, float, float, float]:
        """Its onset, apex, offset and duration."""
        arc = self.arc
        if arc is None:
            return (math.nan,) * 4
        return arc.onset_ms, arc.apex_ms, arc.offset_ms, arc.duration_ms

    def frame_of(self, time_ms: float, otherwise: int) -> int:
        """The frame next to a time; ``otherwise`` where that is NaN."""
        return otherwise if math.isnan(time_ms) else min(max(round(time_ms / self.frame_ms), 0), self.count - 1)


def spot_expressions(
    clip: Clip,
    box: FaceBox | None,
    face: FaceMap | None,
    *,
    limits: SpotLimits,
    annotated: Sequence[Annotation] = (),
    reference: int = 0,
    estimator: FlowEstimator = SPLINE_FIT,
    progress: Progress = silent,
) -> Spotting:
    """Expressions and blinks of a clip; without a face the whole picture, and no parts."""
    motions = measure_regions(
        clip, box or whole_frame_box(clip.info), face,
        reference=reference, estimator=displacement_by(estimator), progress=progress,
    )  # fmt: skip
    spots = spot_face(motions, limits)
    frame_ms = float(1000 / clip.info.rate)
    numbers = {
        "verdict": spots.verdict,
        "rate": str(clip.info.rate),
        "reference_index": reference,
        "estimator": estimator.name,
        "left_out_frames": list(motions[FACE].curve.left_out),
        "limits": asdict(limits),
        "events": [event_numbers(event) for event in spots.events],
        "rejected": {
            name: [{"apex_ms": event.arc.apex_ms, "why": why} for event, why in found.rejected]
            for name, found in spots.by_region.items()
        },
    }
    if annotated:
        numbers["annotations"] = [asdict(one) for one in annotated]
        numbers["agreement"] = agreement_numbers(spots.events, annotated)
    return Spotting(
        spots=spots,
        numbers=plain(numbers),
        csv=events_csv(spots.events, frame_ms),
        plot=spot_picture(motions, spots, annotated=annotated),
        frame_ms=frame_ms,
        count=len(next(iter(motions.values())).curve.values_px),
    )
