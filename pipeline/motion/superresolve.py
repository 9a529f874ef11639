# SPDX-License-Identifier: Apache-2.0
"""Larger pictures of a generated face, with neighbouring frames seen together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor

from ...models.errors import MagPlusError
from ..clip import Clip
from ..progress import Progress, silent

WINDOW = 16
"""Frames that upstream hands over at once."""


class Resolver(Protocol):
    """What enlarges: pictures ``(1, 3, S, S)`` in [0, 1], one by one, of frames ``(n, 3, H, W)`` seen together."""

    def __call__(self, frames: Tensor) -> Iterator[Tensor]:
        """The pictures in order."""
        ...


@torch.no_grad()
def superresolve(
    clip: Clip, resolver: Resolver, *, window: int = WINDOW, overlap: int = 0, progress: Progress = silent
) -> Iterator[Tensor]:
    """Enlarged frames ``(1, 3, S, S)``.

    The clip is cut into windows of ``window`` frames, each seen alone. With ``overlap`` 0 they follow each other, as
    upstream has it, and may show a seam. Otherwise that many frames belong to two windows and go from one's picture
    to the other's step by step.
    """
    if not window >= 1 or not 0 <= 2 * overlap <= window:
        raise MagPlusError(f"overlap {overlap} does not go with windows of {window} frames: give at most half of them.")
    pictures = _blended(_windows(clip, window, overlap), resolver, overlap)
    for done, picture in enumerate(pictures, 1):
        progress("superresolve", done, clip.info.count, picture[0])
        yield picture


def _windows(clip: Clip, window: int, overlap: int) -> Iterator[tuple[Tensor, bool]]:
    """Frames of each window, and whether it is the last. All but the first begin with the overlap."""
    frames = chain.from_iterable(clip.chunks(1))
    held: list[Tensor] = []
    fresh = next(frames, None)
    while fresh is not None:
        held.append(fresh)
        fresh = next(frames, None)
        if len(held) == window or fresh is None:
            yield torch.stack(held), fresh is None
            held = held[len(held) - overlap :]


def _blended(windows: Iterable[tuple[Tensor, bool]], resolver: Resolver, overlap: int) -> Iterator[Tensor]:
    """Pictures of all windows, those in two of them blended."""
    earlier: list[Tensor] = []
    for frames, last in windows:
        later: list[Tensor] = []
        for index, made in enumerate(resolver(frames)):
            picture = made
            if index < len(earlier):
                picture = torch.lerp(earlier[index], made, (index + 1) / (len(earlier) + 1))
            if last or index < len(frames) - overlap:
                yield picture
            else:
                later.append(picture)
        earlier = later
