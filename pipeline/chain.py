# SPDX-License-Identifier: Apache-2.0
"""A report over the stages of a chain, as far as they are there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from ..models.contracts import FlowEstimator
from ..models.errors import MagPlusError
from ..models.geometry import FaceBox
from .clip import Clip
from .face.anatomy import FaceMap
from .face.landmarks import box_from_landmarks, chosen_mesh
from .face.sides import Sides
from .log import log
from .measure import (
    SPLINE_FIT,
    STAGES,
    MotionComparison,
    compare,
    comparison_report,
    displacement_by,
    whole_frame_box,
)
from .measure.quality import psnr_db
from .measure.regions import FACE
from .measure.report import motion_csv, plain, region_report
from .measure.stages import StageMotion, examine_stages
from .progress import Progress, silent
from .render import plot_curves
from .render.scorecard import scorecard, stacked


@dataclass(frozen=True, kw_only=True)
class ChainReport:
    """Curves as a picture, all numbers ready for JSON, and the gain of the last stage (NaN where it cannot be told)."""

    plot: Image.Image
    numbers: dict[str, Any]
    gain: float
    stages: Mapping[str, StageMotion]

    def lists(self, stage: str | None, region: str) -> tuple[list[float], list[float]]:
        """The curve of a stage (None: the last) and region, in percent of the face width and in px."""
        name = stage or list(self.stages)[-1]
        if name not in self.stages:
            raise MagPlusError(f"There is no curve of '{name}': connect {name}_clip, or choose another curve_stage.")
        regions = self.stages[name].regions
        if region not in regions:
            raise MagPlusError(f"Where the {region} are in '{name}' is not known: connect 'crop' or a face box.")
        curve = regions[region].curve
        return curve.values_pct_face.tolist(), curve.values_px.tolist()

    def csv(self) -> str:
        """The curves of all stages and regions side by side, one line per frame."""
        return motion_csv([(f"{n} {r}", m) for n, one in self.stages.items() for r, m in one.regions.items()])


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


def driving_faces(
    landmarks: Any, stages: Mapping[str, Clip], box: FaceBox | None, reference: int
) -> tuple[FaceBox | None, dict[str, FaceMap]]:
    """Box and parts of the driving face, from landmarks on the input or magnified clip; the box as it was without."""
    clips = [stages[name] for name in STAGES[:2] if name in stages]
    if landmarks is None or not clips:
        return box, {}
    mesh = chosen_mesh(landmarks, clips[0].info.count or 1, reference, box)
    return box or box_from_landmarks(mesh), dict.fromkeys(STAGES[:2], FaceMap.from_landmarks(mesh))


def _framed(stage: str, clip: Clip, sides: Sides) -> FaceBox:
    if stage in STAGES[:2]:
        return sides.box_on_driving(clip.info)
    return sides.box_on_square(clip.info) if stage == "generated" else sides.box_on_result(clip.info)


def report_chain(
    stages: Mapping[str, Clip],
    boxes: Mapping[str, FaceBox],
    *,
    sides: Sides | None = None,
    faces: Mapping[str, FaceMap] | None = None,
    portrait: Tensor | None = None,
    reference: int = 0,
    estimator: FlowEstimator = SPLINE_FIT,
    progress: Progress = silent,
) -> ChainReport:
    """Measure every stage, by region where the face is known, and compare it with the input.

    ``faces`` tells where the parts are, by stage; else they are where an average face has them. With the ``portrait``
    ``(3, H, W)`` it is also said how well a stage's reference frame shows it, in which nothing has moved yet.
    """
    if not stages:
        raise MagPlusError("There is nothing to report. Connect at least one clip.")
    known = {name: FaceMap.from_box(b) for name, b in boxes.items() if b != whole_frame_box(stages[name].info)}
    known |= {name: face for name, face in (faces or {}).items() if name in stages}
    found = examine_stages(
        stages, boxes, known, reference=reference, estimator=displacement_by(estimator), progress=progress
    )
    against = _against_input(found)
    last = list(against)[-1] if against else None
    gain = against[last][FACE].gain if last else None
    info = next(iter(stages.values())).info
    quality = {name: one.quality.numbers() for name, one in found.items() if one.quality is not None}
    shown = {} if portrait is None else _reconstruction(stages, sides, portrait, reference)
    numbers = {
        "frames": info.count,
        "rate": str(info.rate),
        "reference_index": reference,
        "estimator": estimator.name,
        "curves": {name: region_report(one.regions[FACE]) for name, one in found.items()},
        "against_input": {name: comparison_report(one[FACE]) for name, one in against.items()},
        "regions": {n: {r: region_report(m) for r, m in one.regions.items() if r != FACE} for n, one in found.items()},
        "regions_against_input": {
            name: {region: comparison_report(c) for region, c in one.items() if region != FACE}
            for name, one in against.items()
        },
        "quality": plain(quality),
        "reconstruction_psnr_db": plain(shown),
    }
    curves = {name: one.curve for name, one in found.items()}
    card = scorecard(against, _lines(found, against, shown), last="restored")
    plot = stacked([card, plot_curves(list(curves.items()), title="Motion of the face")])
    return ChainReport(plot=plot, numbers=numbers, gain=math.nan if gain is None else gain, stages=found)


def _against_input(found: Mapping[str, StageMotion]) -> dict[str, dict[str, MotionComparison]]:
    first = found.get("input")
    if first is None:
        return {}
    return {
        name: {r: compare(first.regions[r].compared, m.compared) for r, m in one.regions.items() if r in first.regions}
        for name, one in found.items()
        if name != "input"
    }


def _reconstruction(
    stages: Mapping[str, Clip], sides: Sides | None, portrait: Tensor, reference: int
) -> dict[str, float | None]:
    """How well a stage that shows the portrait shows it at rest."""
    found: dict[str, float | None] = {}
    for name in STAGES[2:]:
        if name not in stages:
            continue
        frame = stages[name].frame(reference).cpu()
        wanted: Tensor | None = portrait.cpu()
        if frame.shape != portrait.shape:
            square = sides is not None and frame.shape[-1] == frame.shape[-2]
            wanted = sides.square(stages[name].info).apply(portrait.cpu()[None])[0] if square and sides else None
        found[name] = None if wanted is None else psnr_db(frame, wanted)
    return found


def _lines(
    found: Mapping[str, StageMotion],
    against: Mapping[str, Mapping[str, MotionComparison]],
    shown: Mapping[str, float | None],
) -> list[str]:
    """The report in words, a line per stage."""
    lines = []
    for name, one in found.items():
        words = [f"{name}: peak {one.curve.peak_pct_face:.3g} % of face width"]
        compared = against.get(name, {}).get(FACE)
        if compared is not None:
            words.append("gain unknown" if compared.gain is None else f"gain {compared.gain:.3g}")
        if one.curve.left_out:
            words.append(f"left out frames {', '.join(map(str, one.curve.left_out[:6]))}")
        if one.quality is not None:
            told = one.quality.numbers()
            words.append(f"looks {told['appearance_residual_levels']:.2g} of 255")
            words.append(f"head {told['pose_peak_pct_face']:.2g} %, its turn leaks {told['pose_leak_pct_face']:.2g} %")
            if told["odd_frames"]:
                words.append(f"odd frames {', '.join(map(str, told['odd_frames'][:6]))}")
        if shown.get(name) is not None:
            words.append(f"portrait {shown[name]:.1f} dB")
        lines.append(", ".join(words))
    return lines
