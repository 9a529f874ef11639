# SPDX-License-Identifier: Apache-2.0
"""A video file as frames, as often and from wherever they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from numpy.typing import NDArray
from torch import Tensor

from ...models.errors import MagPlusError
from .colour import rgb_of, turned
from .demux import Scan, decode, opened, reason, scan
from .timing import pace

SIZE_TAG = "magplus_size"
"""Metadata key for the size of a picture that was padded to even sides."""

STRAIGHT = (False, False, False)


@dataclass(frozen=True, kw_only=True)
class VideoFile:
    """A video file as a source of frames. ``first_s``: time stamp of its first frame, to which sound is aligned."""

    path: Path
    name: str
    height: int
    width: int
    rate: Fraction
    count: int | None
    notes: tuple[str, ...]
    metadata: Mapping[str, str]
    times_s: NDArray[np.float64] | None
    first_s: Fraction
    has_audio: bool
    steady: bool
    codec: str
    scan: Scan = field(repr=False)
    lead: int = field(repr=False)
    stored: tuple[int, int] = field(repr=False)
    turn: tuple[bool, bool, bool] = field(repr=False)

    def frames(self, start: int, stop: int | None) -> Iterator[Tensor]:
        """Frames ``(3, H, W)`` from ``start`` to before ``stop``; ends early only where the file does."""
        if stop is not None and stop <= start:
            return
        done = 0
        try:
            for index, picture in self._pictures(start):
                if index >= start:
                    yield self._finished(picture, index)
                done = index + 1
                if done == stop:
                    return
        except av.FFmpegError as error:
            raise self._damaged(done, reason(error)) from error
        expected = self._expected()
        if done == 0 or (expected is not None and done < expected):
            raise self._damaged(done, "the rest is missing")

    def _pictures(self, start: int) -> Iterator[tuple[int, Any]]:
        """Numbered pictures, from ``start`` where it can be sought and from 0 elsewhere."""
        with opened(self.path) as (container, stream):
            pictures = decode(container, stream, self.scan, sought=start > 0)
            target = self._target(start)
            if target is not None and (first := self._sought(target, container, stream, pictures)):
                yield start, first
                yield from enumerate(pictures, start + 1)
                return
        with opened(self.path) as (container, stream):
            yield from enumerate(decode(container, stream, self.scan))

    def _target(self, start: int) -> int | None:
        """Time stamp of a frame that a seek can reach and save work by reaching."""
        index = start + self.lead
        if start == 0 or not self.scan.seekable or index >= len(self.scan.pts) or not len(self.scan.keys):
            return None
        target = int(self.scan.pts[index])
        return target if self.scan.keys[0] <= target else None

    def _sought(self, target: int, container: Any, stream: Any, pictures: Iterator[Any]) -> Any:
        """Picture with the time stamp ``target``. None where the index misleads: then all before it is decoded too."""
        key = self.scan.keys[np.searchsorted(self.scan.keys, target, side="right") - 1]
        try:
            container.seek(int(key), stream=stream)
            first = next((p for p in pictures if p.pts is None or p.pts >= target), None)
        except av.FFmpegError:
            return None
        return first if first is not None and first.pts == target else None

    def _finished(self, frame: Any, index: int) -> Tensor:
        if frame.is_corrupt:
            raise self._damaged(index, "the next one is broken")
        if (frame.height, frame.width) != self.stored:
            raise MagPlusError(
                f"{self.path}: frame {index} is {frame.width}x{frame.height} px, those before it "
                f"{self.stored[1]}x{self.stored[0]}. Convert the video to one size first."
            )
        try:
            rgb = rgb_of(frame, self.codec)
        except MagPlusError as error:
            raise MagPlusError(f"{self.path}: {error}") from error
        return turned(rgb, self.turn)[:, : self.height, : self.width].contiguous()

    def _expected(self) -> int | None:
        return self.scan.promised - self.lead if self.scan.promised else self.count

    def _damaged(self, done: int, reason: str) -> MagPlusError:
        expected = self._expected()
        total = f" of {expected}" if expected else ""
        return MagPlusError(
            f"{self.path} is damaged: {done}{total} frames could be read ({reason}). "
            f"Use an undamaged copy, or read a range that ends at frame {done}."
        )


def open_video(path: Path) -> VideoFile:
    """Look at a video file. Errors: no video in it, not a video at all, or no picture that can be decoded."""
    try:
        look = scan(path)
        first = _first(path, look)
    except av.FFmpegError as error:
        raise MagPlusError(
            f"{path} cannot be read as a video or a picture ({reason(error)}). It may be damaged or of another kind."
        ) from error
    return _described(path, look, *first)


def _first(path: Path, look: Scan) -> tuple[Any, Any]:
    """First picture, and the facts of the file that need it open."""
    with opened(path) as (container, stream):
        facts = {
            "codec": stream.codec_context.codec.canonical_name,
            "rates": [stream.average_rate, stream.guessed_rate, stream.base_rate],
            "metadata": {key.lower(): value for key, value in container.metadata.items()},
            "has_audio": bool(container.streams.audio),
            "aspect": stream.sample_aspect_ratio,
            "alpha": stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE")) == "1",
            "transfer": int(stream.codec_context.color_trc),
        }
        for frame in decode(container, stream, look):
            return frame, facts
    raise MagPlusError(f"{path} has no picture in it that can be decoded. Use an undamaged copy.")


def _described(path: Path, look: Scan, frame: Any, facts: dict[str, Any]) -> VideoFile:
    timed = look.timed and frame.pts is not None
    # A stream cut without regard to its key frames begins with pictures that cannot be decoded.
    lead = int(np.searchsorted(look.pts, frame.pts)) if timed else 0
    shown = look.pts[lead:] if timed else look.pts[:0]
    beat = pace(shown, look.tick, facts["rates"])
    turn = _turn(frame)
    height, width = (frame.width, frame.height) if turn[0] else (frame.height, frame.width)
    height, width = _true_size(facts["metadata"].get(SIZE_TAG, ""), height, width)
    first_s = frame.pts * look.tick if frame.pts is not None else Fraction(0)
    notes = _notes(frame, facts, turn) + ((f"Variable frame rate: {beat.variable}.",) if beat.variable else ())
    if lead:
        notes += (f"The first {lead} frames cannot be decoded: the video was cut off before them. They are left out.",)
    return VideoFile(
        path=path,
        name=path.name,
        height=height,
        width=width,
        rate=beat.rate,
        count=look.frames - lead if look.counted and look.promised is None else None,
        notes=notes,
        metadata=facts["metadata"],
        times_s=(shown - shown[0]) * float(look.tick) if timed else None,
        first_s=first_s,
        has_audio=facts["has_audio"],
        steady=beat.variable is None,
        codec=facts["codec"],
        scan=look,
        lead=lead,
        stored=(frame.height, frame.width),
        turn=turn,
    )


def _notes(frame: Any, facts: dict[str, Any], turn: tuple[bool, bool, bool]) -> tuple[str, ...]:
    notes = []
    if facts["alpha"] or any(c.is_alpha for c in frame.format.components):
        notes.append("Transparency (alpha) is left out.")
    if turn != STRAIGHT:
        notes.append("The rotation stored in the file is applied.")
    if frame.interlaced_frame:
        notes.append("Interlaced video: the two fields of a frame show different moments and are not separated.")
    if facts["aspect"] not in (None, 0, 1):
        notes.append(f"Pixels are not square ({facts['aspect']}): the picture is kept as stored.")
    if facts["transfer"] in (16, 18):
        notes.append("High dynamic range: the values are kept as stored, not mapped to standard range.")
    return tuple(notes)


def _turn(frame: Any) -> tuple[bool, bool, bool]:
    """Display matrix of a frame as (swap axes, mirror left-right, upside down), for multiples of 90 degrees."""
    data = frame.side_data.get(SideData.DISPLAYMATRIX)
    if data is None:
        return STRAIGHT
    a, b, _, c, d = np.frombuffer(bytes(data), dtype=np.int32)[:5].tolist()
    if abs(b) > abs(a):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def _true_size(tag: str, height: int, width: int) -> tuple[int, int]:
    """Size before padding, as our writer notes it (``65x49``), where it fits the stored picture."""
    parts = tag.split("x")
    if len(parts) == 2 and all(part.isdigit() for part in parts):
        true_width, true_height = int(parts[0]), int(parts[1])
        if height - 1 <= true_height <= height and width - 1 <= true_width <= width:
            return true_height, true_width
    return height, width
