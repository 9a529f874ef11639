# SPDX-License-Identifier: Apache-2.0
"""How far a clip moves, as a whole and part by part, and how that relates to an original."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from PIL import Image

from ...models.errors import MagPlusError
from ..clip import Clip
from ..measure import (
    DisplacementEstimator,
    MotionComparison,
    compare,
    comparison_report,
    displacement_by,
    whole_frame_box,
)
from ..measure.regions import FACE, RegionMotion, measure_regions
from ..measure.report import motion_csv, region_report
from ..media import open_clip
from ..outputs import write_picture, write_text
from ..render import plot_curves
from ..render.scorecard import scorecard, stacked
from . import arguments as shared
from .arguments import Parser
from .console import ProgressBar

Motions = Mapping[str, RegionMotion]


def add_commands(commands: argparse._SubParsersAction[Parser]) -> None:
    """Declare ``measure``."""
    parser = commands.add_parser("measure", help="tell how far a clip moves")
    shared.add_input(parser, "--in", "clip to measure")
    parser.add_argument("--like", metavar="CLIP", help="original clip to compare with: gain, correlation, lag")
    for side in ("in", "like"):
        shared.add_face(parser, side)
        shared.add_landmarks(parser, side)
    parser.add_argument(
        "--by-region", action="store_true", help="also brows, eyes, nose, cheeks, mouth and chin, each by itself"
    )
    shared.add_estimator(parser)
    shared.add_reference(parser)
    shared.add_evidence(parser, "the curves", "the curves")
    parser.set_defaults(command=measure_command)


def measure_command(arguments: argparse.Namespace) -> None:
    """Clip in, motion curves as JSON on stdout; with an original also how the two relate."""
    clip, bar = shared.moving_clip_from(arguments), ProgressBar()
    targets = shared.evidence_from(arguments)
    estimator, _ = shared.estimator_from(arguments)
    by = displacement_by(estimator)
    measured = {clip.info.name: _motions(arguments, "in", clip, by, bar)}
    result = measured[clip.info.name]
    report: dict[str, Any] = {"estimator": estimator.name, "curve": region_report(result[FACE])}
    report |= _regions("regions", result)
    compared: dict[str, MotionComparison] = {}
    if arguments.like:
        original = open_clip(arguments.like)
        motions = _motions(arguments, "like", original, by, bar)
        measured = {_apart(original.info.name, clip.info.name): motions} | measured
        compared = {name: compare(motions[name].curve, m.curve) for name, m in result.items() if name in motions}
        report |= {"original": region_report(motions[FACE]), "comparison": comparison_report(compared[FACE])}
        report |= _regions("original_regions", motions)
        if arguments.by_region:
            report["regions_comparison"] = {n: comparison_report(c) for n, c in compared.items() if n != FACE}
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    if "plot" in targets:
        write_picture(targets["plot"], _picture(measured, {clip.info.name: compared} if compared else {}))
    if "csv" in targets:
        write_text(targets["csv"], motion_csv(_labelled(measured)))


def _apart(name: str, other: str) -> str:
    """A name for the original that is not the result's."""
    return name if name != other else f"original {name}"


def _motions(
    arguments: argparse.Namespace, side: str, clip: Clip, by: DisplacementEstimator, bar: ProgressBar
) -> Motions:
    """The whole face and, where they are asked for, its parts."""
    box, face = shared.known_face_from(arguments, side, clip)
    if arguments.by_region and face is None:
        raise MagPlusError(f"--by-region needs to know where the face is. Give --{side}-box or --{side}-landmarks.")
    about: Any = {"reference": arguments.reference, "progress": bar} | ({} if arguments.by_region else {"regions": ()})
    return measure_regions(clip, box or whole_frame_box(clip.info), face, estimator=by, **about)


def _regions(key: str, motions: Motions) -> dict[str, Any]:
    """The parts for JSON, nothing where there are none."""
    parts = {name: region_report(motion) for name, motion in motions.items() if name != FACE}
    return {key: parts} if parts else {}


def _labelled(measured: Mapping[str, Motions]) -> list[tuple[str, RegionMotion]]:
    """Curves by clip and, where there are parts, by region."""
    return [
        (name if len(motions) == 1 else f"{name} {region}", motion)
        for name, motions in measured.items()
        for region, motion in motions.items()
    ]


def _picture(measured: Mapping[str, Motions], against: Mapping[str, Mapping[str, MotionComparison]]) -> Image.Image:
    """All curves; where there are parts a panel for each of them, below a table of how the clips relate."""
    regions = list(dict.fromkeys(region for motions in measured.values() for region in motions))
    curves = {r: [(name, motions[r].curve) for name, motions in measured.items() if r in motions] for r in regions}
    if len(regions) == 1:
        return plot_curves(curves[FACE], title="Motion")
    plots = [plot_curves(found, title=f"Motion, {region}", shapes=False) for region, found in curves.items()]
    return stacked([*([scorecard(against, [], last=None)] if against else []), *plots])
