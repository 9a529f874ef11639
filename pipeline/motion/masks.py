# SPDX-License-Identifier: Apache-2.0
"""Masks of a clip: one for all frames, or another clip with one for each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.errors import MagPlusError
from ..clip import CHUNK, Clip

Mask = Tensor | Clip
"""``(H, W)`` in [0, 1] for all frames, or a clip whose frames are the masks."""


def in_step(clip: Clip, mask: Mask | None, *, grow_px: int = 0) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Chunks ``(n, 3, H, W)`` of a clip, each with its mask: ``(H, W)``, ``(n, H, W)``, or None."""
    if mask is None or isinstance(mask, Tensor):
        still = None if mask is None else grown(mask, grow_px)
        yield from ((chunk, still) for chunk in clip.chunks(CHUNK))
        return
    each = (one for chunk in mask.chunks(CHUNK) for one in chunk.mean(1))
    for chunk in clip.chunks(CHUNK):
        masks = list(islice(each, len(chunk)))
        if len(masks) < len(chunk):
            raise MagPlusError(f"{mask.info.name} has fewer masks than {clip.info.name} has frames. {_ADVICE}")
        yield chunk, grown(torch.stack(masks).to(chunk), grow_px)


_ADVICE = "Give one mask for the whole clip, or one per frame."


def check_mask(mask: Mask | None, clip: Clip, picture: Tensor, what: str = "mask") -> None:
    """Refuse masks of another size than their picture ``(3, H, W)``, or of another number than the frames."""
    if mask is None:
        return
    height, width = mask.shape if isinstance(mask, Tensor) else (mask.info.height, mask.info.width)
    if (height, width) != picture.shape[1:]:
        raise MagPlusError(
            f"The {what} has {width} x {height} px, the clip {picture.shape[2]} x {picture.shape[1]} px. "
            f"Give a {what} of the clip's size."
        )
    counts = (None if isinstance(mask, Tensor) else mask.info.count, clip.info.count)
    if None not in counts and counts[0] != counts[1]:
        raise MagPlusError(f"There are {counts[0]} masks for {counts[1]} frames. {_ADVICE}")


def grown(mask: Tensor, px: int) -> Tensor:
    """Masks ``(..., H, W)`` spread by ``px`` in city-block distance: steps to the side, up and down."""
    planes = mask.reshape(1, -1, *mask.shape[-2:])
    for _ in range(px):
        planes = torch.maximum(
            F.max_pool2d(planes, (1, 3), stride=1, padding=(0, 1)),
            F.max_pool2d(planes, (3, 1), stride=1, padding=(1, 0)),
        )
    return planes.view(mask.shape)
