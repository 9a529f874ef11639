# SPDX-License-Identifier: Apache-2.0
"""Working through a large picture in bands of rows, with the rows around each that its result depends on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch

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
    """Tensors ``(..., h, w)`` of one picture, which are cut and joined alike."""

    def at(self: P, rows: slice, columns: slice = slice(None)) -> P:
        """A band, or another part."""
        return type(self)(**{name: values[..., rows, columns] for name, values in _tensors(self)})

    @classmethod
    def joined(cls: type[P], parts: Sequence[P]) -> P:
        """Bands that make up a picture, from above."""
        rows = [dict(_tensors(part)) for part in parts]
        return cls(**{name: torch.cat([row[name] for row in rows], -2) for name in rows[0]})


def _tensors(planes: Planes) -> Iterator[tuple[str, Any]]:
    return ((field.name, getattr(planes, field.name)) for field in fields(planes))
