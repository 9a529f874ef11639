"""The command line. Importing this is cheap, so that Ctrl-C is handled from the first moment on."""

from __future__ import annotations

import sys
from collections.abc import Sequence

CANCELLED = 130


def main(words: Sequence[str] | None = None) -> int:
    """Run one command. 0: done; 2: bad input, with one line on stderr; 130: cancelled."""
    try:
        from .main import run  # noqa: PLC0415 - loads torch, which takes a second

        return run(words)
    except KeyboardInterrupt:
        sys.stderr.write("\nmagplus: cancelled, nothing was written.\n")
        return CANCELLED
