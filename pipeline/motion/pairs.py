# SPDX-License-Identifier: Apache-2.0
"""Pairs of crops that a magnifier is adapted on: the clip's reference and another frame, cut and changed alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...models.errors import MagPlusError
from ..clip import Clip
from ..window import busiest
from .masks import Mask, check_mask

COARSE = 64
"""Sides of crops are multiples of it, so that no flow network has to pad them."""

SMALLEST = 128
"""Below this a crop takes the whole side of the clip instead: RAFT would pad it anyway."""

JITTER = 0.3
"""Largest change of brightness, contrast and saturation, as a part."""

GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """``reference`` and ``frames`` ``(N, 3, h, w)``, a factor for each ``(N,)``, weights ``(N, 1, h, w)`` or None."""

    reference: Tensor
    frames: Tensor
    alpha: Tensor
    region: Tensor | None

    def split(self) -> list[Pairs]:
        """One pair each."""
        return [self._part(slice(k, k + 1)) for k in range(len(self.alpha))]

    def _part(self, which: slice) -> Pairs:
        region = None if self.region is None else self.region[which]
        return replace(
            self, reference=self.reference[which], frames=self.frames[which], alpha=self.alpha[which], region=region
        )


class PairSource:
    """Draws pairs from a clip whose frames can be read in any order.

    ``region`` in [0, 1] weighs the pixels of the reference; crops are drawn where it is not 0. Of masks that change
    over the clip that of the reference counts. ``alphas`` are the smallest and the largest factor; between them their
    logarithm is spread evenly.
    """

    def __init__(
        self, clip: Clip, *, reference: int, region: Mask | None, crop_px: int, alphas: tuple[float, float], seed: int
    ) -> None:
        self._clip, self._alphas = clip, alphas
        self._still = clip.frame(reference)
        count = clip.info.count or 0
        if count < 2:
            raise MagPlusError(f"{clip.info.name} has a single frame; motion needs at least two. Give a clip.")
        check_mask(region, clip, self._still)
        self._region = region if region is None or isinstance(region, Tensor) else region.frame(reference).mean(0)
        if self._region is not None and not bool((self._region > 0).any()):
            raise MagPlusError("The mask of the region is black everywhere. Paint what counts in white.")
        self._others = [index for index in range(count) if index != reference]
        self.crop = (crop_side(clip.info.height, crop_px), crop_side(clip.info.width, crop_px))
        self._random = torch.Generator().manual_seed(seed)

    def draw(self, count: int) -> Pairs:
        """Random frames, places and factors; mirrored and in other light, both crops of a pair alike."""
        drawn = [self._augmented(self._cut(self._frame(), *self._place())) for _ in range(count)]
        return self._pairs(drawn, [self._factor(self._uniform(0, 1)) for _ in range(count)])

    def fixed(self, count: int) -> Pairs:
        """The same pairs whenever asked: frames spread over the clip, cut where it changes most."""
        picks = torch.linspace(0, len(self._others) - 1, min(count, len(self._others))).round().int().unique().tolist()
        frames = [self._clip.frame(self._others[pick]) for pick in picks]
        # A little everywhere, so that a region in which nothing moves is found too.
        change = sum(((frame - self._still).abs().mean(0) for frame in frames), self._still.new_tensor(1e-6))
        place = busiest(change if self._region is None else change * self._region, self.crop)
        spread = [(k + 0.5) / len(frames) for k in range(len(frames))]
        return self._pairs([self._cut(frame, *place) for frame in frames], [self._factor(part) for part in spread])

    def _frame(self) -> Tensor:
        return self._clip.frame(self._others[self._whole(len(self._others))])

    def _place(self) -> tuple[int, int]:
        """Top and left of a crop; with a region around one of its pixels."""
        rooms = [side - cut for side, cut in zip(self._still.shape[-2:], self.crop, strict=True)]
        if self._region is None:
            top, left = (self._whole(room + 1) for room in rooms)
            return top, left
        inside = (self._region > 0).nonzero()
        pixel = inside[self._whole(len(inside))].tolist()
        top, left = (
            min(max(at - self._whole(cut), 0), room) for at, cut, room in zip(pixel, self.crop, rooms, strict=True)
        )
        return top, left

    def _cut(self, frame: Tensor, top: int, left: int) -> list[Tensor]:
        """Reference, frame and, if there is one, region."""
        whole = [self._still, frame, *([] if self._region is None else [self._region[None]])]
        return [picture[:, top : top + self.crop[0], left : left + self.crop[1]] for picture in whole]

    def _augmented(self, crops: list[Tensor]) -> list[Tensor]:
        mirror = self._whole(2) == 1
        still, frame, *region = (crop.flip(-1) if mirror else crop for crop in crops)
        brightness, contrast, saturation = (self._uniform(1 - JITTER, 1 + JITTER) for _ in range(3))
        middle, weights = still.mean(), still.new_tensor(GREY).view(3, 1, 1)

        def lit(picture: Tensor) -> Tensor:
            grey = (picture * weights).sum(0, keepdim=True)
            return (brightness * (middle + contrast * (torch.lerp(grey, picture, saturation) - middle))).clamp(0, 1)

        return [lit(still), lit(frame), *region]

    def _pairs(self, crops: list[list[Tensor]], factors: list[float]) -> Pairs:
        still, frames, *region = (torch.stack(part) for part in zip(*crops, strict=True))
        alpha = torch.tensor(factors, device=still.device)
        return Pairs(reference=still, frames=frames, alpha=alpha, region=region[0] if region else None)

    def _factor(self, part: float) -> float:
        low, high = self._alphas
        return low * (high / low) ** part

    def _uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self._random))

    def _whole(self, below: int) -> int:
        return int(torch.randint(below, (), generator=self._random))


def crop_side(side: int, limit: int) -> int:
    """Side of a crop from a clip's side: a multiple of 64 up to ``limit``; the whole side of a small clip."""
    coarse = min(side, limit) // COARSE * COARSE
    return coarse if coarse >= SMALLEST else min(side, max(limit, SMALLEST))


def log_range(low: float, high: float) -> tuple[float, float]:
    """Both ends, checked."""
    if not (math.isfinite(low) and math.isfinite(high) and 0 < low <= high):
        raise MagPlusError(f"The factors to adapt for cannot go from {low:g} to {high:g}. Give 0 < lowest <= highest.")
    return low, high
