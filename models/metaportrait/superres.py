# SPDX-License-Identifier: Apache-2.0
"""Temporal super-resolution of faces, 256 to 512 px: a U-Net that looks at three neighbouring frames on every level.

Every call sees some frames at once, and a frame is influenced by up to 14 on either side of it. Work goes frame by
frame within each level, and the decoder runs on one frame alone, so memory grows by 70 MB a frame instead of 650.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import MagPlusError
from ..fold import channels_last
from ..precision import check_precision
from .stylegan import STYLE, Condition, StyleDecoder, doubled

Maps = list[Tensor]
"""One ``(1, C, H, W)`` for each frame."""


def unet_channels(size: int) -> int:
    """Of the U-Net's features at a resolution."""
    return min(256, 16384 // size)


class _Residual(nn.Module):
    """Two convolutions with a change of resolution by ``factor`` between them, and a way around both."""

    def __init__(self, channels_in: int, channels_out: int, factor: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_in, 3, padding=1)
        self.conv2 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.skip = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self._factor = factor

    def forward(self, features: Tensor) -> Tensor:
        inner = self._resized(F.leaky_relu(self.conv1(features), 0.2))
        return F.leaky_relu(self.conv2(inner), 0.2) + self.skip(self._resized(features))

    def _resized(self, features: Tensor) -> Tensor:
        return F.interpolate(features, scale_factor=self._factor, mode="bilinear", align_corners=False)


class _Window(nn.Module):
    """Adds to each frame what three neighbours say together; the clip's ends are repeated. Takes maps one by one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1)
        self.conv2 = nn.Conv2d(3 * channels, channels, 3, padding=1)

    def forward(self, maps: Iterable[Tensor]) -> Iterator[Tensor]:
        coming = iter(maps)
        before = now = next(coming)
        for after in coming:
            yield self._of(before, now, after)
            before, now = now, after
        yield self._of(before, now, now)

    def _of(self, before: Tensor, now: Tensor, after: Tensor) -> Tensor:
        return now + self.conv2(F.leaky_relu(self.conv1(torch.cat([before, now, after], dim=1)), 0.2))


def _joined(block: nn.Module, maps: Iterable[Tensor], skips: Maps) -> Iterator[Tensor]:
    """The next finer features of each frame. What came down is given up as it is used."""
    for features in maps:
        yield block(features + skips.pop(0))


def _two_convs(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(channels, channels, 3, padding=1)
    )


class SuperResolver(nn.Module):
    """Frames of a face of half the size ``size`` or of that size to frames of that size."""

    name = "metaportrait_sr"

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        sizes = [2**level for level in range(2, int(math.log2(size)) + 1)]
        widths = [unet_channels(side) for side in sizes]
        down, up = list(pairwise(widths[::-1])), [*pairwise(widths)]
        self.conv_body_first = nn.Conv2d(3, widths[-1], 1)
        self.conv_body_down = nn.ModuleList(_Residual(a, b, 0.5) for a, b in down)
        self.window_down = nn.ModuleList(_Window(b) for _, b in down)
        self.final_conv = nn.Conv2d(256, 256, 3, padding=1)
        self.conv_body_up = nn.ModuleList(_Residual(a, b, 2) for a, b in up)
        self.recurrent_forward = nn.ModuleList(_Window(b) for _, b in up)
        self.condition_scale = nn.ModuleList(_two_convs(b) for _, b in up)
        self.condition_shift = nn.ModuleList(_two_convs(b) for _, b in up)
        # Side outputs of training.
        self.toRGB = nn.ModuleList(nn.Conv2d(b, 3, 1) for _, b in up)
        self.styles = 2 * len(sizes)
        self.final_linear = nn.Linear(256 * 16, self.styles * STYLE)
        self.stylegan_decoder = StyleDecoder(size)

    def fold(self, dtype: torch.dtype = torch.float32) -> SuperResolver:
        """Make it fast, in place, in the precision ``dtype``."""
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                channels_last(part)
        return self.to(dtype)

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Iterator[Tensor]:
        """Pictures ``(1, 3, size, size)`` in [0, 1], one after the other, of frames ``(n, 3, H, W)`` seen together."""
        for picture in self.unclamped(frames):
            yield picture.clamp(0, 1)

    @torch.no_grad()
    def unclamped(self, frames: Tensor) -> Iterator[Tensor]:
        """The same before what is outside [0, 1] is cut off."""
        pyramids, styles = self.analyse(frames)
        for levels, style in zip(pyramids, styles, strict=True):
            yield (self.stylegan_decoder(style, self.conditions(levels)) + 1) / 2

    def analyse(self, frames: Tensor) -> tuple[Iterator[tuple[Tensor, ...]], Tensor]:
        """For each frame its features from coarse to fine, and the styles of all, ``(n, count, 512)``.

        The finest features, the largest, are made when their frame is taken.
        """
        self._check(frames)
        # Nobody needs these again, and they are large: each is made when its frame is taken.
        maps: Iterable[Tensor] = (self._first(frame[None]) for frame in frames)
        skips: list[Maps] = []
        for block, window in zip(self.conv_body_down, self.window_down, strict=True):
            skips.append(list(window(map(block, maps))))
            maps = skips[-1]
        maps = [F.leaky_relu(self.final_conv(features), 0.2) for features in maps]
        flat = torch.cat([features.contiguous().flatten(1) for features in maps])
        styles = self.final_linear(flat).view(len(frames), self.styles, STYLE)
        levels: list[Maps] = []
        *coarser, finest = zip(self.conv_body_up, self.recurrent_forward, strict=True)
        for block, window in coarser:
            maps = list(window(_joined(block, maps, skips.pop())))
            levels.append(maps)
        return zip(*levels, finest[1](_joined(finest[0], maps, skips.pop())), strict=True), styles

    def conditions(self, levels: Sequence[Tensor]) -> Iterator[Condition]:
        """Scale and shift of every level of one frame."""
        for scale, shift, features in zip(self.condition_scale, self.condition_shift, levels, strict=True):
            yield scale(features), shift(features)

    def _first(self, frame: Tensor) -> Tensor:
        centred = frame.float() * 2 - 1
        if frame.shape[-1] != self.size:
            centred = doubled(centred)
        weight = self.conv_body_first.weight
        features = self.conv_body_first(centred.to(weight.dtype).contiguous(memory_format=torch.channels_last))
        return F.leaky_relu(features, 0.2)

    def _check(self, frames: Tensor) -> None:
        check_precision(self.conv_body_first.weight.dtype, frames.device)
        height, width = frames.shape[-2:]
        if height != width or width not in (self.size, self.size // 2):
            raise MagPlusError(
                f"Super-resolution takes squares of {self.size // 2} or {self.size} px, not {width} x {height} px. "
                "Give the generated clip, or crop and resize yours to the face first."
            )
