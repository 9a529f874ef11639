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
BEND, TILT = 100.0, 0.15
"""What a displacement is expected to do, and does all the same where pixels say so: bend by so many px per (mean
side)^2, which is 1 px over 10 % of it, and slope by so many px per px, so that the nearest motion is carried on where
nothing is seen."""
LARGE_PX, SMALL_PX, GIVE = 322.0, 96.0, 1.2
"""Below the first mean side more bending is expected, by this power of it, down to the second. A small face shows fewer
pixels between knots that lie farther apart on it; motions of 1 px on one of 96 px are told 1 to 2 % too small so."""
TRACE = 1e-9
"""Part of the stiffness that every knot has of itself: a picture without any slopes asks for no motion."""


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Cubic B-splines on evenly spaced knots: pixels from knots ``(2, rows, columns)``, and back."""

    down: Array
    across: Array
    spacing: float
    """Of the knots, px."""
    flat_down: Array
    flat_across: Array
    """Pseudo-inverses of both: knots from pixels."""
    stiffness: Array
    """Energy of the expected bending and tilt of one component, ``(n, n)`` with n = rows x columns."""

    def field(self, knots: Array) -> Plane:
        """Displacement ``(H, W, 2)``."""
        return np.stack([self.down @ part @ self.across.T for part in knots], axis=-1).astype(np.float32)

    def of(self, field: Plane) -> Array:
        """Knots of the surface next to a field."""
        return np.stack([self.flat_down @ field[..., k] @ self.flat_across.T for k in range(2)])

    def seen_by(self, planes: Array) -> Array:
        """Sums of ``planes`` ``(2, H, W)`` over what each knot reaches."""
        return np.stack([self.down.T @ plane @ self.across for plane in planes])

    def gram(self, xx: Plane, xy: Plane, yy: Plane) -> Array:
        """Normal equations ``(2n, 2n)`` from the weighted products of slopes ``(H, W)``."""
        (rows, columns), count = (self.down.shape[1], self.across.shape[1]), len(self.stiffness)
        down = (self.down[:, :, None] * self.down[:, None, :]).reshape(len(self.down), -1)
        across = (self.across[:, :, None] * self.across[:, None, :]).reshape(len(self.across), -1)
        found = (down.T @ np.stack([xx, xy, yy]) @ across).reshape(3, rows, rows, columns, columns)
        first, mixed, second = found.transpose(0, 1, 3, 2, 4).reshape(3, count, count)
        return np.block([[first, mixed], [mixed, second]])

    def resisted(self, knots: Array) -> Array:
        """How much each knot of a bent surface is pulled back."""
        return np.stack([(self.stiffness @ part.reshape(-1)).reshape(part.shape) for part in knots])

    def factorised(self, normal: Array) -> Tensor:
        """Cholesky factor of normal equations ``(2n, 2n)`` in which stiffness counts, too."""
        count = len(self.stiffness)
        total = normal + TRACE * float(self.stiffness.max()) * np.eye(2 * count)
        for start in (0, count):
            total[start : start + count, start : start + count] += self.stiffness
        found: Tensor = torch.linalg.cholesky(torch.from_numpy(total))
        return found

    def solved(self, factor: Tensor, asked: Array) -> Array:
        """Knots ``(2, rows, columns)`` from what is asked of each."""
        found: Array = torch.cholesky_solve(torch.from_numpy(asked.reshape(-1, 1)), factor).numpy()
        return found.reshape(asked.shape)


@lru_cache(maxsize=4)
def surface_of(size: tuple[int, int]) -> Surface:
    """For pictures of one size."""
    side = max(math.sqrt(size[0] * size[1]), SMALL_PX)
    spacing = max(side / KNOTS, LEAST_PX)
    down, across = (_splines(length, spacing) for length in size)
    # a difference of knots is the slope times their distance, a second one the curvature times its square
    bend_px = BEND * (spacing / side) ** 2 * max(1.0, LARGE_PX / side) ** GIVE
    (plain_y, tilt_y, bent_y), (plain_x, tilt_x, bent_x) = (
        [_squared(part.shape[1], order) for order in range(3)] for part in (down, across)
    )
    bending = np.kron(bent_y, plain_x) + 2 * np.kron(tilt_y, tilt_x) + np.kron(plain_y, bent_x)
    tilting = np.kron(tilt_y, plain_x) + np.kron(plain_y, tilt_x)
    return Surface(
        down=down,
        across=across,
        spacing=spacing,
        flat_down=np.linalg.pinv(down).astype(np.float64),
        flat_across=np.linalg.pinv(across).astype(np.float64),
        stiffness=bending / bend_px**2 + tilting / (TILT * spacing) ** 2,
    )


def _squared(knots: int, order: int) -> Array:
    """Sum of squares of the differences of that order along one axis, as a form ``(knots, knots)``."""
    differences = np.diff(np.eye(knots), n=order, axis=0)
    return differences.T @ differences


def _splines(length: int, spacing: float) -> Array:
    """Cubic B-splines ``(length, knots)``, one knot beyond each end."""
    knots = np.arange(-1, math.ceil((length - 1) / spacing) + 2)
    apart = np.abs(np.arange(length)[:, None] / spacing - knots)
    inner, outer = (4 - 6 * apart**2 + 3 * apart**3) / 6, (2 - apart) ** 3 / 6
    return np.where(apart < 1, inner, np.where(apart < 2, outer, 0))
