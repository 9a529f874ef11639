# SPDX-License-Identifier: Apache-2.0
"""What the two finest levels of a pyramid know of a motion, summed up in cells of 4 x 4 px.

Of a motion that is the same all over a cell, the sums of squared slopes and of slopes times what is left of the frame
hold everything that the cell's pixels tell, as long as noise is white. So a network that reads them can weigh the
evidence of hundreds of px at a sixteenth of the places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from ..filters import continued
from .levels import ReferenceLevel
from .prior import Estimate, Unexplained

CELL_PX = 4
"""Sides of a cell, in px of the finest level."""
ALIGNED_CELLS = 4
"""Pictures are continued at the right and below to multiples of so many cells: the surveyor halves them twice."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """The last step of a level's search."""

    level: ReferenceLevel
    before: Estimate
    left: Unexplained
    """What ``before`` leaves of the frame."""
    after: Estimate


@dataclass(frozen=True, kw_only=True)
class Sums:
    """One level in cells, everything in px of the finest level."""

    products: Tensor
    """Of both slopes, summed over colours and pixels, ``(N, 3, h, w)``: xx, xy, yy."""
    moments: Tensor
    """Of both slopes and what ``displacement`` leaves of the frame, ``(N, 2, h, w)``."""
    displacement: Tensor
    """Before the last step, ``(N, 2, h, w)``."""
    noise: Tensor
    """Sigma, ``(N, 1, 1, 1)``."""
    coarseness: Tensor
    """How many times the variance that white noise gives it a wide window must expect, ``(N, 1, 1, 1)``."""


@dataclass(frozen=True, kw_only=True)
class Cells:
    """N pictures in cells."""

    fine: Sums
    coarse: Sums
    found: Tensor
    """Mean displacement of the finest level, ``(N, 2, h, w)`` in px; so is the next one."""
    windows: Tensor
    """By the windows alone, none of which stays where noise explains what it sees."""
    variance: Tensor
    """Which noise gives it, ``(N, 1, h, w)`` in px^2."""
    residual: Tensor
    """Mean square of what the last step was to explain, ``(N, 1, h, w)``."""
    least_noise: Tensor
    """Sigma that is assumed at least, ``(N, 1, 1, 1)``."""
    codec: Tensor
    """How surely all that is left is a codec's noise, ``(N, 1, 1, 1)`` in [0, 1]."""

    def each(self, change: Callable[[Tensor], Tensor]) -> Cells:
        """The same with every tensor changed."""

        def changed(values: Tensor | Sums) -> Tensor | Sums:
            return change(values) if isinstance(values, Tensor) else _each(values, change)

        return Cells(**{field.name: changed(getattr(self, field.name)) for field in fields(self)})  # type: ignore[arg-type]


def _each(sums: Sums, change: Callable[[Tensor], Tensor]) -> Sums:
    return Sums(**{field.name: change(getattr(sums, field.name)) for field in fields(sums)})


def cells_of(fine: Settled, coarse: Settled, windows: Tensor) -> Cells:
    """The cells of the two finest levels' last steps; ``windows`` as in `Cells`, ``(N, 2, H, W)``.

    Gradients pass through ``found`` alone.
    """
    count, found = len(windows), _mean(fine.after.displacement, fine.level)
    with torch.no_grad():
        return Cells(
            fine=_sums(fine, count),
            coarse=_sums(coarse, count),
            found=found,
            windows=_mean(windows, fine.level),
            variance=_mean(fine.after.variance[:, None], fine.level),
            residual=_mean(fine.left.residual.square().mean(1, keepdim=True), fine.level),
            least_noise=fine.level.least_noise.expand(count, -1, -1, -1),
            codec=fine.left.blocks.sure,
        )


def _sums(settled: Settled, count: int) -> Sums:
    level, scale = settled.level, 2**settled.level.halvings
    pixels = (CELL_PX // scale) ** 2
    return Sums(
        products=_mean(level.products, level).expand(count, -1, -1, -1) * (pixels / scale**2),
        moments=_mean(settled.left.moments, level) * (pixels / scale),
        displacement=_mean(settled.before.displacement, level) * scale,
        noise=settled.left.noise,
        coarseness=settled.left.blocks.times[:, -1:],
    )


def _mean(values: Tensor, level: ReferenceLevel) -> Tensor:
    """Means in cells."""
    side = CELL_PX >> level.halvings
    return F.avg_pool2d(continued(values, side * ALIGNED_CELLS), side)
