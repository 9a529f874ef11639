# SPDX-License-Identifier: Apache-2.0
"""Onset, apex and offset as a table: what was spotted, what somebody annotated, and how the two agree."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from ...models.errors import MagPlusError

HIT = 0.5
"""Overlap of two events, common time over joint time, from which on they are the same one (MEGC's rule)."""

TIMES = ("onset", "apex", "offset")


class Span(Protocol):
    """Something that begins and ends."""

    @property
    def start_ms(self) -> float:
        """Beginning."""
        ...

    @property
    def stop_ms(self) -> float:
        """End."""
        ...


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """An event that somebody saw; the apex may be unknown."""

    onset_ms: float
    offset_ms: float
    apex_ms: float | None = None
    label: str = ""

    @property
    def start_ms(self) -> float:
        """Onset."""
        return self.onset_ms

    @property
    def stop_ms(self) -> float:
        """Offset."""
        return self.offset_ms


def read_annotations(text: str, rate: Fraction) -> list[Annotation]:
    """Events of a CSV table with a head line.

    Its columns are ``onset_ms``, ``offset_ms`` and, as they like, ``apex_ms`` and ``label``; or the same in frames
    counted from 0: ``onset_frame`` or plain ``onset``, as CASME II and SAMM have them. Other columns are left alone,
    and so are lines without an onset (a table of ours says `none` that way).
    """
    reader = csv.DictReader(io.StringIO(text.strip()))
    names = {name.strip().lower(): name for name in reader.fieldnames or ()}
    found = []
    for row in reader:
        values = {time: _time(row, names, time, rate, reader.line_num) for time in TIMES}
        if values["onset"] is None:
            continue
        if values["offset"] is None or values["offset"] <= values["onset"]:
            raise MagPlusError(f"Annotations, line {reader.line_num}: an event needs an offset after its onset.")
        label = row.get(names.get("label", ""), "") or ""
        found.append(
            Annotation(onset_ms=values["onset"], apex_ms=values["apex"], offset_ms=values["offset"], label=label)
        )
    return found


def _time(row: Mapping[str, Any], names: Mapping[str, str], time: str, rate: Fraction, line: int) -> float | None:
    """A time in ms, None where it is not told."""
    for column, unit_ms in ((f"{time}_ms", 1.0), (f"{time}_frame", 1000 / float(rate)), (time, 1000 / float(rate))):
        if column in names:
            value = (row.get(names[column]) or "").strip()
            try:
                return float(value) * unit_ms if value else None
            except ValueError:
                raise MagPlusError(f"Annotations, line {line}: '{value}' is no {column}. Give a number.") from None
    if time == "apex":
        return None
    raise MagPlusError(f"The annotations have no column {time}_ms or {time}_frame. The first line names the columns.")


def overlap(one: Span, other: Span) -> float:
    """Common time over joint time, 0 to 1."""
    common = min(one.stop_ms, other.stop_ms) - max(one.start_ms, other.start_ms)
    joint = max(one.stop_ms, other.stop_ms) - min(one.start_ms, other.start_ms)
    return max(common, 0.0) / joint if joint > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Pairs of indices (spotted, annotated), and what has no partner."""

    hits: list[tuple[int, int]]
    false: list[int]
    missed: list[int]

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None where there is nothing on either side."""
        total = 2 * len(self.hits) + len(self.false) + len(self.missed)
        return 2 * len(self.hits) / total if total else None


def agreement(spotted: Sequence[Span], annotated: Sequence[Span]) -> Agreement:
    """Partners with an overlap of `HIT` or more, the best first, each once."""
    pairs = [(overlap(s, a), i, k) for i, s in enumerate(spotted) for k, a in enumerate(annotated)]
    hits: list[tuple[int, int]] = []
    for share, i, k in sorted(pairs, reverse=True):
        if share >= HIT and all(i != taken and k != other for taken, other in hits):
            hits.append((i, k))
    return Agreement(
        hits=sorted(hits),
        false=[i for i in range(len(spotted)) if all(i != taken for taken, _ in hits)],
        missed=[k for k in range(len(annotated)) if all(k != other for _, other in hits)],
    )
