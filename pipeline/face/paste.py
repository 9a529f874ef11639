# SPDX-License-Identifier: Apache-2.0
"""The way back from a crop: what was done to it, done to the whole picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ...models.errors import MagPlusError
from ...models.geometry import Similarity, compose, inverse, similarity
from ...models.warp import smooth_step
from ..clip import CHUNK, Clip
from ..progress import Progress, silent
from .clip_crop import ClipCrop
from .crop import Crop, resampled

PasteMode = Literal["difference", "replace"]
PASTE_MODES: tuple[PasteMode, ...] = ("difference", "replace")


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A rectangle of a picture that something seen through a similarity covers.

    ``to_patch`` maps the processed picture's coordinates to the patch's; ``weight`` ``(h, w)`` is 1 inside, and goes
    smoothly to 0 at the edge of what was processed.
    """

    top: int
    left: int
    weight: Tensor
    to_patch: Similarity

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.weight.shape[0], self.weight.shape[1]

    def of(self, picture: Tensor) -> Tensor:
        """That part of a picture ``(C, H, W)``."""
        height, width = self.size
        return picture[:, self.top : self.top + height, self.left : self.left + width]


def patch_for(
    to_processed: Similarity, processed: tuple[int, int], picture: tuple[int, int], *, feather: float
) -> Patch | None:
    """Where a processed picture (height, width) lies in a picture; None where it lies outside.

    ``feather`` is the width of its soft edge as a part of its smaller side, 0 to 0.5.
    """
    to_picture = inverse(to_processed)
    height, width = processed
    edges = [(x, y, 1.0) for x in (-0.5, width - 0.5) for y in (-0.5, height - 0.5)]
    corners = np.array(edges) @ to_picture.T
    left, top = (max(0, math.ceil(value)) for value in corners.min(0))
    right, bottom = (min(n - 1, math.floor(v)) for v, n in zip(corners.max(0), (picture[1], picture[0]), strict=True))
    if right < left or bottom < top:
        return None
    x, y = np.meshgrid(np.arange(left, right + 1, dtype=np.float64), np.arange(top, bottom + 1, dtype=np.float64))
    at = np.einsum("ij,jhw->ihw", to_processed[:, :2], np.stack([x, y])) + to_processed[:, 2].reshape(2, 1, 1)
    inner = np.minimum(np.minimum(at[0] + 0.5, width - 0.5 - at[0]), np.minimum(at[1] + 0.5, height - 0.5 - at[1]))
    soft = feather * min(height, width)
    weight = smooth_step(torch.from_numpy(inner / soft)) if soft > 0 else torch.from_numpy(inner >= 0)
    away = similarity(1, 0, (left, top), (0, 0))
    return Patch(top=top, left=left, weight=weight.float(), to_patch=compose(away, to_picture))


def put(
    picture: Tensor, processed: Tensor, before: Tensor | None, patch: Patch | None, mask: Tensor | None = None
) -> Tensor:
    """A picture ``(3, H, W)`` into which ``processed`` ``(3, h, w)`` was laid.

    With ``before``, what the processed picture was before, only the difference between the two is added: what was not
    touched keeps its bits, whatever the resampling. Without it the processed pixels replace the picture's. ``mask``
    ``(h, w)`` tells where.
    """
    if patch is None:
        return picture
    weight = patch.weight
    if mask is not None:
        weight = weight * resampled(mask[None], patch.to_patch, patch.size, limits=(0, 1))[0]
    part = patch.of(picture)
    if before is None:
        laid = torch.lerp(part, resampled(processed, patch.to_patch, patch.size, limits=(0, 1)), weight)
    else:
        change = weight * resampled(processed - before, patch.to_patch, patch.size)
        # Values beyond 0..1 that were there before are not a result of the change, and stay.
        laid = (part + change).clamp(part.clamp(max=0), part.clamp(min=1))
    out = picture.clone()
    patch.of(out).copy_(laid)
    return out


def paste_back(
    original: Clip,
    processed: Clip,
    crop: ClipCrop,
    *,
    mode: PasteMode = "difference",
    feather: float = 0.1,
    mask: Tensor | None = None,
    progress: Progress = silent,
) -> Iterator[Tensor]:
    """Chunks ``(n, 3, H, W)`` of the original with the processed crops back in their places.

    ``difference`` adds feather x upsampled(processed - crop): an untouched crop gives the original bit for bit, at any
    size and roll. ``replace`` puts the processed pixels in their place. A clip of one frame on either side serves all
    frames of the other, and so does a crop of one frame; all lengths must be known. ``mask`` is ``(N, h, w)`` or
    ``(1, h, w)`` on the processed clip. Frames in which no face was found stay as they are.
    """
    crop.check(original.info, original.info.name)
    count = _common_count(original, processed, crop)
    _check_processed(processed, mask, feather, count)
    out: list[Tensor] = []
    places = _Places(crop, processed.info.height, crop.picture, feather, keep_before=original.info.count == 1)
    pairs = zip(_frames(original, count), _frames(processed, count), strict=True)
    for index, (picture, changed) in enumerate(pairs):
        if index in crop.missing:
            out.append(picture)
        else:
            patch, before = places.at(index, picture if mode == "difference" else None)
            shown = None if mask is None else mask[index if len(mask) > 1 else 0]
            out.append(put(picture, changed, before, patch, shown))
        progress("paste back", index + 1, count, out[-1])
        if len(out) == CHUNK or index + 1 == count:
            yield torch.stack(out)
            out = []


class _Places:
    """Patches and untouched crops, made once where they are the same for all frames."""

    def __init__(
        self, crop: ClipCrop, size: int, picture: tuple[int, int], feather: float, *, keep_before: bool
    ) -> None:
        self._crop, self._size, self._picture, self._feather = crop, size, picture, feather
        self._steady, self._keep_before = len(crop.crops) == 1, keep_before
        self._patch: tuple[Crop, Patch | None] | None = None
        self._before: Tensor | None = None

    def at(self, index: int, picture: Tensor | None) -> tuple[Patch | None, Tensor | None]:
        """The patch of a frame and, given its picture, what its crop was before."""
        if self._patch is None or not self._steady:
            one = self._crop.crop(index)
            one = one if one.size == self._size else one.resized(self._size)
            square = (self._size, self._size)
            self._patch = one, patch_for(one.to_crop, square, self._picture, feather=self._feather)
        one, patch = self._patch
        if picture is None:
            return patch, None
        if self._before is None or not (self._steady and self._keep_before):
            self._before = one.apply(picture[None])[0]
        return patch, self._before


def _common_count(original: Clip, processed: Clip, crop: ClipCrop) -> int:
    counts = {"original": original.info.count, "processed": processed.info.count, "crop": crop.count}
    several = {name: count for name, count in counts.items() if count not in (1, None)}
    if len(set(several.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in several.items())
        raise MagPlusError(f"The numbers of frames do not fit: {told}. Give clips of one length, or of one frame.")
    return next(iter(several.values()), 1)


def _check_processed(processed: Clip, mask: Tensor | None, feather: float, count: int) -> None:
    info = processed.info
    if info.height != info.width:
        raise MagPlusError(f"'{info.name}' has {info.width} x {info.height} px, but a crop is square. Give the crop.")
    if not 0 <= feather <= 0.5:
        raise MagPlusError(f"A feather of {100 * feather:g} % is none. Give 0 to 50 % of the crop's side.")
    if mask is not None and (tuple(mask.shape[1:]) != (info.height, info.width) or len(mask) not in (1, count)):
        raise MagPlusError(
            f"The mask has {len(mask)} frames of {mask.shape[-1]} x {mask.shape[-2]} px, the processed crop "
            f"{info.width} x {info.height} px. Give one mask, or one per frame, of the processed crop's size."
        )


def _frames(clip: Clip, count: int) -> Iterator[Tensor]:
    """``count`` frames; a clip of one is repeated."""
    if clip.info.count == 1:
        still = clip.frame(0)
        for _ in range(count):
            yield still
    else:
        for chunk in clip.chunks(CHUNK):
            yield from chunk
