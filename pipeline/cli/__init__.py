# SPDX-License-Identifier: Apache-2.0
"""The command line. Importing this is cheap, so that Ctrl-C is handled from the first moment on."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType

CANCELLED = 130


class Cancel:
    """The user asked to stop.

    While libraries are loaded that is remembered only: stopped there, numpy makes an ImportError of it, and torch's
    compiled part aborts the process. Afterwards it is raised at once.
    """

    def __init__(self) -> None:
        self.asked, self.loading = False, True

    def __call__(self, _: int, __: FrameType | None) -> None:
        self.asked = True
        if not self.loading:
            raise KeyboardInterrupt

    def loaded(self) -> None:
        """From here on a request to stop is raised, one that was remembered at once."""
        self.loading = False
        if self.asked:
            raise KeyboardInterrupt


def main(words: Sequence[str] | None = None) -> int:
    """Run one command. 0: done; 2: bad input, with one line on stderr; 130: cancelled."""
    cancel = Cancel()
    try:
        for which in (signal.SIGINT, signal.SIGTERM):
            signal.signal(which, cancel)
        from .commands import run  # noqa: PLC0415 - loads torch, which takes a second

        cancel.loaded()
        return run(words)
    except BaseException as error:
        # A library that is loaded later may make another error of it.
        if not cancel.asked and not isinstance(error, KeyboardInterrupt):
            raise
        sys.stderr.write("\nmagplus: cancelled, nothing was written.\n")
        return CANCELLED
