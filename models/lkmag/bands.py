# SPDX-License-Identifier: Apache-2.0
"""Working through a large picture in bands of rows, with the rows around each that its result depends on."""

from __future__ import annotations

from collections.abc import Iterator

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
