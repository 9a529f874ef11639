# SPDX-License-Identifier: Apache-2.0
"""Ways to look at several clips at once: side by side, wiped over each other, or as a signed difference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

import torch
from torch import Tensor

from ...models.contracts import FlowEstimator, Magnifier
from ...models.errors import MagPlusError
from ..clip import Clip
from ..measure import SPLINE_FIT, displacement_by
from ..motion.magnify import magnify
from ..progress import Progress, silent
from .compare import Panel, grid_frames
from .heat import heat_panels

SIDE_BY_SIDE, WIPE, DIFFERENCE, HEAT_MAP = VIEWS = ("side by side", "wipe", "signed difference", "flow heat-map")

LINE_PX = 2

Labelled = tuple[str, Clip]


def compare_views(
    clips: Sequence[Labelled],
    *,
    view: str,
    magnifier: Magnifier,
    inspection: float = 1.0,
    position: float = 0.5,
    gain: float = 10.0,
    panel_height: int = 256,
    reference: int = 0,
    heat_scale_px: float = 1.0,
    estimator: FlowEstimator = SPLINE_FIT,
    progress: Progress = silent,
) -> Iterator[Tensor]:
    """Chunks ``(n, 3, H, W)`` that show labelled clips; ``inspection`` above 1 adds a row with the motion times that.

    Wipe and difference relate every other clip to the first one, and need clips of one size. The heat-map shows how far
    each place has moved since the reference frame, by ``estimator``, all clips on one scale that ends at
    ``heat_scale_px`` px of the clip.
    """
    if view not in VIEWS:
        raise MagPlusError(f"There is no view '{view}'. Choose one of: {', '.join(VIEWS)}.")
    if view in (WIPE, DIFFERENCE):
        _check_alike(clips, view)
    if view == HEAT_MAP:
        by = displacement_by(estimator)
        rows = [heat_panels(clips, by, scale_px=heat_scale_px, reference=reference, height=panel_height)]
    else:
        rows = [_panels([(label, clip.chunks()) for label, clip in clips], view, position, gain)]
    if inspection > 1:
        enlarged = [
            (
                f"{label}, motion x {inspection:g}",
                magnify(clip, magnifier, alpha=inspection, reference=reference, stage="inspect"),
            )
            for label, clip in clips
        ]
        rows.append(_panels(enlarged, SIDE_BY_SIDE if view == HEAT_MAP else view, position, gain))
    done, total = 0, clips[0][1].info.count
    for chunk in grid_frames(rows, panel_height=panel_height):
        for frame in chunk:
            done += 1
            progress("compare", done, total, frame)
        yield chunk


def _check_alike(clips: Sequence[Labelled], view: str) -> None:
    if len(clips) < 2:
        raise MagPlusError(
            f"The view '{view}' needs two clips or more. Connect another one, or choose '{SIDE_BY_SIDE}'."
        )
    (first, clip), *others = clips
    for label, other in others:
        sizes = [(c.info.width, c.info.height) for c in (clip, other)]
        if sizes[0] != sizes[1]:
            raise MagPlusError(
                f"'{label}' has {sizes[1][0]} x {sizes[1][1]} px, '{first}' {sizes[0][0]} x {sizes[0][1]} px. The view "
                f"'{view}' needs clips of one size; '{SIDE_BY_SIDE}' takes any."
            )


def _panels(clips: Sequence[tuple[str, Iterable[Tensor]]], view: str, position: float, gain: float) -> list[Panel]:
    if view == SIDE_BY_SIDE:
        return [Panel(label, chunks) for label, chunks in clips]
    (first, ours), *others = clips
    copies = Shared(ours, len(others))
    if view == WIPE:
        return [Panel(f"{first} | {label}", wiped(copies.take(k), c, position)) for k, (label, c) in enumerate(others)]
    return [
        Panel(f"{label} - {first}, x {gain:g}", difference(copies.take(k), c, gain))
        for k, (label, c) in enumerate(others)
    ]


class Shared:
    """Chunks of one iterator for several readers that go in step; only what somebody still waits for is kept."""

    def __init__(self, chunks: Iterable[Tensor], readers: int) -> None:
        self._source = iter(chunks)
        self._waiting: list[list[Tensor]] = [[] for _ in range(readers)]

    def take(self, reader: int) -> Iterator[Tensor]:
        """All chunks, for one of the readers."""
        while True:
            if not self._waiting[reader]:
                chunk = next(self._source, None)
                if chunk is None:
                    return
                for queue in self._waiting:
                    queue.append(chunk)
            yield self._waiting[reader].pop(0)


def wiped(left: Iterable[Tensor], right: Iterable[Tensor], position: float) -> Iterator[Tensor]:
    """``left`` up to ``position`` (0 to 1 of the width), then a thin line, then ``right``."""
    for ours, theirs in _in_step(left, right):
        width = ours.shape[-1]
        column = round(position * width)
        out = theirs.clone()
        out[..., :column] = ours[..., :column]
        if 0 < column < width:
            out[..., max(0, column - LINE_PX // 2) : column + LINE_PX // 2] = 1.0
        yield out


def difference(first: Iterable[Tensor], second: Iterable[Tensor], gain: float) -> Iterator[Tensor]:
    """``second`` less ``first``, times ``gain``, about a middle grey of 0.5: brighter is more."""
    for ours, theirs in _in_step(first, second):
        yield (0.5 + 0.5 * gain * (theirs - ours)).clamp(0, 1)


def _in_step(first: Iterable[Tensor], second: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    for ours, theirs in zip_longest(first, second):
        if ours is None or theirs is None or len(ours) != len(theirs):
            raise MagPlusError("The clips have different lengths. Load or cut them to the same number of frames.")
        yield ours.detach().to("cpu", torch.float32), theirs.detach().to("cpu", torch.float32)
