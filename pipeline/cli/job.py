# SPDX-License-Identifier: Apache-2.0
"""The main job, on the user's files or on the samples."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ... import __version__
from ...models.catalog import BACKBONES
from ...models.errors import MagPlusError
from ..clip import TensorClip
from ..long_clip import LongRun
from ..measure import STAGES
from ..media import FFV1, FORMATS, FileClip, provenance
from ..motion.demagnify import check_intensity
from ..motion.magnify import check_alpha
from ..outputs import OutputFiles, check_free, write_run
from ..parts import Parts
from ..render import Cell, render_table
from ..run import RunResult, RunSettings, run
from . import arguments as shared
from .arguments import Parser
from .console import ProgressBar, peak_memory_bytes

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
MADE_BY = {"magnified": "magnify", "generated": "animate", "restored": "demagnify"}
HEADERS = ["stage", "peak px", "peak % face", "gain", "correlation", "lag ms", "s/frame"]


def add_commands(commands: argparse._SubParsersAction[Parser]) -> None:
    """Declare ``run`` and ``demo``."""
    parser = commands.add_parser("run", help="the main job: clip and portrait in, restored micro-expression out")
    shared.add_input(parser, "--driver", "clip with the micro-expression")
    parser.add_argument("--source", action="append", required=True, metavar="PICTURE", help="portrait; repeatable")
    shared.add_backbone(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--alpha", default="auto", metavar="A", help="magnification, or auto (default)")
    shared.add_regions(how)
    parser.add_argument("--target", type=float, metavar="PCT", help="peak motion for auto, in percent of face width")
    parser.add_argument("--intensity", type=float, default=1.0, metavar="X", help="1 as in the driver, 0 to 10")
    parser.add_argument(
        "--pixels", choices=["source", "generated"], default="source", help="whose pixels the result has"
    )
    shared.add_gain(parser)
    shared.add_face(parser, "driver")
    shared.add_face(parser, "source")
    shared.add_still_head(parser, "; the result holds its head still")
    shared.add_magnifier(parser)
    shared.add_estimator(parser)
    shared.add_reference(parser, best=True)
    shared.add_strength(parser)
    shared.add_output(parser, required=False)
    shared.add_resume(parser)
    parser.set_defaults(command=run_command, out="restored.mkv")
    demo = commands.add_parser("demo", help="the main job on the samples of the pack")
    demo.add_argument("--out", default="demo", metavar="FOLDER", help="where to leave the results (default: demo)")
    demo.add_argument("--overwrite", action="store_true", help="replace existing results")
    demo.set_defaults(command=demo_command)


def demo_command(arguments: argparse.Namespace) -> None:
    """The same as ``run`` with the samples and their known face boxes."""
    about = json.loads((SAMPLES / "samples.json").read_text())
    folder = Path(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    words = ["run", "--driver", str(SAMPLES / about["driver"]["file"])]
    words += ["--source", str(SAMPLES / about["portrait"]["file"]), "--out", str(folder / "restored.mkv")]
    for side, what in (("driver", "driver"), ("source", "portrait")):
        words += [f"--{side}-box=" + ",".join(str(number) for number in about[what]["face_box"])]
    root = Parser()
    add_commands(root.add_subparsers())
    run_command(root.parse_args(words + ["--overwrite"] * arguments.overwrite))


def run_command(arguments: argparse.Namespace) -> None:
    """Run, write everything, print the table."""
    started, bar = time.perf_counter(), ProgressBar()
    files = OutputFiles(restored=Path(arguments.out))
    for path in files.everything():
        check_free(path, overwrite=arguments.overwrite)
    clip = shared.moving_clip_from(arguments)
    sources = shared.pictures_from(arguments.source)
    backbone, weights = shared.backbone_from(arguments)
    magnifier, checkpoint = shared.magnifier_from(arguments)
    estimator, estimator_file = shared.estimator_from(arguments)
    settings = _settings(arguments, clip, sources)
    check_intensity(settings.intensity)
    if settings.alpha is not None:
        check_alpha(settings.alpha, magnifier.alpha_range)
    models: Any = {"backbone": backbone, "magnifier": magnifier, "estimator": estimator, "settings": settings}
    kept: dict[str, Parts] = {}
    if arguments.resume:
        long = LongRun(file=clip, sources=list(sources.frames), **models)
        result, kept = long.begin(files.restored, FFV1, bar)
    else:
        result = run(clip, list(sources.frames), scratch=files.restored.parent, progress=bar, **models)
    try:
        record = provenance(
            inputs=[arguments.input, *arguments.source],
            weights=[*weights, *estimator_file, *([checkpoint.path] if checkpoint else [])],
            settings=_told(arguments, result),
        )
        report = write_run(
            result,
            files,
            format=FORMATS[arguments.format] if arguments.format else None,
            audio=clip.audio,
            provenance=record,
            overwrite=arguments.overwrite,
            progress=bar,
        )
        for parts in kept.values():
            parts.discard()
        _print_summary(clip, result, files, report["preview"]["gain"], time.perf_counter() - started)
    finally:
        result.close()


def _settings(arguments: argparse.Namespace, clip: FileClip, sources: TensorClip) -> RunSettings:
    target = arguments.target if arguments.target is not None else BACKBONES[arguments.backbone].target_pct_face
    if not target > 0:
        raise MagPlusError(f"--target {target:g}: give a percentage of the face width above 0.")
    return RunSettings(
        target_pct_face=target,
        alpha=shared.alpha_from(arguments.alpha),
        intensity=arguments.intensity,
        pixels=arguments.pixels,
        reference=arguments.reference,
        motion_strength=arguments.motion_strength,
        guides=shared.guides_from(arguments),
        driver_box=shared.face_from(arguments, "driver", clip),
        source_box=shared.face_from(arguments, "source", sources),
        regions=shared.regions_from(arguments),
        still_head=arguments.still_head,
        gain=arguments.gain,
    )


def _told(arguments: argparse.Namespace, result: RunResult) -> Mapping[str, Any]:
    return {
        "command": "run",
        "version": __version__,
        "backbone": arguments.backbone,
        "options": arguments.option,
        "guides": arguments.guide,
        "magnifier": arguments.magnifier,
        "alpha": round(result.alpha, 6),
        "regions": arguments.regions,
        "still_head": None if result.head is None else result.head.report(),
        "factor": round(result.factor, 6),
        "gain": arguments.gain,
        "intensity": arguments.intensity,
        "pixels": arguments.pixels,
        "motion_strength": arguments.motion_strength,
        "reference": result.reference,
    }


def _print_summary(clip: FileClip, result: RunResult, files: OutputFiles, kept: float | None, seconds: float) -> None:
    count = len(result.curves["input"].values_px)
    peak = peak_memory_bytes()
    memory = "" if peak is None else f", peak memory {peak / 2**20:.0f} MiB"
    goal = 1.0 if result.loop.gain is None else result.factor * result.loop.gain
    lines = [
        "",
        f"{count} frames at {float(clip.info.rate):.6g} fps in {seconds:.0f} s{memory}",
        f"alpha {result.alpha:.4g}: {result.alpha_reason}",
        f"de-magnification {result.factor:.4g}: from the measured gain of the generated clip",
        *([] if result.local is None else [f"by region, from gains {result.local}"]),
        "",
        render_table(HEADERS, [_row(result, name, count) for name in STAGES]),
        "",
        f"The gain of 'restored' should be {goal:.4g}. It was not measured by what closed the loop: lkmag closes it,",
        f"{result.estimator} reports it.",
        *([] if kept is None else [f"The preview keeps {100 * kept:.0f} % of the motion; work on with the master."]),
        "",
        *(str(path) for path in files.everything()),
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _row(result: RunResult, name: str, count: int) -> list[Cell]:
    curve, found = result.curves[name], result.comparisons.get(name)
    timed = result.seconds.get(MADE_BY.get(name, ""))
    row: list[Cell] = [name, curve.peak_px, curve.peak_pct_face]
    if found is None:
        row += [1.0, None, None]
    else:
        correlation = None if found.correlation is None else f"{found.correlation:.5f}"
        row += [found.gain, correlation, None if found.lag_ms is None else f"{found.lag_ms + 0.0:.2f}"]
    return [*row, None if timed is None else timed / count]
