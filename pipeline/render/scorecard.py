# SPDX-License-Identifier: Apache-2.0
"""A report at a glance: how near each stage comes to what it should be, region by region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image

from ..measure import MotionComparison
from .canvas import Canvas, Colour
from .plot import FONT_PX, TITLE_FONT_PX, WIDTH_PX

GOOD, FAIR, POOR, UNKNOWN = (198, 230, 205), (250, 229, 178), (246, 200, 190), (235, 235, 235)
NEAR, FAR = 0.1, 0.25
"""Distances of a gain from 1, of a correlation from 1 and, in frames, of a lag from 0, that are good or fair."""
ROW_PX, NAME_PX, HEAD_PX, TEXT_PX = 34, 150, 76, 30


def scorecard(
    against: Mapping[str, Mapping[str, MotionComparison]], lines: Sequence[str], *, last: str | None
) -> Image.Image:
    """``lines`` of words, then a table: regions down, stages across, gain, correlation and lag in each cell.

    Only the gain of ``last`` is judged by colour, as it should be 1; correlation and lag are judged in every stage.
    """
    regions = list(dict.fromkeys(region for stage in against.values() for region in stage))
    table = HEAD_PX + ROW_PX * len(regions) + 12 if regions else 0
    canvas = Canvas(WIDTH_PX, max(table + TEXT_PX * len(lines) + 16, 60))
    for k, line in enumerate(lines):
        canvas.text(20, 10 + TEXT_PX * k, line, size=FONT_PX + 2)
    top = 10 + TEXT_PX * len(lines)
    width = (WIDTH_PX - NAME_PX - 20) / max(len(against), 1)
    for column, (stage, found) in enumerate(against.items()):
        left = NAME_PX + width * column
        canvas.text(left + width / 2, top + 8, f"{stage} against input", size=TITLE_FONT_PX - 2, anchor="ma")
        for k, name in enumerate(("gain", "correlation", "lag ms")):
            canvas.text(left + width * (k + 0.5) / 3, top + 42, name, size=FONT_PX - 2, anchor="ma")
        for row, region in enumerate(regions):
            if region in found:
                _cells(canvas, (left, top + HEAD_PX + ROW_PX * row, width / 3), found[region], judged=stage == last)
    for row, region in enumerate(regions):
        canvas.text(20, top + HEAD_PX + ROW_PX * (row + 0.5), region, size=FONT_PX, anchor="lm")
    return canvas.image()


def _cells(canvas: Canvas, place: tuple[float, float, float], found: MotionComparison, *, judged: bool) -> None:
    left, top, width = place
    lag = None if found.lag_frames is None else abs(found.lag_frames)
    cells = (
        (found.gain, "{:.2f}", None if found.gain is None or not judged else abs(found.gain - 1)),
        (found.correlation, "{:.3f}", None if found.correlation is None else 1 - found.correlation),
        (found.lag_ms, "{:.1f}", None if lag is None else lag / 4),
    )
    for k, (value, form, distance) in enumerate(cells):
        x = left + width * k
        canvas.rectangle(x + 3, top + 2, x + width - 3, top + ROW_PX - 2, _colour(distance))
        words = "-" if value is None else form.format(value + 0.0)
        canvas.text(x + width / 2, top + ROW_PX / 2, words, size=FONT_PX, anchor="mm")


def _colour(distance: float | None) -> Colour:
    if distance is None:
        return UNKNOWN
    return GOOD if distance <= NEAR else FAIR if distance <= FAR else POOR


def stacked(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one width under each other."""
    whole = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)), "white")
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    return whole
