# SPDX-License-Identifier: Apache-2.0
"""Adapting a magnifier to a clip."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path

from ...models.checkpoint import Checkpoint, write_safetensors
from ...models.errors import MagPlusError
from ...models.registry import load_estimator
from ..clip import SpooledClip
from ..log import log
from ..motion.adapt import Adaptation, AdaptSettings
from ..outputs import check_free, write_picture
from . import arguments as shared
from .arguments import Parser
from .console import ProgressBar


def add_commands(commands: argparse._SubParsersAction[Parser]) -> None:
    """Declare ``adapt``."""
    usual = AdaptSettings()
    parser = commands.add_parser("adapt", help="train a magnifier further on the clip it is to magnify")
    shared.add_input(parser, "--in", "clip to adapt to")
    shared.add_magnifier(parser)
    shared.add_estimator(parser, "the loss looks through", default="lkmag's own")
    parser.add_argument("--mask", metavar="FILE", help="picture: white is what the loss counts")
    parser.add_argument("--steps", type=int, default=usual.steps, metavar="N", help=f"at most ({usual.steps})")
    parser.add_argument("--seconds", type=float, metavar="S", help="at most")
    parser.add_argument("--learning-rate", type=float, metavar="X", help="default: what suits the magnifier")
    parser.add_argument("--batch", type=int, default=usual.batch, metavar="N", help=f"pairs a step ({usual.batch})")
    parser.add_argument("--crop", type=int, default=usual.crop_px, metavar="PX", help=f"largest side ({usual.crop_px})")
    parser.add_argument(
        "--alphas", type=float, nargs=2, default=(usual.alpha_low, usual.alpha_high), metavar=("LOW", "HIGH"),
        help=f"factors to learn ({usual.alpha_low:g} {usual.alpha_high:g})",
    )  # fmt: skip
    shared.add_reference(parser)
    parser.add_argument("--out", required=True, metavar="FILE.safetensors", help="the adapted weights")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the course of the loss")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.set_defaults(command=adapt_command)


def adapt_command(arguments: argparse.Namespace) -> None:
    """Clip in, adapted weights out; what came of it as JSON on stdout. Ctrl-C ends it and keeps the best so far."""
    out, bar = Path(arguments.out), ProgressBar()
    if out.suffix != ".safetensors":
        raise MagPlusError(f"{out}: the result must be named *.safetensors.")
    for path in (out, *([Path(arguments.plot)] if arguments.plot else [])):
        check_free(path, overwrite=arguments.overwrite)
    magnifier, checkpoint = shared.magnifier_from(arguments)
    clip = shared.moving_clip_from(arguments)
    with ExitStack() as stack:
        # Frames are read in any order, which a compressed file is slow at.
        spooled = SpooledClip.of(clip.chunks(), rate=clip.info.rate, folder=out.parent, name=clip.info.name)
        stack.callback(spooled.close)
        adaptation = Adaptation(
            magnifier,
            spooled,
            settings=_settings(arguments),
            estimator=load_estimator(arguments.estimator)[0] if arguments.estimator else None,
            region=shared.mask_from(arguments.mask),
        )
        _run(adaptation, bar)
    _write(arguments, adaptation, checkpoint)


def _settings(arguments: argparse.Namespace) -> AdaptSettings:
    low, high = arguments.alphas
    return AdaptSettings(
        steps=arguments.steps,
        seconds=arguments.seconds,
        learning_rate=arguments.learning_rate,
        batch=arguments.batch,
        crop_px=arguments.crop,
        alpha_low=low,
        alpha_high=high,
        reference=arguments.reference,
    )


def _run(adaptation: Adaptation, bar: ProgressBar) -> None:
    try:
        adaptation.run(bar)
    except KeyboardInterrupt:
        if not adaptation.has_learned:
            raise
        log.warning("stopped; the best so far is kept, from step %d", adaptation.best.step)
    finally:
        bar.close()


def _write(arguments: argparse.Namespace, adaptation: Adaptation, checkpoint: Checkpoint | None) -> None:
    adapted = adaptation.result()
    write_safetensors(adapted.tensors, Path(arguments.out), adapted.metadata(checkpoint.sha256 if checkpoint else ""))
    if arguments.plot:
        write_picture(Path(arguments.plot), adapted.picture)
    sys.stdout.write(json.dumps(adapted.report, indent=2) + "\n")
