# SPDX-License-Identifier: Apache-2.0
"""Displacement fields: local pushes as of a mouth corner or a brow, drift, rotation and scale of a head."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

MAX_STRAIN = 0.6
"""Change of displacement per px, in the reference or in the truth: more would fold, and faces do not."""

ITERATIONS = 30
"""Fixed-point steps of the inverse; with `MAX_STRAIN` the rest is below 1e-6 of the motion."""


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Sum of gaussian pushes and an affine map about a centre; all in px."""

    centres: Tensor
    """``(K, 2)``."""
    precision: Tensor
    """``(K, 2)``: 1 / (2 sigma^2) along x and y."""
    pushes: Tensor
    """``(K, 2)``."""
    linear: Tensor
    """``(2, 2)``: displacement per px from the middle."""
    drift: Tensor
    """``(2,)``."""
    middle: float

    def __call__(self, at: Tensor) -> Tensor:
        """Displacement ``(P, 2)`` of the points ``(P, 2)``."""
        offset = at[:, None] - self.centres
        weight = torch.exp(-(offset.square() * self.precision).sum(2))
        return weight @ self.pushes + (at - self.middle) @ self.linear.T + self.drift

    def times(self, factor: float) -> Motion:
        """The same motion, ``factor`` times as strong."""
        return replace(self, pushes=self.pushes * factor, linear=self.linear * factor, drift=self.drift * factor)

    def origin(self, at: Tensor) -> Tensor:
        """Points that this motion brings to ``at``."""
        q = at - self(at)
        for _ in range(ITERATIONS):
            q = at - self(q)
        return q


def random_motion(rng: np.random.Generator, size_px: float, *, local: bool = True) -> Motion:
    """A motion whose largest displacement in the picture is 1 px; `Motion.times` gives it a size."""
    count = int(rng.integers(1, 5)) if local else 1
    sigma = np.exp(rng.uniform(math.log(4.0), math.log(22.0), (count, 1))) * rng.uniform(0.7, 1.4, (count, 2))
    angle = rng.uniform(0, math.tau, count)
    size = rng.uniform(0.3, 1, count) if local else np.zeros(count)
    head = rng.uniform(0, 0.5) if local and rng.uniform() < 0.6 else float(not local)
    turn, scale = rng.normal(size=2) * head / size_px
    motion = Motion(
        centres=torch.from_numpy(rng.uniform(0.1, 0.9, (count, 2)) * size_px).float(),
        precision=torch.from_numpy(1 / (2 * sigma**2)).float(),
        pushes=torch.from_numpy(np.stack([np.cos(angle), np.sin(angle)], 1) * size[:, None]).float(),
        linear=torch.tensor([[scale, -turn], [turn, scale]]).float(),
        drift=torch.from_numpy(rng.normal(size=2) * head).float(),
        middle=size_px / 2,
    )
    return motion.times(1 / float(motion(grid(int(size_px))).norm(dim=1).max()))


def strain(motion: Motion, size_px: int) -> float:
    """Largest change of displacement per px in the picture."""
    field = motion(grid(size_px)).view(size_px, size_px, 2)
    across, down = field.diff(dim=1).norm(dim=2).max(), field.diff(dim=0).norm(dim=2).max()
    return float(torch.hypot(across, down))


def grid(size_px: int) -> Tensor:
    """All pixel centres of a square picture, ``(P, 2)`` as x, y, in rows."""
    line = torch.arange(size_px, dtype=torch.float32)
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).view(-1, 2)
