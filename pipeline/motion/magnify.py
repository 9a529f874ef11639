"""MagPlus: magnify the motion of a clip against its reference frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ...models.contracts import AlphaRange, DisplacementMagnifier, Magnifier
from ...models.errors import MagPlusError
from ..clip import CHUNK, Clip
from ..progress import Progress, silent


@torch.no_grad()
def magnify(
    clip: Clip,
    magnifier: Magnifier,
    *,
    alpha: float | Tensor,
    reference: int = 0,
    mask: Tensor | None = None,
    stage: str = "magnify",
    progress: Progress = silent,
) -> Iterator[Tensor]:
    """Chunks ``(n, 3, H, W)`` of the magnified clip.

    ``alpha`` is a number, or a map ``(H, W)`` on the reference frame. That frame, and everything where ``mask``
    ``(H, W)`` is 0 or a map is 1, are the input's own pixels. An alpha outside the magnifier's range is an error.
    """
    still = clip.frame(reference)
    if isinstance(alpha, Tensor):
        alpha = alpha.to(still)
        check_mask(alpha, still, what="map of alpha")
    for factor in (alpha,) if isinstance(alpha, float | int) else alpha.aminmax():
        check_alpha(float(factor), magnifier.alpha_range)
    check_mask(mask, still)
    state = magnifier.prepare(still, alpha, mask)
    done = 0
    for chunk in clip.chunks(CHUNK):
        out = magnifier.run(state, chunk)
        if mask is not None:
            out = torch.where(mask > 0, out, chunk)
        if isinstance(alpha, Tensor):
            out = torch.where(alpha != 1, out, chunk)
        if done <= reference < done + len(chunk):
            out[reference - done] = still
        for frame in out:
            done += 1
            progress(stage, done, clip.info.count, frame)
        yield out


def check_mask(mask: Tensor | None, picture: Tensor, what: str = "mask") -> None:
    """Refuse a mask of another size than its picture ``(3, H, W)``."""
    if mask is not None and mask.shape != picture.shape[1:]:
        raise MagPlusError(
            f"The {what} has {mask.shape[1]} x {mask.shape[0]} px, the clip {picture.shape[2]} x {picture.shape[1]} "
            f"px. Give a {what} of the clip's size."
        )


def check_alpha(alpha: float, allowed: AlphaRange) -> None:
    """Refuse a factor that is no positive number, or outside what the magnifier was made for."""
    if not math.isfinite(alpha) or alpha <= 0:
        raise MagPlusError(f"alpha must be a positive number, not {alpha:g}.")
    if alpha not in allowed:
        raise MagPlusError(f"alpha {alpha:g} is outside the range of this magnifier, {allowed}.")


def estimator_of(magnifier: DisplacementMagnifier) -> Callable[[Tensor, Tensor], Tensor]:
    """The magnifier's displacement as ``(reference, frames) -> displacement``.

    The last two references stay prepared: two clips can be read in step.
    """
    prepared: list[tuple[Tensor, object]] = []

    @torch.no_grad()
    def displacement(reference: Tensor, frames: Tensor) -> Tensor:
        for known, state in prepared:
            if torch.equal(known, reference):
                return magnifier.displacement(state, frames)
        prepared[:] = [*prepared[-1:], (reference, magnifier.prepare(reference, 1.0))]
        return magnifier.displacement(prepared[-1][1], frames)

    return displacement
