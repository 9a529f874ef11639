# SPDX-License-Identifier: Apache-2.0
"""A clip as the pipeline sees it: a shape, an exact rate, and frames that can be read more than once, in chunks.

Frames are float32 RGB in [0, 1], ``(N, 3, H, W)``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..models.errors import MagPlusError

CHUNK = 4
"""Frames handled at once: enough to fill two cores, small enough that a 1080p chunk stays near 100 MB."""

CHUNK_PIXELS = 1_500_000
"""Of all frames of a chunk together, where memory or Cancel count: one operation of torch on more takes seconds."""


@dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """Size in px, frames per second, and the number of frames (None where a file does not declare it)."""

    height: int
    width: int
    rate: Fraction
    count: int | None
    name: str = "clip"


class Clip(Protocol):
    """Frames that can be iterated any number of times."""

    @property
    def info(self) -> ClipInfo:
        """Size, rate and length."""
        ...

    def chunks(self, size: int = CHUNK) -> Iterator[Tensor]:
        """All frames in order, ``(n, 3, H, W)`` with 1 <= n <= ``size``."""
        ...

    def frame(self, index: int) -> Tensor:
        """One frame ``(3, H, W)``, counted from 0. An index outside the clip is an error that names the length."""
        ...


@dataclass(frozen=True)
class Later:
    """The chunks of a clip from frame ``first`` on; `frame` and the length are still those of the whole clip.

    A clip that can begin anywhere says so by ``chunks_from(first, size)``; of another what lies before is read.
    """

    clip: Clip
    first: int

    @property
    def info(self) -> ClipInfo:
        return self.clip.info

    def chunks(self, size: int = CHUNK) -> Iterator[Tensor]:
        begin = getattr(self.clip, "chunks_from", None)
        if begin is not None:
            yield from begin(self.first, size)
            return
        done = 0
        for chunk in self.clip.chunks(size):
            done += len(chunk)
            if done > self.first:
                yield chunk[max(0, len(chunk) - (done - self.first)) :]

    def frame(self, index: int) -> Tensor:
        return self.clip.frame(index)


def since(clip: Clip, first: int) -> Clip:
    """A clip whose chunks begin at frame ``first``, see `Later`."""
    return clip if first == 0 else Later(clip, first)


@dataclass(frozen=True)
class TensorClip:
    """A clip in memory, ``(T, 3, H, W)``."""

    frames: Tensor
    rate: Fraction = Fraction(25)
    name: str = "clip"

    @property
    def info(self) -> ClipInfo:
        count, _, height, width = self.frames.shape
        return ClipInfo(height=height, width=width, rate=self.rate, count=count, name=self.name)

    def chunks(self, size: int = CHUNK) -> Iterator[Tensor]:
        yield from self.frames.split(size)

    def frame(self, index: int) -> Tensor:
        check_index(index, len(self.frames), self.name)
        return self.frames[index]


@dataclass
class SpooledClip:
    """A clip on disk, 16 bit per channel, for a stage whose result is read more than once.

    The file has no name of its own: the system takes it back when the clip is closed or the process ends, however it
    ends. Rounding to 1/65535 is two orders of magnitude below the noise of an 8-bit camera.
    """

    rate: Fraction
    folder: Path
    name: str = "clip"
    _file: IO[bytes] = field(init=False, repr=False)
    _shape: tuple[int, int] | None = field(init=False, default=None)
    _count: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - closed by close()

    @classmethod
    def of(cls, chunks: Iterable[Tensor], **keywords: Any) -> SpooledClip:
        """Spool all chunks; the file is released if the iteration fails."""
        clip = cls(**keywords)
        try:
            for chunk in chunks:
                clip.append(chunk)
        except BaseException:
            clip.close()
            raise
        return clip

    def append(self, frames: Tensor) -> None:
        """Add frames ``(n, 3, H, W)``; every chunk must have the first one's size."""
        shape = (frames.shape[-2], frames.shape[-1])
        if self._shape not in (None, shape):
            raise MagPlusError(f"{self.name}: frames change size from {self._shape} to {shape}")
        self._shape = shape
        # As the lossless files of `ClipWriter`: a product in float32 would round a thousandth of the values elsewhere.
        values = frames.clamp(0, 1).double().mul(65535).round().to(torch.int32).numpy().astype("<u2")
        self._file.seek(0, 2)
        self._file.write(values.tobytes())
        self._count += len(frames)

    @property
    def info(self) -> ClipInfo:
        height, width = self._shape or (0, 0)
        return ClipInfo(height=height, width=width, rate=self.rate, count=self._count, name=self.name)

    def chunks(self, size: int = CHUNK) -> Iterator[Tensor]:
        for start in range(0, self._count, size):
            yield self._read(start, min(size, self._count - start))

    def frame(self, index: int) -> Tensor:
        check_index(index, self._count, self.name)
        return self._read(index, 1)[0]

    def _read(self, start: int, count: int) -> Tensor:
        height, width = self._shape or (0, 0)
        size = 3 * height * width * 2
        self._file.seek(start * size)
        values = np.frombuffer(self._file.read(count * size), dtype="<u2").astype(np.float32)
        return torch.from_numpy(values / 65535).view(count, 3, height, width)

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def check_index(index: int, count: int, name: str) -> None:
    """Refuse a frame number outside ``0 .. count - 1``."""
    if not 0 <= index < count:
        raise MagPlusError(f"{name} has no frame {index}: it has {count} frames, numbered 0 to {count - 1}.")
