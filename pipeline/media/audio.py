# SPDX-License-Identifier: Apache-2.0
"""Sound: a part of a file's first audio stream, or samples in memory, as a stream of blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.errors import MagPlusError
from .demux import SEEKABLE, open_container, reason

Block = NDArray[Any]
"""Samples ``(channels, n)``."""

PREROLL_S = 1
"""Decoded and thrown away before the start of a range: the first packets after a seek lack what came before them."""

GAP_S = 0.05
"""Jumps of time stamps below this are rounding; larger ones are holes to fill or overlaps to drop."""


class Audio(Protocol):
    """Sound that can be written beside a clip; its first sample belongs to the clip's first frame."""

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        ...

    @property
    def layout(self) -> str:
        """Channel layout, as FFmpeg names it."""
        ...

    @property
    def sample_format(self) -> str:
        """Planar sample format in which the sound is lossless: s16p, s32p or fltp."""
        ...

    def blocks(self, sample_format: str, sample_rate: int) -> Iterator[Block]:
        """All samples in order, in the wanted form."""
        ...


@dataclass(frozen=True, kw_only=True)
class AudioTrack:
    """First audio stream of a file from ``start_s`` to before ``stop_s``, seconds of the file's own clock."""

    path: Path
    sample_rate: int
    layout: str
    sample_format: str
    start_s: Fraction = Fraction(0)
    stop_s: Fraction | None = None

    def blocks(self, sample_format: str = "fltp", sample_rate: int | None = None) -> Iterator[Block]:
        """Samples from ``start_s`` on, silence where the stream has none yet; ends at ``stop_s`` or with the stream."""
        rate = sample_rate or self.sample_rate
        length = None if self.stop_s is None else round((self.stop_s - self.start_s) * rate)
        place = 0
        try:
            for time, block in self._timed(sample_format, rate):
                aligned = _aligned(block, round((time - self.start_s) * rate), place, rate)
                piece = aligned if length is None else aligned[:, : length - place]
                place += piece.shape[1]
                if piece.shape[1]:
                    yield piece
                if length is not None and place >= length:
                    return
        except av.FFmpegError as error:
            raise MagPlusError(
                f"The sound of {self.path} is damaged after {place / rate:.2f} s ({reason(error)}). "
                "Use an undamaged copy, or write the clip without sound."
            ) from error

    def samples(self) -> Tensor:
        """All samples as float32 ``(channels, n)``, in memory."""
        blocks = list(self.blocks("fltp"))
        return torch.from_numpy(np.concatenate(blocks, axis=1)) if blocks else torch.zeros(1, 0)

    def _timed(self, sample_format: str, rate: int) -> Iterator[tuple[Fraction, Block]]:
        with open_container(self.path) as container:
            stream = container.streams.audio[0]
            if self.start_s > 10 and any(kind in container.format.name for kind in SEEKABLE):
                container.seek(int((self.start_s - PREROLL_S) * av.time_base))
            convert = av.AudioResampler(format=sample_format, layout=self.layout, rate=rate)
            for frame in container.decode(stream):
                for part in convert.resample(frame):
                    yield Fraction(part.pts or 0) * part.time_base, part.to_ndarray()
            for part in convert.resample(None):
                yield Fraction(part.pts or 0) * part.time_base, part.to_ndarray()


def _aligned(block: Block, begins: int, place: int, rate: int) -> Block:
    """Block moved so that it continues at sample ``place``: silence before it, or its beginning dropped."""
    shift = begins - place
    if place > 0 and abs(shift) < GAP_S * rate:
        return block
    if shift > 0:
        return np.concatenate([np.zeros((block.shape[0], shift), block.dtype), block], axis=1)
    return block[:, min(-shift, block.shape[1]) :]


@dataclass(frozen=True, kw_only=True)
class AudioBuffer:
    """Sound in memory: float ``(channels, n)`` in [-1, 1]."""

    waveform: Tensor
    sample_rate: int
    sample_format: str = "fltp"

    @property
    def layout(self) -> str:
        return _usual_layout(len(self.waveform))

    def blocks(self, sample_format: str = "fltp", sample_rate: int | None = None) -> Iterator[Block]:
        """All samples, a second at a time."""
        rate = sample_rate or self.sample_rate
        convert = av.AudioResampler(format=sample_format, layout=self.layout, rate=rate)
        for start in range(0, self.waveform.shape[1], self.sample_rate):
            part = self.waveform[:, start : start + self.sample_rate].float().contiguous().cpu().numpy()
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=self.layout)
            frame.sample_rate, frame.pts, frame.time_base = self.sample_rate, start, Fraction(1, self.sample_rate)
            yield from (piece.to_ndarray() for piece in convert.resample(frame))
        yield from (piece.to_ndarray() for piece in convert.resample(None))


_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


def _usual_layout(channels: int) -> str:
    if channels not in _LAYOUTS:
        raise MagPlusError(f"Sound with {channels} channels is not supported. Give 1 to 8.")
    return _LAYOUTS[channels]


_LOSSLESS = {"u8": "s16p", "s16": "s16p", "s32": "s32p"}


def open_audio(path: Path, start_s: Fraction = Fraction(0), stop_s: Fraction | None = None) -> AudioTrack | None:
    """Sound of a file over a range of its clock, or None where it has none that can be decoded."""
    with open_container(path) as container:
        if not container.streams.audio:
            return None
        context = container.streams.audio[0].codec_context
        if not context.sample_rate or context.format is None:
            return None
        return AudioTrack(
            path=path,
            sample_rate=context.sample_rate,
            # PCM in Matroska and WAVE may tell the number of channels and nothing of their places ("2 channels").
            layout=_usual_layout(context.channels) if "channels" in context.layout.name else context.layout.name,
            sample_format=_LOSSLESS.get(context.format.packed.name, "fltp"),
            start_s=start_s,
            stop_s=stop_s,
        )
