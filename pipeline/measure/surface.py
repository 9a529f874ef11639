# SPDX-License-Identifier: Apache-2.0
"""Smooth surfaces of cubic B-splines over a picture, and the equations by which pixels bend them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Plane = NDArray[np.float32]

KNOTS, LEAST_PX = 24, 8.0
"""Knots along the mean side of a picture, unless they would be nearer to each other than so many px."""
BEND, TILT = 178.0, 0.15
"""What a displacement is expected to do, and does all the same where pixels say so: bend by so many px per (mean
side)^2, which is 1 px over 7.5 % of it, and slope by so many px per px, so that the nearest motion is carried on where
nothing is seen."""
LARGE_PX, SMALL_PX, GIVE = 322.0, 96.0, 1.5
"""Below the first mean side more bending is expected, by this power of it, down to the second. A small face shows fewer
pixels between knots that lie farther apart on it: its motions of 1 px were told 8 % too small, and so 4 %."""
TRACE = 1e-9
"""Part of the stiffness that every knot has of itself: a picture without any slopes asks for no motion."""


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Cubic B-splines on evenly spaced knots: pixels from knots ``(2, rows, columns)``, and back."""

    down: Array
    across: Array
    spacing: float
    """Of the knots, px."""
    bending: Array
    """Energy of the expected bending and tilt of one component, ``(n, n)`` with n = rows x columns."""

    def field(self, knots: Array) -> Plane:
        """Displacement ``(H, W, 2)``."""
        return np.stack([self.down @ part @ self.across.T for part in knots], axis=-1).astype(np.float32)

    def of(self, field: Plane) -> Array:
        """Knots of the surface next to a field."""
        down, across = np.linalg.pinv(self.down), np.linalg.pinv(self.across)
        return np.stack([down @ field[..., k] @ across.T for k in range(2)])

    def seen_by(self, planes: Array) -> Array:
        """Sums of ``planes`` ``(2, H, W)`` over what each knot reaches."""
        return np.stack([self.down.T @ plane @ self.across for plane in planes])

    def gram(self, xx: Plane, xy: Plane, yy: Plane) -> Array:
        """Normal equations ``(2n, 2n)`` from the weighted products of slopes ``(H, W)``."""
        blocks = [self._products(product) for product in (xx, xy, yy)]
        return np.block([[blocks[0], blocks[1]], [blocks[1], blocks[2]]])

    def _products(self, weight: Plane) -> Array:
        rows, columns = self.down.shape[1], self.across.shape[1]
        down = (self.down[:, :, None] * self.down[:, None, :]).reshape(len(self.down), -1)
        across = (self.across[:, :, None] * self.across[:, None, :]).reshape(len(self.across), -1)
        found = (down.T @ weight @ across).reshape(rows, rows, columns, columns)
        return found.transpose(0, 2, 1, 3).reshape(rows * columns, rows * columns)

    def bent(self, knots: Array) -> Array:
        """How much a surface asks to be bent less, of each knot."""
        return np.stack([(self.bending @ part.reshape(-1)).reshape(part.shape) for part in knots])

    def factorised(self, normal: Array) -> Tensor:
        """Cholesky factor of normal equations ``(2n, 2n)`` in which bending counts, too."""
        count = len(self.bending)
        stiff = normal + TRACE * float(self.bending.max()) * np.eye(2 * count)
        for start in (0, count):
            stiff[start : start + count, start : start + count] += self.bending
        found: Tensor = torch.linalg.cholesky(torch.from_numpy(stiff))
        return found

    def solved(self, factor: Tensor, asked: Array) -> Array:
        """Knots ``(2, rows, columns)`` from what is asked of each."""
        found: Array = torch.cholesky_solve(torch.from_numpy(asked.reshape(-1, 1)), factor).numpy()
        return found.reshape(asked.shape)


@lru_cache(maxsize=4)
def surface_of(size: tuple[int, int]) -> Surface:
    """For pictures of one size."""
    side = math.sqrt(size[0] * size[1])
    spacing = max(side / KNOTS, LEAST_PX)
    down, across = (_splines(length, spacing) for length in size)
    bent, tilted, plain = ([np.diff(np.eye(part.shape[1]), n=k, axis=0) for part in (down, across)] for k in (2, 1, 0))
    parts = [(1, bent[0], plain[1]), (2, tilted[0], tilted[1]), (1, plain[0], bent[1])]
    bending = np.sum([factor * np.kron(a.T @ a, b.T @ b) for factor, a, b in parts], axis=0)
    wider = max(1.0, LARGE_PX / max(side, SMALL_PX)) ** GIVE
    # a difference of knots is the slope times their distance, a second one the curvature times its square
    bent_by, tilted_by = wider * BEND * (spacing / max(side, SMALL_PX)) ** 2, TILT * spacing
    tilting = np.sum([np.kron(a.T @ a, b.T @ b) for a, b in ((tilted[0], plain[1]), (plain[0], tilted[1]))], axis=0)
    stiffness = bending / bent_by**2 + tilting / tilted_by**2
    return Surface(down=down, across=across, spacing=spacing, bending=stiffness)


def _splines(length: int, spacing: float) -> Array:
    """Cubic B-splines ``(length, knots)``, one knot beyond each end."""
    knots = np.arange(-1, math.ceil((length - 1) / spacing) + 2)
    apart = np.abs(np.arange(length)[:, None] / spacing - knots)
    inner, outer = (4 - 6 * apart**2 + 3 * apart**3) / 6, (2 - apart) ** 3 / 6
    return np.where(apart < 1, inner, np.where(apart < 2, outer, 0))
