# SPDX-License-Identifier: Apache-2.0
"""Training the networks that come with the pack."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...models.errors import MagPlusError
from ..log import log
from ..outputs import check_free, write_picture
from ..render import training_picture
from ..train import Recipe, Trainer, train
from ..train.generator import GeneratorRecipe, GeneratorTrainer
from ..train.pieces import AnyTrainer
from ..train.surveyor import SurveyorRecipe, SurveyorTrainer
from .arguments import Parser
from .console import ProgressBar

KINDS: dict[str, tuple[str, Any, Any]] = {
    "magnifier": ("lkmag", Trainer, Recipe),
    "surveyor": ("lkmag's surveyor", SurveyorTrainer, SurveyorRecipe),
    "generator": ("KeyFace", GeneratorTrainer, GeneratorRecipe),
}
"""Name of the network, its trainer and its recipe."""


def add_commands(commands: argparse._SubParsersAction[Parser]) -> None:
    """Declare ``train``."""
    usual = Recipe()
    parser = commands.add_parser(
        "train", help="train lkmag, the magnifier of this pack, or KeyFace, its small generator"
    )
    parser.add_argument(
        "--what",
        choices=sorted(KINDS),
        default="magnifier",
        help="magnifier: lkmag, on rendered scenes (default); surveyor: the part of lkmag that judges faint motion, "
        "beside its other networks; generator: KeyFace, on drawn faces",
    )
    parser.add_argument(
        "--checkpoint", required=True, metavar="FILE", help="state of the training; goes on if it exists"
    )
    parser.add_argument(
        "--minutes", type=float, default=5.0, metavar="M", help="stop after so long (5); run again to go on"
    )
    parser.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help=f"steps of the whole recipe ({usual.steps}; surveyor {SurveyorRecipe().steps}; generator "
        f"{GeneratorRecipe().steps}), or from now on",
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help=f"of a new training: its scenes and first weights ({usual.seed})"
    )
    parser.add_argument("--start", metavar="FILE", help="weights that a new training begins with, of the same network")
    parser.add_argument(
        "--learning-rate",
        type=float,
        metavar="R",
        help=f"of a new training ({usual.learning_rate:g}; surveyor {SurveyorRecipe().learning_rate:g}; generator "
        f"{GeneratorRecipe().learning_rate:g}), less for --start",
    )
    parser.add_argument(
        "--scenes", default="scenes", metavar="DIR", help="folder that keeps what a surveyor learns from (scenes)"
    )
    parser.add_argument("--out", metavar="FILE.safetensors", help="write the weights so far")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the course of the validation")
    parser.add_argument("--overwrite", action="store_true", help="replace --out and --plot if they exist")
    parser.set_defaults(command=train_command)


def train_command(arguments: argparse.Namespace) -> None:
    """Train a while. Ctrl-C ends it early; the checkpoint is kept."""
    out = Path(arguments.out) if arguments.out else None
    if out is not None and out.suffix != ".safetensors":
        raise MagPlusError(f"{out}: the result must be named *.safetensors.")
    for path in (out, Path(arguments.plot) if arguments.plot else None):
        if path is not None:
            check_free(path, overwrite=arguments.overwrite)
    trainer = _trainer(arguments)
    if isinstance(trainer, SurveyorTrainer):
        trainer.scenes = Path(arguments.scenes)
    if not trainer.history:
        trainer.validate()
    bar = ProgressBar()
    try:
        train(
            trainer,
            minutes=arguments.minutes,
            checkpoint=Path(arguments.checkpoint),
            tick=lambda now, _: bar("train", now.step, now.recipe.steps),
        )
    except KeyboardInterrupt:
        log.info("stopped at step %d; the same command goes on", trainer.step)
    finally:
        bar.close()
    if out is not None:
        trainer.export(out)
    if arguments.plot:
        title = (
            f"{KINDS[arguments.what][0]}, seed {trainer.recipe.seed}: {trainer.step} steps, {trainer.cpu_s:.0f} CPU-s"
        )
        write_picture(Path(arguments.plot), training_picture(trainer.history, title=title))


def _trainer(arguments: argparse.Namespace) -> AnyTrainer:
    path = Path(arguments.checkpoint)
    if arguments.learning_rate is not None and arguments.learning_rate <= 0:
        raise MagPlusError(f"A learning rate of {arguments.learning_rate:g} teaches nothing. Give one above 0.")
    _, trainer, recipe = KINDS[arguments.what]
    new = {"seed": arguments.seed, "start": arguments.start, "learning_rate": arguments.learning_rate}
    if path.is_file():
        given = [f"--{name.replace('_', '-')}" for name, value in new.items() if value is not None]
        if given:
            raise MagPlusError(f"{path} has begun already. Give {' and '.join(given)} only for a new training.")
        return trainer.load(path, steps=arguments.steps)
    usual = recipe()
    wanted = recipe(
        steps=arguments.steps or usual.steps,
        seed=arguments.seed or usual.seed,
        learning_rate=arguments.learning_rate or usual.learning_rate,
    )
    return trainer.begun_with(wanted, Path(arguments.start)) if arguments.start else trainer(wanted)
