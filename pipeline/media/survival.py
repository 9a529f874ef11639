# SPDX-License-Identifier: Apache-2.0
"""How much of a clip's motion a written copy of it still shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from torch import Tensor

from ...models.errors import MagPlusError
from ..clip import CHUNK, Clip

Displacement = Callable[[Tensor, Tensor], Tensor]
"""From a reference ``(3, H, W)`` and frames ``(N, 3, H, W)`` to displacement in px ``(N, 2, H, W)``."""


@dataclass(frozen=True, kw_only=True)
class Survival:
    """``gain``: slope of the written displacement on the original one (1: all of it survived, 0: none; nan: there was
    none). ``residual_px``: RMS of what the slope does not explain. ``psnr_db``: of the pictures, inf where equal.
    """

    gain: float
    residual_px: float
    psnr_db: float


def motion_survival(original: Clip, written: Clip, displacement: Displacement, *, reference: int = 0) -> Survival:
    """Compare the motion of two clips, each against its own frame ``reference``, over all pixels and frames.

    The slope goes through the origin: no motion is no motion in both. Both clips are read in step, a chunk at a time.
    Error: clips that differ in size or length.
    """
    first, second = original.info, written.info
    if (first.height, first.width) != (second.height, second.width):
        raise MagPlusError(
            f"{first.name} is {first.width}x{first.height} px, {second.name} {second.width}x{second.height}: "
            "motion can be compared only between clips of one size."
        )
    references = original.frame(reference), written.frame(reference)
    moved = crossed = kept = squared = 0.0
    places = values = 0
    for ours, theirs in _in_step(original, written):
        flow = displacement(references[0], ours).double()
        copy = displacement(references[1], theirs).double()
        moved += float((flow * flow).sum())
        crossed += float((flow * copy).sum())
        kept += float((copy * copy).sum())
        squared += float((ours.double() - theirs.double()).square().sum())
        places += flow.numel() // 2
        values += ours.numel()
    gain = crossed / moved if moved else math.nan
    unexplained = kept - gain * crossed if moved else kept
    return Survival(
        gain=gain,
        residual_px=math.sqrt(max(0.0, unexplained) / places),
        psnr_db=-10 * math.log10(squared / values) if squared else math.inf,
    )


def _in_step(original: Clip, written: Clip) -> Iterator[tuple[Tensor, Tensor]]:
    done = 0
    for ours, theirs in zip_longest(original.chunks(CHUNK), written.chunks(CHUNK)):
        if ours is None or theirs is None or len(ours) != len(theirs):
            shorter = min(0 if ours is None else len(ours), 0 if theirs is None else len(theirs))
            raise MagPlusError(
                f"{original.info.name} and {written.info.name} differ in length: one ends after {done + shorter} "
                "frames. Compare clips of one length."
            )
        done += len(ours)
        yield ours, theirs
