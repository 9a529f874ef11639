# SPDX-License-Identifier: Apache-2.0
"""Events of the parts of a face put together: one event that shows in several parts is one."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .annotations import Annotation, agreement
from .arc import CI95
from .regions import FACE, RegionMotion
from .spot import Event, SpotLimits, Spotted, spot_curve

TOGETHER = 0.25
"""Common time over joint time from which on events of two regions are one."""
EYES = "eyes"
BLINK = 2.5
"""How many times as far as any other part the eyes move in a blink: the lid crosses the eye, brows hardly follow."""
EXPRESSION, BLINKS = "expression", "blink"

COLUMNS = ("onset_ms", "apex_ms", "offset_ms", "duration_ms", "onset_frame", "apex_frame", "offset_frame", "label")


@dataclass(frozen=True, kw_only=True)
class FaceEvent:
    """One event: that of the region where it stands out most, and those of all regions that share it.

    ``label`` is `expression`, or `blink` where hardly more than the lids moves, downwards first.
    """

    region: str
    by_region: Mapping[str, Event]
    label: str

    @property
    def main(self) -> Event:
        """The event in that region."""
        return self.by_region[self.region]

    @property
    def start_ms(self) -> float:
        """Onset."""
        return self.main.start_ms

    @property
    def stop_ms(self) -> float:
        """Offset."""
        return self.main.stop_ms


@dataclass(frozen=True, kw_only=True)
class FaceSpots:
    """All events in the order of time, and what was found in each region."""

    events: list[FaceEvent]
    by_region: Mapping[str, Spotted]

    @property
    def strongest(self) -> FaceEvent | None:
        """The most prominent expression, None if there is none (a blink is none)."""
        shown = [event for event in self.events if event.label == EXPRESSION]
        return max(shown, key=lambda event: event.main.prominence, default=None)

    @property
    def verdict(self) -> str:
        """What was found, in words; begins with `none` where that is no expression."""
        if self.strongest is None:
            blinks = f"{len(self.events)} blink{'s' * (len(self.events) > 1)} only; " if self.events else ""
            reasons = [spotted.reason for name, spotted in self.by_region.items() if spotted.reason and name == FACE]
            return f"none: {blinks}{'; '.join(reasons) or 'nothing else stands out'}"
        arc = self.strongest.main.arc
        return (
            f"{self.strongest.region}: onset {arc.onset_ms:.0f} ms, apex {arc.apex_ms:.0f} ms, offset "
            f"{arc.offset_ms:.0f} ms, duration {arc.duration_ms:.0f} +- {CI95 * arc.duration_sigma_ms:.0f} ms"
        )


def spot_face(motions: Mapping[str, RegionMotion], limits: SpotLimits) -> FaceSpots:
    """Events of each region, put together where they share their time.

    The whole face counts as a region only where no part of it shows the event: its pattern is that of the strongest
    motion, which may be another one.
    """
    spotted = {name: spot_curve(motion.curve, limits) for name, motion in motions.items()}
    single = [(name, event) for name, found in spotted.items() for event in found.events]
    groups: list[dict[str, Event]] = []
    for name, event in sorted(single, key=lambda one: (one[0] == FACE, -one[1].prominence)):
        group = next((g for g in groups if name not in g and _together(event, g)), None)
        if group is None and name == FACE and any(_meets(event, g) for g in groups):
            continue
        if group is None:
            groups.append({name: event})
        else:
            group[name] = event
    events = [_event(group, motions) for group in groups]
    return FaceSpots(events=sorted(events, key=lambda event: event.start_ms), by_region=spotted)


def _together(event: Event, group: Mapping[str, Event]) -> bool:
    first = next(iter(group.values()))
    common = min(event.stop_ms, first.stop_ms) - max(event.start_ms, first.start_ms)
    joint = max(event.stop_ms, first.stop_ms) - min(event.start_ms, first.start_ms)
    return common > TOGETHER * joint


def _meets(event: Event, group: Mapping[str, Event]) -> bool:
    return any(event.start_ms < one.stop_ms and one.start_ms < event.stop_ms for one in group.values())


def _event(group: Mapping[str, Event], motions: Mapping[str, RegionMotion]) -> FaceEvent:
    parts = [name for name in group if name != FACE] or [FACE]
    region = max(parts, key=lambda name: group[name].prominence)
    return FaceEvent(region=region, by_region=group, label=BLINKS if _is_blink(group, motions) else EXPRESSION)


def _is_blink(group: Mapping[str, Event], motions: Mapping[str, RegionMotion]) -> bool:
    if EYES not in group:
        return False
    eyes = group[EYES].arc.height
    others = max((abs(e.arc.height) for name, e in group.items() if name not in (EYES, FACE)), default=0.0)
    return abs(eyes) > BLINK * others and eyes * motions[EYES].direction[1] > 0


def event_numbers(event: FaceEvent) -> dict[str, Any]:
    """An event for JSON: times with half their 95 % intervals, by region."""
    return {
        "label": event.label,
        "region": event.region,
        **_numbers(event.main),
        "by_region": {name: _numbers(one) for name, one in event.by_region.items()},
    }


def _numbers(event: Event) -> dict[str, Any]:
    arc = event.arc
    return {
        "onset_ms": arc.onset_ms,
        "apex_ms": arc.apex_ms,
        "offset_ms": arc.offset_ms,
        "duration_ms": arc.duration_ms,
        "onset_interval_ms": CI95 * arc.onset_sigma_ms,
        "apex_interval_ms": CI95 * arc.apex_sigma_ms,
        "offset_interval_ms": CI95 * arc.offset_sigma_ms,
        "duration_interval_ms": CI95 * arc.duration_sigma_ms,
        "height_pct_face": arc.height,
        "height_interval_pct_face": CI95 * arc.height_sigma,
        "prominence": event.prominence,
    }


def events_csv(events: Sequence[FaceEvent], frame_ms: float) -> str:
    """A line per event, times in ms and in frames counted from 0, as `read_annotations` takes them back.

    Without any event one line says `none`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, "region"])
    for event in events:
        arc = event.main.arc
        times = (arc.onset_ms, arc.apex_ms, arc.offset_ms)
        frames = [f"{time / frame_ms:.2f}" for time in times]
        writer.writerow([*(f"{t:.2f}" for t in (*times, arc.duration_ms)), *frames, event.label, event.region])
    if not events:
        writer.writerow([*[""] * (len(COLUMNS) - 1), "none", ""])
    return text.getvalue()


def agreement_numbers(events: Sequence[FaceEvent], annotated: Sequence[Annotation]) -> dict[str, Any]:
    """Hits with their errors in ms (spotted less annotated), false and missed events, F1."""
    found = agreement(events, annotated)
    hits = []
    for i, k in found.hits:
        arc, truth = events[i].main.arc, annotated[k]
        hits.append(
            {
                "event": i,
                "annotation": k,
                "onset_error_ms": arc.onset_ms - truth.onset_ms,
                "apex_error_ms": None if truth.apex_ms is None else arc.apex_ms - truth.apex_ms,
                "offset_error_ms": arc.offset_ms - truth.offset_ms,
            }
        )
    return {"hits": hits, "false_events": found.false, "missed_annotations": found.missed, "f1": found.f1}
