# SPDX-License-Identifier: Apache-2.0
"""The command line. Importing this is cheap, so that Ctrl-C is handled from the first moment on."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType

CANCELLED = 130


class Cancel:
    """Remembers that the user asked to stop: a library may swallow the exception, as some do while being imported."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, _: int, __: FrameType | None) -> None:
        self.asked = True
        self.check()

    def check(self) -> None:
        """Stop if asked."""
        if self.asked:
            raise KeyboardInterrupt


def main(words: Sequence[str] | None = None) -> int:
    """Run one command. 0: done; 2: bad input, with one line on stderr; 130: cancelled."""
    cancel = Cancel()
    try:
        for which in (signal.SIGINT, signal.SIGTERM):
            signal.signal(which, cancel)
        from .commands import run  # noqa: PLC0415 - loads torch, which takes a second

        cancel.check()
        return run(words)
    except BaseException as error:
        # A library that is stopped while it is imported may say something else, numpy an ImportError.
        if not cancel.asked and not isinstance(error, KeyboardInterrupt):
            raise
        sys.stderr.write("\nmagplus: cancelled, nothing was written.\n")
        return CANCELLED
