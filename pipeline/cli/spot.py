# SPDX-License-Identifier: Apache-2.0
"""Spotting micro-expressions in a clip."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ...models.errors import MagPlusError
from ..measure.annotations import read_annotations
from ..measure.spot import SpotLimits
from ..outputs import write_picture, write_text
from ..spotting import spot_expressions
from . import arguments as shared
from .arguments import Parser
from .console import ProgressBar


def add_commands(commands: argparse._SubParsersAction[Parser]) -> None:
    """Declare ``spot``."""
    usual = SpotLimits()
    parser = commands.add_parser("spot", help="find micro-expressions: onset, apex, offset, duration")
    shared.add_input(parser, "--in", "clip to look at")
    shared.add_face(parser, "in")
    shared.add_landmarks(parser, "in")
    for flag, value, what in (
        ("shortest-ms", usual.shortest_ms, "shortest event"),
        ("longest-ms", usual.longest_ms, "longest event"),
        ("prominence", usual.prominence, "how many times above the noise"),
        ("least-pct-face", usual.least_pct_face, "least height, percent of the face width"),
    ):
        parser.add_argument(f"--{flag}", type=float, default=value, metavar="X", help=f"{what} ({value:g})")
    parser.add_argument("--annotations", metavar="FILE.csv", help="onset, apex and offset to compare with")
    shared.add_estimator(parser)
    shared.add_reference(parser)
    shared.add_evidence(parser, "the curves and events", "the events")
    parser.set_defaults(command=spot_command)


def spot_command(arguments: argparse.Namespace) -> None:
    """Clip in, events as JSON on stdout."""
    targets = shared.evidence_from(arguments)
    limits = SpotLimits(
        shortest_ms=arguments.shortest_ms,
        longest_ms=arguments.longest_ms,
        prominence=arguments.prominence,
        least_pct_face=arguments.least_pct_face,
    )
    clip = shared.moving_clip_from(arguments)
    annotated = read_annotations(_text(arguments.annotations), clip.info.rate) if arguments.annotations else ()
    estimator, _ = shared.estimator_from(arguments)
    box, face = shared.known_face_from(arguments, "in", clip)
    found = spot_expressions(
        clip,
        box,
        face,
        limits=limits,
        annotated=annotated,
        reference=arguments.reference,
        estimator=estimator,
        progress=ProgressBar(),
    )
    sys.stdout.write(json.dumps(found.numbers, indent=2) + "\n")
    if "plot" in targets:
        write_picture(targets["plot"], found.plot)
    if "csv" in targets:
        write_text(targets["csv"], found.csv)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise MagPlusError(f"{path} cannot be read as a table: {error}. Give a CSV file in UTF-8.") from None
