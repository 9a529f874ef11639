# SPDX-License-Identifier: Apache-2.0
"""MagPlus: magnify the motion of a clip against its reference frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import cast

import torch
from torch import Tensor

from ...models.contracts import AlphaRange, DisplacementMagnifier, Magnifier
from ...models.errors import MagPlusError
from ...models.registry import load_magnifier, needs_displacement
from ..clip import Clip, since
from ..log import log
from ..progress import Progress, silent
from .band import Band, filtered
from .masks import Mask, check_mask, in_step
from .part import BAND_MOTION_PX, MOTION_PX, PartWorker, Watch, one_by_one, touched_by


@torch.no_grad()
def magnify(
    clip: Clip,
    magnifier: Magnifier,
    *,
    alpha: float | Tensor,
    reference: int = 0,
    mask: Mask | None = None,
    grow_mask_px: int = 0,
    band: Band | None = None,
    first: int = 0,
    stage: str = "magnify",
    watch: Watch | None = None,
    progress: Progress = silent,
) -> Iterator[Tensor]:
    """Chunks ``(n, 3, H, W)`` of the magnified clip.

    ``alpha`` is a number, or a map ``(H, W)`` on the reference frame. That frame, and everything where ``mask`` is 0 or
    ``alpha`` is 1, are the input's own pixels; a magnifier that works on parts is given no more than what can change
    and needs around it. With a ``band`` only motion of its frequencies is magnified, the reference frame moves with its
    neighbours, and the clip is read twice. ``watch`` is shown the motion, where the magnifier tells one. An alpha
    outside the magnifier's range is an error, one that its weights were not trained for a warning.
    """
    still = clip.frame(reference)
    if isinstance(alpha, Tensor):
        alpha = alpha.to(still)
        check_mask(alpha, clip, still, what="map of alpha")
    _check_factors(alpha, magnifier)
    check_mask(mask, clip, still)
    if band is not None and first:
        raise MagPlusError("A band of frequencies needs the whole clip, from its first frame on.")
    touched = touched_by(alpha, mask, still, grow_mask_px)
    room = MOTION_PX if band is None else BAND_MOTION_PX
    worker = PartWorker(magnifier, still, alpha, touched, motion_px=room, watch=watch)
    bands = None if band is None else _banded(clip, magnifier, worker, band)
    done = first
    rest = mask if mask is None or isinstance(mask, Tensor) else since(mask, first)
    for chunk, part in in_step(since(clip, first), rest, grow_px=grow_mask_px):
        if bands is None or worker.idle:
            out = worker.magnified(chunk, part)
        else:
            whole, kept = (torch.cat(fields) for fields in zip(*islice(bands, len(chunk)), strict=True))
            out = worker.rendered(chunk, part, whole, kept)
        if bands is None and done <= reference < done + len(chunk):
            out[reference - done] = still
        for frame in out:
            done += 1
            progress(stage, done, clip.info.count, frame)
        yield out


def _banded(clip: Clip, magnifier: Magnifier, worker: PartWorker, band: Band) -> Iterator[tuple[Tensor, Tensor]]:
    """Each frame's displacement ``(1, 2, h, w)`` and what of it lies in the band."""
    needs_displacement(magnifier, purpose="A band of frequencies")
    return filtered(one_by_one(clip.chunks(), worker), band.taps(clip.info.rate))


def _check_factors(alpha: float | Tensor, magnifier: Magnifier) -> None:
    """Refuse factors that the magnifier does not take, and warn of those that it was not trained for."""
    low, high = (float(one) for one in alpha.aminmax()) if isinstance(alpha, Tensor) else (alpha, alpha)
    for factor in (low, high):
        check_alpha(factor, magnifier.alpha_range)
    if low < magnifier.alpha_range.trained_from:
        log.warning(
            "%s was trained for alpha %g and more: what it makes of %.3g is untrained there. 'builtin' is made for it.",
            magnifier.name,
            magnifier.alpha_range.trained_from,
            low,
        )


def check_alpha(alpha: float, allowed: AlphaRange) -> None:
    """Refuse a factor that is no positive number, or outside what the magnifier was made for."""
    if not math.isfinite(alpha) or alpha <= 0:
        raise MagPlusError(f"alpha must be a positive number, not {alpha:g}.")
    if alpha not in allowed:
        raise MagPlusError(f"alpha {alpha:g} is outside the range of this magnifier, {allowed}.")


def measuring(magnifier: Magnifier) -> DisplacementMagnifier:
    """The magnifier where it tells its displacement, otherwise the built-in one, which can measure for it."""
    if hasattr(magnifier, "displacement"):
        return cast(DisplacementMagnifier, magnifier)
    log.info("%s tells no displacement: the built-in magnifier measures", magnifier.name)
    return cast(DisplacementMagnifier, load_magnifier()[0])


def estimator_of(magnifier: DisplacementMagnifier) -> Callable[[Tensor, Tensor], Tensor]:
    """The magnifier's displacement as ``(reference, frames) -> displacement``, by its ``measurer``.

    The last two references stay prepared: two clips can be read in step.
    """
    magnifier = magnifier.measurer()
    prepared: list[tuple[Tensor, object]] = []

    @torch.no_grad()
    def displacement(reference: Tensor, frames: Tensor) -> Tensor:
        for known, state in prepared:
            if torch.equal(known, reference):
                return magnifier.displacement(state, frames)
        prepared[:] = [*prepared[-1:], (reference, magnifier.prepare(reference, 1.0))]
        return magnifier.displacement(prepared[-1][1], frames)

    return displacement
