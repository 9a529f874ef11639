# SPDX-License-Identifier: Apache-2.0
"""Frames that show no face in motion but a fault of the recording: black, torn, of another scene.

One such frame would be the largest motion of its clip, give the pattern that everything is measured along, and turn
gain, correlation, lag and alpha into numbers about the fault. It is told from a motion by three marks together: a
fifth of the face or more looks otherwise at once (a blink changes less), it does so from one frame to the
next and is gone as suddenly, and no plausible displacement of the reference explains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...models.geometry import FaceBox
from .flow import LUMA
from .grid import GRID, mask_grid
from .lookup import moved_back

Values = NDArray[np.float64]

CELLS = 8
"""Cells along each side of the face box."""
LEVELS = 10.0
"""Of 255: mean difference from which on a cell looks otherwise, above twice of what is usual for it in this clip."""
SHARE = 0.2
"""Of the face: so much must look otherwise."""
SUDDEN = 3.0
"""How many times more of the face a fault changes than the frames on either side of it have changed."""
JUMP_PCT_FACE = 4.0
"""Displacement that no face makes and takes back from one frame to the next."""
FEWEST_FRAMES = 5


class Looks:
    """How each frame of a clip looks against the reference ``(3, h, w)``, in cells of the face."""

    def __init__(self, first: Tensor, box: FaceBox) -> None:
        self._first, self._box = _luma(first), box
        self._cells: list[Values] = []

    def see(self, frame: Tensor) -> None:
        """The next frame ``(3, h, w)``."""
        self._cells.append(self._otherwise(_luma(frame)))

    def suspects(self) -> list[list[int]]:
        """Runs of neighbouring frames that look otherwise at once; none where that is half of the clip."""
        shares = self._shares(np.stack(self._cells))
        if len(shares) < FEWEST_FRAMES:
            return []
        found = [run for run in runs_of(np.flatnonzero(shares >= SHARE)) if _is_sudden(shares, run)]
        return found if 2 * sum(map(len, found)) < len(shares) else []

    def is_explained(self, frame: Tensor, displacement: Tensor) -> bool:
        """Whether moving ``frame`` back by its ``displacement`` ``(2, h, w)`` in px makes it look as the reference."""
        flow = displacement.permute(1, 2, 0).contiguous().cpu().float().numpy()
        back = torch.from_numpy(moved_back(_luma(frame).numpy(), flow, self._first.numpy()))
        return float(self._shares(self._otherwise(back)[None])[0]) < SHARE

    def _shares(self, cells: Values) -> Values:
        usual = np.median(np.stack(self._cells), axis=0)
        return (cells > LEVELS + 2 * usual).mean(axis=1)

    def _otherwise(self, luma: Tensor) -> Values:
        """Mean difference of each cell ``(CELLS ** 2,)``. A light that changes all alike is no fault."""
        apart = luma - self._first
        fine = torch.from_numpy(mask_grid((apart - apart.mean()).abs(), self._box))
        return F.avg_pool2d(fine[None, None], GRID // CELLS).flatten().numpy()


def jumps(grid: Values, before: Values, after: Values) -> bool:
    """Whether a field ``(2, GRID, GRID)`` in percent of the face is far from those on both sides of it."""
    here, *sides = (np.hypot(*field) for field in (grid, before, after))
    return bool((here > SUDDEN * np.maximum(*sides) + JUMP_PCT_FACE).mean() >= SHARE)


def _luma(frame: Tensor) -> Tensor:
    weights = torch.tensor(LUMA, device=frame.device).view(3, 1, 1)
    return (frame.detach().float() * weights).sum(0).mul(255).cpu()


def runs_of(indices: Sequence[int] | NDArray[np.int64]) -> list[list[int]]:
    """Neighbouring indices together."""
    numbered = groupby(enumerate(int(index) for index in indices), key=lambda pair: pair[1] - pair[0])
    return [list(map(itemgetter(1), run)) for _, run in numbered]


def _is_sudden(shares: Values, run: Sequence[int]) -> bool:
    beside = [shares[k] for k in (run[0] - 1, run[-1] + 1) if 0 <= k < len(shares)]
    return bool(SUDDEN * max(beside, default=np.inf) <= shares[run].min())
