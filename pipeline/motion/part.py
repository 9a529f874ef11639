# SPDX-License-Identifier: Apache-2.0
"""Magnifying no more of a picture than can change: what mask and alpha leave alone is the input's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Tensor

from ...models.contracts import (
    DisplacementMagnifier,
    Magnifier,
    MeasuresAside,
    Part,
    Surroundings,
    WorksOnParts,
)
from ..clip import CHUNK
from ..log import log
from .masks import Mask, grown

MOTION_PX = 32
"""Magnified motion that a part leaves room for at first. A chunk that moves farther is computed again on a larger one,
which depends on nothing but its own frames: whoever goes on in the middle of a clip gets the same bits."""

BAND_MOTION_PX = 128
"""The same with a band of frequencies, whose chunks are not computed twice."""

Watch = Callable[[Tensor, Part, Tensor], None]
"""Is shown each chunk's displacement as it was measured, ``(n, 2, h, w)`` in px before alpha, which part of the picture
that is, and what is magnified of the picture, ``(H, W)`` bool."""


def touched_by(alpha: float | Tensor, mask: Mask | None, picture: Tensor, grow_px: int = 0) -> Tensor:
    """Where anything can change in any frame, ``(H, W)`` bool. Masks of a clip are read once."""
    here = (torch.as_tensor(alpha, device=picture.device) != 1).expand(picture.shape[-2:])
    if mask is None:
        return here
    if isinstance(mask, Tensor):
        return here & (grown(mask, grow_px) > 0).to(here.device)
    seen = torch.zeros_like(here)
    for chunk in mask.chunks(CHUNK):
        seen = seen | (chunk.to(here.device).mean(1) > 0).any(0)
    return here & (grown(seen.float(), grow_px) > 0)


class PartWorker:
    """A magnifier on one clip, given the part of each chunk that can change.

    ``still`` ``(3, H, W)`` is the reference, ``touched`` ``(H, W)`` from `touched_by`.
    """

    def __init__(
        self,
        magnifier: Magnifier,
        still: Tensor,
        alpha: float | Tensor,
        touched: Tensor,
        *,
        motion_px: int = MOTION_PX,
        watch: Watch | None = None,
    ) -> None:
        self._magnifier, self._still, self._alpha, self._touched = magnifier, still, alpha, touched
        self._changed = (torch.as_tensor(alpha, device=still.device) != 1).expand(still.shape[-2:])
        self._motion_px, self._watch = motion_px, watch
        self._strongest = float(alpha.max()) if isinstance(alpha, Tensor) else alpha
        self._states: dict[int, tuple[Part, Any]] = {}
        self._told = False

    @property
    def idle(self) -> bool:
        """Nothing can change."""
        return not bool(self._touched.any())

    def magnified(self, frames: Tensor, mask: Tensor | None) -> Tensor:
        """Whole frames ``(n, 3, H, W)``, the input's own but where they can change; ``mask`` as in `in_step`."""
        if self.idle:
            return frames.clone()
        if not hasattr(self._magnifier, "displacement"):
            part, state = self._place(0)
            return self._put(frames, self._magnifier.run(state, frames, _of(part, mask)), part, mask)
        explicit, room = cast(DisplacementMagnifier, self._magnifier), self._motion_px
        while True:
            part, state = self._place(room)
            fields, measured = self._displacements(state, frames)
            longest = self._longest(fields, part, room)
            if longest <= room or self._part(2 * room) == part:
                break
            room *= 2 ** math.ceil(math.log2(longest / room))
        if self._watch is not None:
            self._watch(measured, part, self._touched)
        made = explicit.render(state, part.of(frames), fields, _of(part, mask))
        return self._put(frames, made, part, mask)

    def displacement(self, frames: Tensor) -> Tensor:
        """Displacement ``(n, 2, h, w)`` of the part that `rendered` takes it for."""
        part, state = self._place(self._motion_px)
        fields, measured = self._displacements(state, frames)
        if self._watch is not None:
            self._watch(measured, part, self._touched)
        return fields

    def rendered(self, frames: Tensor, mask: Tensor | None, fields: Tensor, kept: Tensor) -> Tensor:
        """As `magnified`, where ``kept`` of the ``fields`` is magnified."""
        part, state = self._place(self._motion_px)
        longest = self._longest(kept, part, self._motion_px)
        if longest > self._motion_px and not self._told and part != self._part(2 * self._motion_px):
            self._told = True
            log.warning(
                "The motion in the band is magnified to %.0f px: near the edge of the mask or map what came from "
                "outside may be wrong. Widen it, or lower alpha.",
                longest,
            )
        explicit = cast(DisplacementMagnifier, self._magnifier)
        made = explicit.render(state, part.of(frames), fields, _of(part, mask), kept)
        return self._put(frames, made, part, mask)

    def _displacements(self, state: Any, frames: Tensor) -> tuple[Tensor, Tensor]:
        """What is magnified, and what is shown to ``watch``."""
        if self._watch is not None and hasattr(self._magnifier, "displacements"):
            return cast(MeasuresAside, self._magnifier).displacements(state, frames)
        fields = cast(DisplacementMagnifier, self._magnifier).displacement(state, frames)
        return fields, fields

    def _part(self, room: int) -> Part:
        """What the magnifier must see for motion of so many px."""
        height, width = self._touched.shape
        if not hasattr(self._magnifier, "prepare_part"):
            return Part(rows=slice(0, height), columns=slice(0, width), size=(height, width))
        return part_around(self._touched, cast(WorksOnParts, self._magnifier).surroundings(self._strongest), room)

    def _place(self, room: int) -> tuple[Part, Any]:
        """That part, and the magnifier's state for it."""
        if room not in self._states:
            # Of larger ones the last is kept: a state takes many times the memory of its part of a frame.
            self._states = {one: known for one, known in self._states.items() if one == self._motion_px}
            part = self._part(room)
            if hasattr(self._magnifier, "prepare_part"):
                able = cast(WorksOnParts, self._magnifier)
                self._states[room] = part, able.prepare_part(self._still, self._alpha, part)
            else:
                self._states[room] = part, self._magnifier.prepare(self._still, self._alpha)
        return self._states[room]

    def _longest(self, fields: Tensor, part: Part, room: int) -> float:
        """Length in px of the longest magnified displacement from where the touched pixels may come."""
        near = part_around(self._touched, Surroundings(reach_px=0, aligned_px=1), room)
        rows, columns = (
            slice(a.start - b.start, a.stop - b.start)
            for a, b in ((near.rows, part.rows), (near.columns, part.columns))
        )
        alpha = near.of(self._alpha) if isinstance(self._alpha, Tensor) and self._alpha.ndim else self._alpha
        return float((alpha * fields[..., rows, columns].square().sum(1).sqrt()).max())

    def _put(self, frames: Tensor, made: Tensor, part: Part, mask: Tensor | None) -> Tensor:
        out = frames.clone()
        own = part.of(frames)
        if mask is not None:
            made = torch.where((part.of(mask) > 0).view(-1, 1, *made.shape[-2:]), made, own)
        part.of(out).copy_(torch.where(part.of(self._changed), made, own))
        return out


def part_around(touched: Tensor, needs: Surroundings, room_px: int) -> Part:
    """The smallest part that holds all touched pixels, ``(H, W)`` bool with at least one, and what they need."""
    spans = []
    for other, size in zip((1, 0), touched.shape, strict=True):
        at = touched.any(other).nonzero()
        margin, step = needs.reach_px + room_px, needs.aligned_px
        start = max(int(at[0]) - margin, 0) // step * step
        stop = min(_up(int(at[-1]) + 1 + margin, step), size)
        if stop - start < needs.least_px:
            stop = min(_up(start + needs.least_px, step), size)
            start = max(stop - needs.least_px, 0) // step * step if stop - start < needs.least_px else start
        spans.append(slice(start, stop))
    return Part(rows=spans[0], columns=spans[1], size=(touched.shape[0], touched.shape[1]))


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


def _of(part: Part, mask: Tensor | None) -> Tensor | None:
    return None if mask is None else part.of(mask)


def one_by_one(chunks: Iterator[Tensor], worker: PartWorker) -> Iterator[Tensor]:
    """Displacements ``(1, 2, h, w)`` of the frames of chunks."""
    return (one for chunk in chunks for one in worker.displacement(chunk).split(1))
