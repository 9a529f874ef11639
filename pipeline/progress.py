# SPDX-License-Identifier: Apache-2.0
"""One tick per frame: progress, a running picture, and the place where a run can be cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor

from .clip import Clip


class Progress(Protocol):
    """Called after every frame of a stage. Raising from it cancels the stage; nothing half-written stays behind."""

    def __call__(self, stage: str, done: int, total: int | None, preview: Tensor | None = None, /) -> None:
        """``done`` of ``total`` frames (None: unknown) of ``stage``; ``preview`` is the last frame ``(3, H, W)``."""
        ...


def silent(stage: str, done: int, total: int | None, preview: Tensor | None = None) -> None:
    """Progress for callers that show none."""


def ticking(clip: Clip, stage: str, progress: Progress) -> Iterator[Tensor]:
    """A clip's chunks, with one tick of progress per frame."""
    done = 0
    for chunk in clip.chunks():
        for frame in chunk:
            done += 1
            progress(stage, done, clip.info.count, frame)
        yield chunk
