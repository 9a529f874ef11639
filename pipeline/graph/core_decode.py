# SPDX-License-Identifier: Apache-2.0
"""Frames of a file as ComfyUI's own Load Image and Load Video give them (0.33), bit for bit with the same PyAV.

Our own reader is more exact (it honours the file's colour matrix and keeps the precision of every depth); this one
exists so that a graph with core loaders gives the same result without ComfyUI.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.errors import MagPlusError

BLOCK = 32
"""The converter handles this many pixels of a row at once and leaves noise in a row's rest unless it is filled."""

_BYTES = frozenset({"yuvj420p", "yuvj422p", "yuvj444p", "rgb24", "rgba", "pal8"})
"""Pixel formats that arrive as 8-bit RGB; all others are converted to floating point."""


@dataclass(frozen=True, kw_only=True)
class CoreFrames:
    """``images`` (T, H, W, 3) float32, ``alpha`` (T, H, W) or None, and the rate of the file."""

    images: Tensor
    alpha: Tensor | None
    rate: Fraction


def core_frames(path: Path) -> CoreFrames:
    """Decode a whole file into memory."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise MagPlusError(f"{path} holds no pictures. Choose a video or a picture.")
            stream = container.streams.video[0]
            rate = Fraction(stream.average_rate or 1)
            frames = list(_frames(container.decode(stream), Fraction(stream.time_base or 1)))
    except av.FFmpegError as error:
        raise MagPlusError(f"{path} cannot be decoded ({error}). Choose another file.") from error
    if not frames:
        raise MagPlusError(f"{path} holds no frame that can be decoded. Choose another file.")
    whole = torch.from_numpy(np.stack(frames))
    if whole.dtype == torch.uint8:
        whole = whole.float() / 255.0
    alpha = whole[..., 3] if whole.shape[-1] == 4 else None
    return CoreFrames(images=whole[..., :3].contiguous(), alpha=alpha, rate=rate)


def _frames(decoded: Iterator[av.VideoFrame], tick: Fraction) -> Iterator[NDArray[np.generic]]:
    fill: _Fill | None = None
    for frame in decoded:
        clear = frame.format.name == "pal8" or any(part.is_alpha for part in frame.format.components)
        if frame.format.name in _BYTES:
            picture = frame.to_ndarray(format="rgba" if clear else "rgb24")
        else:
            wanted = "gbrapf32le" if clear else "gbrpf32le"
            if frame.width % BLOCK:
                fill = fill or _Fill(frame, tick)
                picture = fill(frame).to_ndarray(format=wanted)[: frame.height, : frame.width]
            else:
                picture = frame.to_ndarray(format=wanted)
        yield np.ascontiguousarray(np.rot90(picture, round(frame.rotation // 90)))


class _Fill:
    """Widens frames to whole blocks by repeating their last row and column."""

    def __init__(self, frame: av.VideoFrame, tick: Fraction) -> None:
        width, height = (-(-side // BLOCK) * BLOCK for side in (frame.width, frame.height))
        self._graph = av.filter.Graph()
        self._start = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format.name, time_base=tick
        )
        widen = self._graph.add("pad", f"{width}:{height}:0:0")
        edges = f"left=0:right={width - frame.width}:top=0:bottom={height - frame.height}:mode=smear"
        smear = self._graph.add("fillborders", edges)
        self._end = self._graph.add("buffersink")
        for one, other in ((self._start, widen), (widen, smear), (smear, self._end)):
            one.link_to(other)
        self._graph.configure()

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        self._start.push(frame)
        return self._end.pull()
