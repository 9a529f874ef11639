# SPDX-License-Identifier: Apache-2.0
"""Motion curves as a picture, without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...models.errors import MagPlusError
from ..measure.curve import MotionCurve
from .canvas import INK, SERIES, Canvas, Colour, text_width

Values = NDArray[np.float64]

WIDTH_PX = 1200
PANEL_HEIGHT_PX = 280
TITLE_HEIGHT_PX = 44
FONT_PX, TITLE_FONT_PX = 18, 22
LEFT_PX, RIGHT_PX, BOTTOM_PX = 96, 24, 52
UNIT_PX = 12
LEGEND_ROW_PX = FONT_PX + 8
SAMPLE_PX, GAP_PX = 28, 16
"""Length of the line in front of a label, and the space between two labels."""
GRID_COLOUR: Colour = (225, 225, 225)
LARGER = 3.0
"""Curves whose peaks are further apart than this do not share a panel."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line: ``values`` over ``at`` (ms, or what else the axis shows), and half the height of its noise band."""

    label: str
    at: Values
    values: Values
    colour: Colour
    band: float | None = None


@dataclass(frozen=True)
class _Axes:
    """A panel's place on the canvas (px) and the data it spans."""

    left: float
    top: float
    right: float
    bottom: float
    end: float
    low: float
    high: float

    def x(self, at: float) -> float:
        return self.left + (self.right - self.left) * at / self.end

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * (value - self.low) / (self.high - self.low)


def plot_curves(
    curves: Sequence[tuple[str, MotionCurve]], *, title: str, width: int = WIDTH_PX, shapes: bool = True
) -> Image.Image:
    """Labelled curves in percent of the face width over ms, in up to three panels under each other.

    The first shows the micro-motions with their noise floors (one standard deviation to either side of zero), the
    second those that are more than `LARGER` times as large, such as magnified and generated clips. With ``shapes`` a
    last one shows all of them divided by their peaks, so that their course in time can be compared.
    """
    if not curves:
        raise MagPlusError("There is no curve to plot. Give at least one measured clip.")
    series = [
        Series(
            label=label,
            at=curve.times_ms,
            values=curve.values_pct_face,
            colour=SERIES[k % len(SERIES)],
            band=curve.noise_floor_pct_face,
        )
        for k, (label, curve) in enumerate(curves)
    ]
    panels = [("% of face width", group) for group in _by_size(series)]
    if shapes and len(series) > 1:
        panels.append(("part of own peak", [_normalised(s) for s in series]))
    canvas = Canvas(width, TITLE_HEIGHT_PX + PANEL_HEIGHT_PX * len(panels))
    canvas.text(width / 2, TITLE_HEIGHT_PX / 2 + 4, title, size=TITLE_FONT_PX, anchor="mm")
    end_ms = max(float(s.at[-1]) for s in series) or 1.0
    for k, (unit, group) in enumerate(panels):
        draw_panel(canvas, TITLE_HEIGHT_PX + PANEL_HEIGHT_PX * k, group, unit=unit, end=end_ms)
    return canvas.image()


def _by_size(series: Sequence[Series]) -> list[list[Series]]:
    """All in one panel, or in two where the widest step between neighbouring peaks is large enough."""
    peaks = sorted(float(np.abs(s.values).max()) for s in series)
    steps = [(high / low, high) for low, high in pairwise(peaks) if low > 0]
    step, limit = max(steps, default=(0.0, 0.0))
    if step <= LARGER:
        return [list(series)]
    large = [float(np.abs(s.values).max()) >= limit for s in series]
    return [[s for s, big in zip(series, large, strict=True) if big == which] for which in (False, True)]


def _normalised(series: Series) -> Series:
    peak = float(series.values[np.abs(series.values).argmax()]) or 1.0
    return Series(label=series.label, at=series.at, values=series.values / peak, colour=series.colour)


def draw_panel(
    canvas: Canvas, top: float, series: Sequence[Series], *, unit: str, end: float, across: str = "ms"
) -> None:
    """One set of axes with its lines, noise bands, ticks and legend, `PANEL_HEIGHT_PX` high.

    The axis ``across`` goes from 0 to ``end``.
    """
    reach = [float(v) for s in series for v in (s.values.min(), s.values.max())] + [0.0]
    reach += [sign * s.band for s in series if s.band is not None for sign in (-1, 1)]
    low, high = min(reach), max(reach)
    room = 0.08 * (high - low) or 1.0
    bottom, right = top + PANEL_HEIGHT_PX - BOTTOM_PX, canvas.width - RIGHT_PX
    legend = _legend_rows(series, right - UNIT_PX - text_width(unit, FONT_PX))
    head = top + 14 + LEGEND_ROW_PX * len(legend)
    axes = _Axes(LEFT_PX, head, right, bottom, end, low - room, high + room)
    _bands(canvas, axes, series)
    _ticks(canvas, axes)
    for s in series:
        points = [(axes.x(t), axes.y(v)) for t, v in zip(s.at, s.values, strict=True)]
        canvas.line(points, s.colour, width=2.5)
    canvas.text(UNIT_PX, top + 6, unit, size=FONT_PX)
    canvas.text(axes.right, bottom + 28, across, size=FONT_PX, anchor="ra")
    for k, row in enumerate(legend):
        _draw_legend_row(canvas, right, top + 6 + LEGEND_ROW_PX * k, row)


def _bands(canvas: Canvas, axes: _Axes, series: Sequence[Series]) -> None:
    """Noise floors about zero, the widest first, so that each can be seen."""
    known = [(s.band, s.colour) for s in series if s.band]
    for band, colour in sorted(known, reverse=True):
        pale = (colour[0] // 5 + 204, colour[1] // 5 + 204, colour[2] // 5 + 204)
        canvas.rectangle(axes.left, axes.y(band), axes.right, axes.y(-band), pale)


def _ticks(canvas: Canvas, axes: _Axes) -> None:
    for value in nice_ticks(axes.low, axes.high, 5):
        y = axes.y(value)
        canvas.line([(axes.left, y), (axes.right, y)], INK if value == 0 else GRID_COLOUR)
        canvas.text(axes.left - 8, y, f"{value:g}", size=FONT_PX, anchor="rm")
    for at in nice_ticks(0, axes.end, round((axes.right - axes.left) / 90)):
        x, words = axes.x(at), f"{at:g}"
        canvas.line([(x, axes.bottom), (x, axes.bottom + 6)], INK)
        if x + text_width(words, FONT_PX) / 2 < canvas.width - 2:
            canvas.text(x, axes.bottom + 9, words, size=FONT_PX, anchor="ma")
    frame = [(axes.left, axes.top), (axes.left, axes.bottom), (axes.right, axes.bottom)]
    canvas.line(frame, INK, width=1.5)


def _legend_rows(series: Sequence[Series], room: float) -> list[list[Series]]:
    """Labels in as many rows as they need in ``room`` px."""
    rows: list[list[Series]] = [[]]
    for s in series:
        if rows[-1] and sum(map(_label_width, [*rows[-1], s])) > room:
            rows.append([])
        rows[-1].append(s)
    return rows


def _label_width(series: Series) -> float:
    return SAMPLE_PX + 6 + text_width(series.label, FONT_PX) + GAP_PX


def _draw_legend_row(canvas: Canvas, right: float, top: float, row: Sequence[Series]) -> None:
    x = right + GAP_PX - sum(map(_label_width, row))
    for s in row:
        middle = top + 0.6 * FONT_PX
        canvas.line([(x, middle), (x + SAMPLE_PX, middle)], s.colour, width=4)
        canvas.text(x + SAMPLE_PX + 6, top, s.label, size=FONT_PX)
        x += _label_width(s)


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About ``count`` multiples of 1, 2 or 5 times a power of ten from ``low`` to ``high``."""
    span = high - low
    if not span > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(power * m for m in (1, 2, 5, 10) if power * m * count >= span * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [0.0 if k == 0 else float(f"{k * step:.12g}") for k in range(first, last + 1)]
