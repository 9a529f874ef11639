# SPDX-License-Identifier: Apache-2.0
"""Commands that measure generators: how they answer to motion, and whether magnifying helps."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ...models.checkpoint import sha256_of
from ...models.errors import MagPlusError
from ...models.keyface import arch as keyface
from ...models.registry import load_backbone, needs_displacement
from ..log import log
from ..outputs import check_free, write_picture, write_text
from ..proof.response import REGIONS, STEPS, measure_response, response_picture, sizes_pct
from ..proof.run import prove, report, save_report
from ..proof.tell import proof_picture, told
from . import arguments as shared
from .arguments import Parser
from .console import ProgressBar


def add_commands(commands: argparse._SubParsersAction[Parser]) -> None:
    """Declare ``response`` and ``proof``."""
    parser = commands.add_parser("response", help="how a generator answers to motion of every size, on drawn faces")
    shared.add_backbone(parser)
    shared.add_magnifier(parser)
    parser.add_argument("--faces", type=int, default=2, metavar="N", help="pairs of driver and portrait (2)")
    parser.add_argument("--steps", type=int, default=STEPS, metavar="N", help=f"sizes from 0.02 to 10 %% ({STEPS})")
    parser.add_argument(
        "--region", action="append", choices=REGIONS, help="part of the face to move; repeat for several (all)"
    )
    parser.add_argument("--target", type=float, default=3.0, metavar="PCT", help="size to magnify to, %% of face (3)")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where to leave response.png and response.json")
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    parser.set_defaults(command=response_command)
    parser = commands.add_parser("proof", help="whether magnifying helps: micro-expressions with known truth, all arms")
    parser.add_argument(
        "--backbone", action="append", metavar="NAME", help="frozen generator; repeat for several (keyface and flow)"
    )
    parser.add_argument("--weights", action="append", default=[], metavar="FILE", help="of the one generator given")
    shared.add_magnifier(parser)
    parser.add_argument("--small", action="store_true", help="four clips only")
    parser.add_argument("--out", default="proof", metavar="FOLDER", help="where to leave results; goes on from there")
    parser.set_defaults(command=proof_command)


def response_command(arguments: argparse.Namespace) -> None:
    """Sweep, then write picture and numbers."""
    folder = Path(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    picture, numbers = folder / "response.png", folder / "response.json"
    for path in (picture, numbers):
        check_free(path, overwrite=arguments.overwrite)
    backbone, _ = shared.backbone_from(arguments)
    magnifier, _ = shared.magnifier_from(arguments)
    bar = ProgressBar()
    try:
        found = measure_response(
            backbone,
            needs_displacement(magnifier, purpose="Measuring a response"),
            faces=arguments.faces,
            inputs_pct=sizes_pct(arguments.steps),
            regions=arguments.region or REGIONS,
            target_pct=arguments.target,
            progress=bar,
        )
    finally:
        bar.close()
    write_picture(picture, response_picture(found))
    write_text(numbers, json.dumps(found.report(), indent=2) + "\n")
    sys.stdout.write(
        f"{backbone.name}: recommended target {found.recommended_pct:g} % of the face, on drawn faces\n"
        f"{picture}\n{numbers}\n"
    )


def proof_command(arguments: argparse.Namespace) -> None:
    """Run what is missing, judge, write table, picture and numbers."""
    folder = Path(arguments.out)
    parts = folder / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    magnifier = needs_displacement(shared.magnifier_from(arguments)[0], purpose="The proof")
    _check_same_weights(parts, [arguments.magnifier, *arguments.weights])
    names = arguments.backbone or ["keyface", "flow"]
    reports, bar = [], ProgressBar()
    try:
        for name in names:
            backbone, _ = load_backbone(name, arguments.weights, {})
            # Flow Transfer is there to show what a linear generator does; it needs few clips for that.
            small = arguments.small or (name == "flow" and len(names) > 1)
            reports.append(report(prove(backbone, magnifier, parts=parts, small=small, progress=bar)))
    except KeyboardInterrupt:
        log.info("stopped; the same command goes on")
        raise
    finally:
        bar.close()
    save_report(reports, folder / "proof.json")
    write_text(folder / "proof.md", "# Does magnifying help?\n\n" + told(reports))
    write_picture(folder / "proof.png", proof_picture(reports))
    sys.stdout.write(told(reports))


def _check_same_weights(parts: Path, files: Sequence[str]) -> None:
    """What was made by other weights must not be mixed with what these make."""
    given = [Path(file) for file in files if Path(file).is_file()]
    shipped = sorted(keyface.WEIGHTS.parent.glob("*.safetensors"))
    made_by = json.dumps({path.name: sha256_of(path) for path in [*shipped, *given]}, indent=1)
    note = parts / "made_by.json"
    if note.is_file() and note.read_text() != made_by:
        raise MagPlusError(f"{parts} holds results of other weights. Remove the folder, or give another --out.")
    write_text(note, made_by)
