"""Entry of the command line: parse, run, and turn every end into an exit code."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from ... import __version__
from ...models.errors import MagPlusError
from . import job, stages, weights
from .console import show_remarks

BAD_INPUT, CANCELLED = 2, 130


def parser() -> argparse.ArgumentParser:
    """All commands."""
    root = argparse.ArgumentParser(
        prog="magplus", description="Magnify a micro-expression, let a portrait wear it, scale it back, and measure it."
    )
    root.add_argument("--version", action="version", version=f"magplus {__version__}")
    commands = root.add_subparsers(dest="name", required=True, metavar="COMMAND")
    for part in (job, stages, weights):
        part.add_commands(commands)
    return root


def main(words: Sequence[str] | None = None) -> int:
    """Run one command. 0: done, 2: bad input, with one line on stderr; 130: cancelled."""
    arguments = parser().parse_args(words)
    show_remarks()
    signal.signal(signal.SIGTERM, _cancel)
    try:
        arguments.command(arguments)
    except MagPlusError as error:
        sys.stderr.write(f"magplus: {' '.join(str(error).split())}\n")
        return BAD_INPUT
    except KeyboardInterrupt:
        sys.stderr.write("\nmagplus: cancelled, nothing was written.\n")
        return CANCELLED
    return 0


def _cancel(_: int, __: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
