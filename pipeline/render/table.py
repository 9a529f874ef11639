# SPDX-License-Identifier: Apache-2.0
"""Tables of fixed-width text."""

from __future__ import annotations

from collections.abc import Sequence

from ...models.errors import MagPlusError

Cell = str | int | float | None


def render_table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table for a terminal or a report: columns as wide as their widest cell, numbers to the right.

    Floats are given to four significant digits, None (not known) as "-". Every row must have a cell per header.
    """
    for number, row in enumerate(rows):
        if len(row) != len(headers):
            raise MagPlusError(f"Row {number} of the table has {len(row)} cells for {len(headers)} columns.")
    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max(len(line[k]) for line in [list(headers), *texts]) for k in range(len(headers))]
    right = [all(not isinstance(row[k], str) for row in rows) and bool(rows) for k in range(len(headers))]
    lines = [_line(headers, widths, right), "  ".join("-" * width for width in widths)]
    lines += [_line(text, widths, right) for text in texts]
    return "\n".join(lines)


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    placed = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True)]
    return "  ".join(placed).rstrip()
