# SPDX-License-Identifier: Apache-2.0
"""Writing clips: nothing appears under the wanted name until everything is written, and nothing else ever stays."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol

import av
import torch
from torch import Tensor

from ...models.errors import MagPlusError
from .audio import Audio
from .demux import reason
from .encode import VideoSink
from .formats import Format, check_suffix, format_for
from .partial import Partial
from .sinks import ArraySink, PictureSink, SequenceSink


class Sink(Protocol):
    """Where frames go, below a temporary name."""

    def write(self, frames: Tensor) -> None:
        """Add frames ``(n, 3, H, W)`` in [0, 1]."""
        ...

    def finish(self) -> None:
        """Write what comes last, close, and check that everything arrived."""
        ...

    def abandon(self) -> None:
        """Close without caring for the result."""
        ...


class ClipWriter:
    """Context manager that writes frames to a file, a folder or a numbered sequence.

    ``format`` None: by the name (see `format_for`). Values outside [0, 1] are clipped. ``metadata`` is stored where the
    format has a place for it, ``audio`` where it is a video; sound is cut to the length of the frames.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        rate: Fraction,
        format: Format | None = None,
        audio: Audio | None = None,
        metadata: Mapping[str, str] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self.rate = Fraction(rate)
        self.format = format or format_for(self.path)
        check_suffix(self.path, self.format)
        if audio is not None and self.format.kind != "video":
            raise MagPlusError(
                f"{self.path}: {self.format.name} cannot hold sound. Write an .mkv or .mp4, or no sound."
            )
        self.audio = audio
        self.metadata = dict(metadata or {})
        self.count = 0
        self._sink: Sink | None = None
        self._size: tuple[int, int] | None = None
        self._partial = Partial(self.path, overwrite=overwrite)

    def __enter__(self) -> ClipWriter:
        try:
            self._partial.begin()
            self._sink = self._make_sink()
        except OSError as error:
            self._partial.discard()
            raise self._unwritable(error) from error
        return self

    def write(self, frames: Tensor) -> None:
        """Add frames ``(n, 3, H, W)`` in [0, 1], of one size throughout."""
        if self._sink is None:
            raise RuntimeError("write inside the writer's with block")
        if frames.ndim != 4 or frames.shape[1] != 3:
            raise ValueError(f"frames must be (n, 3, H, W), not {tuple(frames.shape)}")
        self._check(frames)
        frames = frames.detach().to("cpu", torch.float32).clamp(0, 1)
        try:
            self._sink.write(frames)
        except (OSError, av.FFmpegError) as error:
            raise self._unwritable(error) from error
        self.count += len(frames)

    def _check(self, frames: Tensor) -> None:
        size = (frames.shape[2], frames.shape[3])
        if self._size not in (None, size):
            raise MagPlusError(f"{self.path}: frame {self.count} changes the size from {self._size} to {size}.")
        self._size = size
        good = torch.isfinite(frames).flatten(1).all(dim=1)
        if not good.all():
            bad = self.count + int((~good).nonzero()[0])
            raise MagPlusError(
                f"{self.path}: frame {bad} has values that are not numbers (NaN or infinite). Nothing was written."
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sink, self._sink = self._sink, None
        finished = False
        try:
            if kind is None and sink is not None:
                self._finish(sink)
                finished = True
        except (OSError, av.FFmpegError) as failure:
            raise self._unwritable(failure) from failure
        finally:
            if not finished:
                if sink is not None:
                    sink.abandon()
                self._partial.discard()

    def _finish(self, sink: Sink) -> None:
        if self.count == 0:
            raise MagPlusError(f"{self.path}: there was no frame to write. Check the range of the input.")
        sink.finish()
        self._partial.commit()

    def _make_sink(self) -> Sink:
        if self.format.kind == "array":
            return ArraySink(self._partial.path)
        if self.format.kind == "picture":
            return PictureSink(self._partial.path, self.path, self.metadata)
        if self.format.kind == "sequence":
            return SequenceSink(self._partial.path, self.path, self.rate, self.metadata)
        return VideoSink(
            self._partial.path, suffix=self.path.suffix.lower(), rate=self.rate, format=self.format, audio=self.audio,
            metadata=self.metadata,
        )  # fmt: skip

    def _unwritable(self, error: Exception) -> MagPlusError:
        return MagPlusError(
            f"{self.path} could not be written after {self.count} frames ({reason(error)}). "
            "Check free space and permissions of the folder. Nothing was left there."
        )
