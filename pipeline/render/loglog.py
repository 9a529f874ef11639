# SPDX-License-Identifier: Apache-2.0
"""Panels with logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .canvas import INK, Canvas, Colour, Point, text_width

Values = NDArray[np.float64]

FONT_PX, TITLE_PX = 15, 20
GRID: Colour = (228, 228, 228)
MARGINS = (70, 54, 16, 48)
"""Left, top, right, bottom, in px."""
BAR_PX = 2.5
"""Between the bars of two lines at one place."""
COLOURS: tuple[Colour, ...] = (
    (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (150, 120, 0), (90, 90, 90),
    (230, 159, 0),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line through points above zero; others leave a gap."""

    label: str
    at: Values
    values: Values
    colour: Colour
    width: float = 2.5
    low: Values | None = None
    high: Values | None = None
    """Both ends of an interval about each value, drawn as a bar."""


@dataclass(frozen=True, kw_only=True)
class LogPanel:
    """One set of axes; both ends of each must be above zero."""

    title: str
    across: str
    up: str
    x: tuple[float, float]
    y: tuple[float, float]
    lines: Sequence[Line]


def draw_log_panels(panels: Sequence[LogPanel], *, title: str, columns: int = 2, size: tuple[int, int]) -> Image.Image:
    """Panels of ``size`` (width, height) px in rows, under one title, with one legend for all."""
    width, height = size
    rows = -(-len(panels) // columns)
    labels = {line.label: line.colour for panel in panels for line in panel.lines if line.label}
    legend = _legend_rows(list(labels), columns * width - 40)
    head = 40 + 22 * len(legend)
    canvas = Canvas(columns * width, head + rows * height)
    canvas.text(columns * width / 2, 20, title, size=TITLE_PX, anchor="mm")
    for k, names in enumerate(legend):
        _draw_legend(canvas, 20, 40 + 22 * k, [(name, labels[name]) for name in names])
    for k, panel in enumerate(panels):
        _draw(canvas, panel, (k % columns) * width, head + (k // columns) * height, size)
    return canvas.image()


def _legend_rows(labels: Sequence[str], room: float) -> list[list[str]]:
    rows: list[list[str]] = [[]]
    for label in labels:
        if rows[-1] and sum(text_width(name, FONT_PX) + 46 for name in [*rows[-1], label]) > room:
            rows.append([])
        rows[-1].append(label)
    return rows


def _draw_legend(canvas: Canvas, x: float, y: float, entries: Sequence[tuple[str, Colour]]) -> None:
    for name, colour in entries:
        canvas.line([(x, y + 9), (x + 22, y + 9)], colour, width=4)
        canvas.text(x + 28, y, name, size=FONT_PX)
        x += text_width(name, FONT_PX) + 46


def _draw(canvas: Canvas, panel: LogPanel, left: float, top: float, size: tuple[int, int]) -> None:
    (x0, y0), (x1, y1) = (
        (left + MARGINS[0], top + MARGINS[1]),
        (left + size[0] - MARGINS[2], top + size[1] - MARGINS[3]),
    )

    def place(x: float, y: float) -> tuple[float, float]:
        across = math.log(x / panel.x[0]) / math.log(panel.x[1] / panel.x[0])
        up = math.log(y / panel.y[0]) / math.log(panel.y[1] / panel.y[0])
        return x0 + across * (x1 - x0), y1 - min(max(up, 0.0), 1.0) * (y1 - y0)

    for value in _decades(*panel.x):
        x = place(value, panel.y[0])[0]
        canvas.line([(x, y0), (x, y1)], GRID)
        canvas.text(x, y1 + 6, f"{value:g}", size=FONT_PX, anchor="ma")
    for value in _decades(*panel.y):
        y = place(panel.x[0], value)[1]
        canvas.line([(x0, y), (x1, y)], GRID)
        canvas.text(x0 - 6, y, f"{value:g}", size=FONT_PX, anchor="rm")
    for k, line in enumerate(panel.lines):
        _draw_bars(canvas, line, place, aside=(k - (len(panel.lines) - 1) / 2) * BAR_PX)
        run: list[tuple[float, float]] = []
        for at, value in zip(line.at, line.values, strict=True):
            if value > 0 and math.isfinite(value):
                run.append(place(float(at), float(value)))
                continue
            canvas.line(run, line.colour, width=line.width)
            run = []
        canvas.line(run, line.colour, width=line.width)
    canvas.line([(x0, y0), (x0, y1), (x1, y1)], INK, width=1.5)
    canvas.text((x0 + x1) / 2, top + 8, panel.title, size=FONT_PX + 1, anchor="ma")
    canvas.text(left + 8, top + 30, panel.up, size=FONT_PX)
    canvas.text(x1, y1 + 26, panel.across, size=FONT_PX, anchor="ra")


def _draw_bars(canvas: Canvas, line: Line, place: Callable[[float, float], Point], *, aside: float) -> None:
    """Intervals as thin bars, those of different lines beside each other."""
    if line.low is None or line.high is None:
        return
    for at, low, high in zip(line.at, line.low, line.high, strict=True):
        if not (math.isfinite(high) and high > 0):
            continue
        (x, bottom), (_, top) = place(float(at), max(float(low), 1e-9)), place(float(at), float(high))
        canvas.line([(x + aside, bottom), (x + aside, top)], line.colour, width=1.2)


def _decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten; the powers alone where that would be many."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 300 else (1,)
    found = [float(f"{m * 10.0**e:.3g}") for e in exponents for m in steps]
    return [value for value in found if low * 0.999 <= value <= high * 1.001]
