# SPDX-License-Identifier: Apache-2.0
"""All commands, and what becomes of their errors."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ... import __version__
from ...models.errors import MagPlusError
from . import adapt, evidence, job, measure, spot, stages, train, weights, workflow
from .arguments import Parser
from .console import show_remarks

BAD_INPUT = 2


def parser() -> Parser:
    """All commands."""
    root = Parser(
        prog="magplus", description="Magnify a micro-expression, let a portrait wear it, scale it back, and measure it."
    )
    root.add_argument("--version", action="version", version=f"magplus {__version__}")
    commands = root.add_subparsers(dest="name", required=True, metavar="COMMAND")
    for part in (job, stages, measure, spot, adapt, weights, workflow, train, evidence):
        part.add_commands(commands)
    return root


def run(words: Sequence[str] | None = None) -> int:
    """Run one command: 0 when done, 2 after bad input."""
    arguments = parser().parse_args(words)
    show_remarks()
    try:
        arguments.command(arguments)
    except MagPlusError as error:
        sys.stderr.write(f"magplus: {' '.join(str(error).split())}\n")
        return BAD_INPUT
    return 0
