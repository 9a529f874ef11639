# SPDX-License-Identifier: Apache-2.0
"""What the user sees while a command runs: a progress bar, remarks, and the memory it took."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import TextIO

from torch import Tensor

from ..log import log

_WIDTH = 28
_INTERVAL_S = 0.1


class ProgressBar:
    """One line per stage on a terminal, redrawn; elsewhere one line when a stage is done."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._stage = ""
        self._started = self._drawn = 0.0
        self._done = 0

    def __call__(self, stage: str, done: int, total: int | None, preview: Tensor | None = None) -> None:
        now = time.monotonic()
        if stage != self._stage or done <= self._done:
            self.close()
            self._stage, self._started = stage, now
        self._done = done
        finished = done == total
        if finished or (self._live and now - self._drawn >= _INTERVAL_S):
            self._drawn = now
            self._draw(total, now - self._started)
        if finished:
            self._stage = ""

    def _draw(self, total: int | None, seconds: float) -> None:
        per_frame = f"{seconds / self._done:.2f} s/frame"
        if total:
            filled = round(_WIDTH * self._done / total)
            bar = f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {self._done}/{total}"
        else:
            bar = f"{self._done} frames"
        end = "\n" if self._done == total else ""
        self._stream.write(f"{chr(13) if self._live else ''}{self._stage:<10} {bar} {per_frame} {end}")
        self._stream.flush()

    def close(self) -> None:
        """End a line that was being redrawn."""
        if self._live and self._stage:
            self._stream.write("\n")
        self._stage, self._done = "", 0


class Remarks(logging.Handler):
    """Sends remarks and warnings to whatever stderr is at that moment, one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"magplus: {record.getMessage()}\n")


def show_remarks() -> None:
    """Let the pack's remarks and warnings reach the user."""
    if not any(isinstance(handler, Remarks) for handler in log.handlers):
        log.addHandler(Remarks())
        log.setLevel(logging.INFO)


def peak_memory_bytes() -> int | None:
    """Largest resident size of this process so far, where the system tells it."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
