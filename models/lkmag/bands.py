# SPDX-License-Identifier: Apache-2.0
"""Working through a large picture in bands of rows, with the rows around each that its result depends on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Tensor

BAND_PX = 2**18
"""Pixels of a band: pictures up to 512 x 512 are one."""

ALIGNED = 8
"""Bands begin at multiples of this many rows, which halving in `wide_blur` and in the networks relies on."""

HALO = 64
"""Rows on each side. The widest window reaches 40, the networks 52."""


def bands(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Rows to work on, and which rows of the result to keep; the kept ones make up the whole picture."""
    rows = max(BAND_PX // width // ALIGNED * ALIGNED, ALIGNED)
    if height <= rows + HALO:
        rows = height
    for top in range(0, height, rows):
        low, high = max(top - HALO, 0), min(top + rows + HALO, height)
        yield slice(low, high), slice(top - low, min(top + rows, height) - low)


P = TypeVar("P", bound="Planes")


@dataclass(frozen=True, kw_only=True)
class Planes:
    """Tensors ``(..., h, w)`` of one picture, which are cut and joined alike; what has one row is the same all over."""

    def at(self: P, rows: slice, columns: slice = slice(None)) -> P:
        """A band, or another part."""
        return replace(self, **{name: values[..., rows, columns] for name, values in _planes(self)})

    @classmethod
    def joined(cls: type[P], parts: Sequence[P]) -> P:
        """Bands that make up a picture, from above."""
        # Told by the first band, for the last one may be a single row.
        names = [name for name, _ in _planes(parts[0])]
        return replace(parts[0], **{name: torch.cat([getattr(part, name) for part in parts], -2) for name in names})


def _planes(planes: Planes) -> Iterator[tuple[str, Tensor]]:
    for field in fields(planes):
        values = getattr(planes, field.name)
        if isinstance(values, Tensor) and values.shape[-2] > 1:
            yield field.name, values
