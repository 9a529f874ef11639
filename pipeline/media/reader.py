# SPDX-License-Identifier: Apache-2.0
"""One way in for everything that holds frames: videos, animations, stills, folders and sequences of them, arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.errors import MagPlusError
from ..clip import CHUNK, ClipInfo, check_index
from .arrays import open_array
from .audio import AudioTrack, open_audio
from .stills import in_folder, in_pattern, is_animated, is_picture, open_animation, open_pictures
from .timing import exact_rate, first_at, resampled
from .video import open_video


class Source(Protocol):
    """Whatever yields frames from a file. ``times_s``: when each is shown, where known; ``steady``: at a constant rate;
    ``first_s``: the file's own time of frame 0.
    """

    @property
    def path(self) -> Path: ...
    @property
    def name(self) -> str: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def rate(self) -> Fraction: ...
    @property
    def count(self) -> int | None: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def metadata(self) -> Mapping[str, str]: ...
    @property
    def times_s(self) -> NDArray[np.float64] | None: ...
    @property
    def first_s(self) -> Fraction: ...
    @property
    def has_audio(self) -> bool: ...
    @property
    def steady(self) -> bool: ...
    def frames(self, start: int, stop: int | None) -> Iterator[Tensor]:
        """Frames ``(3, H, W)`` from ``start`` to before ``stop``."""
        ...


@dataclass(frozen=True, kw_only=True)
class FileClip:
    """Frames ``start`` to before ``stop`` of a file, decoded anew for every pass.

    ``notes`` are remarks a user should see. ``picks``: for each frame of a resampled clip the source frame it shows.
    """

    source: Source
    start: int
    stop: int | None
    rate: Fraction
    notes: tuple[str, ...]
    picks: NDArray[np.int64] | None = field(default=None, repr=False)

    @property
    def info(self) -> ClipInfo:
        """Size, rate and length; the length is None where only decoding would tell it."""
        count = None if self.stop is None else self.stop - self.start
        if self.picks is not None:
            count = len(self.picks)
        source = self.source
        return ClipInfo(height=source.height, width=source.width, rate=self.rate, count=count, name=source.name)

    @property
    def metadata(self) -> Mapping[str, str]:
        """Text stored with the file, keys in lower case."""
        return self.source.metadata

    @property
    def audio(self) -> AudioTrack | None:
        """Sound that belongs to these frames, or None."""
        if not self.source.has_audio:
            return None
        ends = self.stop if self.stop is not None else self.source.count
        start_s = self._time(self.start)
        return open_audio(self.source.path, start_s, None if ends is None else self._time(ends))

    def _time(self, index: int) -> Fraction:
        """Time of a source frame, or of the end of the last one, on the file's clock."""
        times = self.source.times_s
        if times is None or self.source.steady:
            return self.source.first_s + index / self.source.rate
        after = 1 / self.source.rate if index == len(times) else 0
        return self.source.first_s + Fraction(float(times[min(index, len(times) - 1)])) + after

    def chunks(self, size: int = CHUNK) -> Iterator[Tensor]:
        """All frames in order, ``(n, 3, H, W)`` with 1 <= n <= ``size``."""
        batch: list[Tensor] = []
        for frame in self._frames():
            batch.append(frame)
            if len(batch) == size:
                yield torch.stack(batch)
                batch = []
        if batch:
            yield torch.stack(batch)

    def chunks_from(self, first: int, size: int = CHUNK) -> Iterator[Tensor]:
        """The same from frame ``first`` on, without decoding what lies before it where the file can be entered."""
        if self.picks is None:
            yield from replace(self, start=self.start + first).chunks(size)
            return
        rest = islice(self._frames(), first, None)
        while batch := list(islice(rest, size)):
            yield torch.stack(batch)

    def frame(self, index: int) -> Tensor:
        """One frame ``(3, H, W)``."""
        count = self.info.count
        if count is not None or index < 0:
            check_index(index, count or 0, self.source.name)
        place = self.start + (index if self.picks is None else int(self.picks[index]))
        for frame in self.source.frames(place, place + 1):
            return frame
        raise MagPlusError(f"{self.source.name} has no frame {index}: the file ends before it.")

    def _frames(self) -> Iterator[Tensor]:
        if self.picks is None:
            index = self.start
            for frame in self.source.frames(index, self.stop):
                yield frame
                index += 1
            if self.stop is not None and index < self.stop:
                raise MagPlusError(f"{self.source.path} ends at frame {index}, before the range's end {self.stop}.")
            return
        shows = np.bincount(self.picks)
        for times, frame in zip(shows, self.source.frames(self.start, self.start + len(shows)), strict=True):
            for _ in range(times):
                yield frame


def open_clip(
    path: str | Path,
    *,
    start: int | None = None,
    stop: int | None = None,
    start_s: float | Fraction | None = None,
    stop_s: float | Fraction | None = None,
    rate: float | Fraction | None = None,
    resample_to: float | Fraction | None = None,
) -> FileClip:
    """Open anything that holds frames. The range counts from 0, in frames or in seconds, its end not included.

    ``rate``: frames per second of what carries none of its own (stills, sequences, arrays); 25 without it.
    ``resample_to``: repeat and drop frames to this constant rate; nothing is resampled without it.
    """
    source = _source(Path(path))
    own = exact_rate(rate) if rate else source.rate
    if rate and isinstance(source.times_s, np.ndarray) and own != source.rate:
        raise MagPlusError(
            f"{path} has its own timing ({float(source.rate):.6g} fps); a rate can be given only for pictures and "
            "arrays. To change the rate of a video, resample it."
        )
    first, last = _range(source, own, (start, stop), (start_s, stop_s))
    picks = None
    if resample_to:
        own_rate = own
        own = exact_rate(resample_to)
        picks = _picks(source, first, last, own_rate, own)
    notes = source.notes if picks is None else tuple(n for n in source.notes if not n.startswith("Variable"))
    return FileClip(source=source, start=first, stop=last, rate=own, notes=notes, picks=picks)


def _source(path: Path) -> Source:
    if "%" in path.name and not path.exists():
        files, notes = in_pattern(path)
        return open_pictures(path, files, notes)
    if path.is_dir():
        return open_pictures(path, in_folder(path))
    if not path.is_file():
        raise MagPlusError(f"There is no file {path}. Check its name and folder.")
    if path.stat().st_size == 0:
        raise MagPlusError(f"{path} is empty (0 bytes). Copy or record it again.")
    if path.suffix.lower() == ".npy":
        return open_array(path)
    if is_picture(path):
        return open_animation(path) if is_animated(path) else open_pictures(path, [path])
    return open_video(path)


def _range(
    source: Source,
    rate: Fraction,
    frames: tuple[int | None, int | None],
    seconds: tuple[float | Fraction | None, float | Fraction | None],
) -> tuple[int, int | None]:
    """First frame and the one after the last, from a range in frames or in seconds."""
    if any(f is not None for f in frames) and any(s is not None for s in seconds):
        raise MagPlusError("Give the range in frames or in seconds, not in both.")
    times = None if source.steady else source.times_s
    start, stop = (f if s is None else first_at(s, rate, times) for f, s in zip(frames, seconds, strict=True))
    if stop is not None and seconds[1] is not None and source.count is not None:
        stop = min(stop, source.count)
    start = start or 0
    stop = source.count if stop is None else stop
    length = "an unknown number of" if source.count is None else source.count
    if start < 0 or (stop is not None and stop <= start) or (source.count is not None and (stop or 0) > source.count):
        raise MagPlusError(
            f"{source.path}: the range {start} to {stop} is not in the clip. It has {length} frames, numbered from 0; "
            "the end of a range is not included and must lie after its start."
        )
    return start, stop


def _picks(source: Source, start: int, stop: int | None, rate: Fraction, wanted: Fraction) -> NDArray[np.int64]:
    if stop is None:
        raise MagPlusError(f"{source.path} cannot be resampled: its length is unknown. Convert it to MKV or MP4 first.")
    if source.times_s is None or source.steady:
        times = np.arange(start, stop + 1) / float(rate)
    else:
        end = source.times_s[stop] if stop < len(source.times_s) else source.times_s[-1] + 1 / float(rate)
        times = np.append(source.times_s[start:stop], end)
    return resampled(times[:-1], float(times[-1] - times[-2]), wanted)
