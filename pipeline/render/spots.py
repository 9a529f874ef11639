# SPDX-License-Identifier: Apache-2.0
"""Spotted events on the curve that shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from ..measure.annotations import Annotation
from ..measure.arc import CI95, Arc
from ..measure.expression import FaceEvent, FaceSpots
from ..measure.regions import FACE, RegionMotion
from .canvas import INK, SERIES, Canvas, Colour
from .plot import FONT_PX, LEFT_PX, PANEL_HEIGHT_PX, RIGHT_PX, TITLE_FONT_PX, TITLE_HEIGHT_PX, Series, draw_panel

WIDTH_PX = 720
LINE_PX = 30
ANNOTATED: Colour = SERIES[2]
BAR_PX = 8
MOST_LINES = 6


def spot_picture(
    motions: Mapping[str, RegionMotion], spots: FaceSpots, *, annotated: Sequence[Annotation] = ()
) -> Image.Image:
    """What was found in words, then the curves of the regions that show events, with the spans of the events."""
    shown = _shown(motions, spots)
    lines = _lines(spots)
    head = TITLE_HEIGHT_PX + LINE_PX * len(lines)
    span = BAR_PX * 2 + 12
    canvas = Canvas(WIDTH_PX, head + (PANEL_HEIGHT_PX + span) * len(shown))
    title = "no expression" if spots.strongest is None else "expression found"
    canvas.text(WIDTH_PX / 2, TITLE_HEIGHT_PX / 2 + 2, title, size=TITLE_FONT_PX + 2, anchor="mm")
    for k, line in enumerate(lines):
        canvas.text(14, TITLE_HEIGHT_PX + LINE_PX * k, line, size=FONT_PX)
    for k, name in enumerate(shown):
        top = head + k * (PANEL_HEIGHT_PX + span)
        _panel(canvas, top, name=name, motion=motions[name], spots=spots, annotated=annotated)
    return canvas.image()


def _shown(motions: Mapping[str, RegionMotion], spots: FaceSpots) -> list[str]:
    """The two regions with the most prominent events, else the face."""
    strongest: dict[str, float] = {}
    for event in spots.events:
        strongest[event.region] = max(strongest.get(event.region, 0.0), event.main.prominence)
    names = sorted(strongest, key=lambda name: -strongest[name])[:2]
    return names or [FACE if FACE in motions else next(iter(motions))]


def _lines(spots: FaceSpots) -> list[str]:
    lines = [_told(event) for event in spots.events[:MOST_LINES]]
    if len(spots.events) > MOST_LINES:
        lines.append(f"and {len(spots.events) - MOST_LINES} more")
    return lines if spots.strongest is not None else _wrapped(spots.verdict, 72) + lines


def _told(event: FaceEvent) -> str:
    arc = event.main.arc
    return (
        f"{event.label}, {event.region}: {arc.onset_ms:.0f} - {arc.apex_ms:.0f} - {arc.offset_ms:.0f} ms, lasts "
        f"{arc.duration_ms:.0f} +- {CI95 * arc.duration_sigma_ms:.0f} ms"
    )


def _wrapped(words: str, width: int) -> list[str]:
    lines = [""]
    for word in words.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _panel(
    canvas: Canvas,
    top: float,
    *,
    name: str,
    motion: RegionMotion,
    spots: FaceSpots,
    annotated: Sequence[Annotation],
) -> None:
    curve = motion.curve
    times, end = curve.times_ms, float(curve.times_ms[-1]) or 1.0
    fine = np.linspace(0, end, 600)
    series = [
        Series(
            label=name,
            at=times,
            values=curve.values_pct_face,
            colour=SERIES[0],
            band=motion.interval_pct_face,
        )
    ]
    events = [event for event in spots.events if name in event.by_region]
    for k, event in enumerate(events):
        arc = event.by_region[name].arc
        base = float(np.interp(arc.onset_ms, times, curve.values_pct_face))
        beyond = float(np.interp(arc.offset_ms, times, curve.values_pct_face))
        inside = fine[(fine >= arc.onset_ms) & (fine <= arc.offset_ms)]
        if len(inside) > 1:
            line = base + (beyond - base) * (inside - arc.onset_ms) / arc.duration_ms
            label = "fitted" if k == 0 else ""
            series.append(Series(label=label, at=inside, values=line + arc.values(inside), colour=SERIES[1]))
    draw_panel(canvas, top, series, unit="% of face width", end=end)
    _spans(canvas, top + PANEL_HEIGHT_PX, end, [(e.by_region[name].arc, e.label) for e in events], annotated)


def _spans(
    canvas: Canvas, top: float, end: float, arcs: Sequence[tuple[Arc, str]], annotated: Sequence[Annotation]
) -> None:
    """Bars from onset to offset under the axis, a tick at each apex; annotations in a row of their own."""

    def x(at: float) -> float:
        return LEFT_PX + (canvas.width - RIGHT_PX - LEFT_PX) * min(max(at / end, 0.0), 1.0)

    for arc, label in arcs:
        colour = SERIES[1] if label != "blink" else SERIES[5]
        canvas.rectangle(x(arc.onset_ms), top, x(arc.offset_ms), top + BAR_PX, colour)
        at = x(arc.apex_ms)
        canvas.line([(at, top - 3), (at, top + BAR_PX + 3)], INK, width=2)
    for one in annotated:
        low = top + BAR_PX + 4
        canvas.rectangle(x(one.onset_ms), low, x(one.offset_ms), low + BAR_PX, ANNOTATED)
        if one.apex_ms is not None:
            canvas.line([(x(one.apex_ms), low - 2), (x(one.apex_ms), low + BAR_PX + 2)], INK, width=2)
