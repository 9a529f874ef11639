# SPDX-License-Identifier: Apache-2.0
"""Opening a video file and looking through its packets.

The look (demuxing, no decoding) gives what headers only promise: how many frames there are, when each is shown, and
whether the file ends early. Where that would mean reading more than `SCAN_LIMIT_BYTES`, the count stays unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from ...models.errors import MagPlusError
from .ffv1 import intact
from .timing import RATE_TAG

SCAN_LIMIT_BYTES = 8 << 30

ONE_TO_ONE = frozenset(
    [
        "apng",
        "av1",
        "dnxhd",
        "ffv1",
        "ffvhuff",
        "h264",
        "hevc",
        "huffyuv",
        "mjpeg",
        "mpeg4",
        "png",
        "prores",
        "qtrle",
        "rawvideo",
        "utvideo",
        "vp9",
    ]
)
"""Codecs whose packets are frames, so that counting packets counts frames (VP8, for one, has hidden ones)."""

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg,nut,mxf,gxf,yuv4mpegpipe,ivf,"
    "h264,hevc,av1,obu,m4v,dv,rm,wtv,gif,apng,wav,flac,mp3,aac"
)
"""FFmpeg's demuxers of files that hold their own data; those of sound are here for a better message."""

SEEKABLE = ("matroska", "mp4")
"""Containers with an index; elsewhere a range is reached by decoding what lies before it."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What the packets say. ``pts`` sorted, in units of ``tick`` seconds; ``keys``: where decoding can start.

    ``timed``: every frame has a time of its own; ``seekable``: and the container can be entered at one;
    ``counted``: ``frames``, the number of packets, is the number of pictures; ``promised``: the number the container
    declares, where that is more (else None); ``checked``: FFV1 slices carry checksums.
    """

    pts: NDArray[np.int64]
    keys: NDArray[np.int64]
    tick: Fraction
    timed: bool
    seekable: bool
    counted: bool
    frames: int
    promised: int | None
    checked: bool


def open_container(path: Path) -> Any:
    """PyAV's container for reading. Errors: av.FFmpegError.

    The absolute path, since ``take:2.mp4`` alone would be taken for a protocol; no playlists, which name addresses and
    keep FFmpeg waiting for them; and metadata in legacy encodings must not stop a video from being read.
    """
    # Not `options`: those also go to the streams, for which PyAV 14 makes too short a list with MPEG (a crash).
    options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
    return av.open(str(path.absolute()), metadata_errors="replace", container_options=options)


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Container and video stream; closed however the block is left, an abandoned generator's included."""
    with open_container(path) as container:
        if not container.streams.video:
            raise MagPlusError(f"{path} has no video in it. Give a file with moving pictures.")
        stream = container.streams.video[0]
        yield container, stream


def decode(container: Any, stream: Any, look: Scan, *, sought: bool = False) -> Iterator[Any]:
    """Pictures in order of display. Damage is an error, never a picture made up for it (``explode``).

    A recording cut without regard to its key frames begins with pictures that cannot be decoded. They are left out,
    and so are, there and after a seek, pictures that are shown before the first key frame but stored after it.

    Slice threads only: a frame-threaded decoder may swallow the error of the last packets (seen with H.264).
    """
    stream.thread_type = "SLICE"
    stream.codec_context.options = {"err_detect": "crccheck+explode"}
    floor: int | None = None
    entered, whole = not len(look.keys), not sought
    for packet in container.demux(stream):
        if look.checked and packet.size and not intact(bytes(packet)):
            raise av.InvalidDataError(0, "a checksum does not match")
        if not entered and packet.size:
            entered = packet.is_keyframe
            whole = whole and entered
            floor = packet.pts
        early = not whole and (not entered or _before(packet.pts, floor))
        try:
            pictures = packet.decode()
        except av.InvalidDataError:
            if not early:
                raise
            continue
        yield from (p for p in pictures if whole or (entered and not _before(p.pts, floor)))


def _before(pts: int | None, floor: int | None) -> bool:
    return pts is not None and floor is not None and pts < floor


def reason(error: Exception) -> str:
    """What FFmpeg said, without its number."""
    return str(getattr(error, "strerror", None) or error).lower()


@dataclass
class _Tally:
    """Packets seen so far; ``end``: when the last picture ends, in ticks."""

    codec: str
    pts: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    frames: int = 0
    hidden: int = 0
    bytes: int = 0
    end: int = 0
    whole: bool = False
    checked: bool = False

    def add(self, packet: Any) -> None:
        self.bytes += packet.size
        # A protected file whose first frames are damaged must still be known as protected.
        if self.codec == "ffv1" and self.frames < 8:
            self.checked = self.checked or intact(bytes(packet))
        if packet.is_discard:
            self.hidden += 1
            return
        self.frames += 1
        if packet.pts is None:
            return
        self.pts.append(packet.pts)
        self.end = max(self.end, packet.pts + (packet.duration or 0))
        if packet.is_keyframe:
            self.keys.append(packet.pts)


def scan(path: Path) -> Scan:
    """Look through all packets of the first video stream."""
    with opened(path) as (container, stream):
        tally = _Tally(stream.codec_context.codec.canonical_name)
        try:
            for packet in container.demux(stream):
                if packet.size:
                    tally.add(packet)
                if tally.bytes > SCAN_LIMIT_BYTES:
                    break
            else:
                tally.whole = True
        except av.FFmpegError:
            pass  # the decoding pass meets the same fault and says where
        pts = np.unique(np.array(tally.pts, dtype=np.int64))
        timed = tally.whole and len(pts) == tally.frames > 0
        return Scan(
            pts=pts,
            keys=np.unique(np.array(tally.keys, dtype=np.int64)),
            tick=stream.time_base,
            timed=timed,
            seekable=timed and any(kind in container.format.name for kind in SEEKABLE),
            counted=tally.whole and tally.codec in ONE_TO_ONE,
            frames=tally.frames,
            promised=_promised(container, stream, tally),
            checked=tally.checked,
        )


def _promised(container: Any, stream: Any, tally: _Tally) -> int | None:
    """Frames the container declares, where it declares more than it holds: the mark of a damaged file."""
    if not tally.whole:
        return None
    promises = [int(stream.frames) - tally.hidden]
    rate = stream.average_rate
    end_s = _seconds(stream.metadata.get("DURATION", ""))
    if rate and end_s:
        promises.append(tally.frames + round((end_s - tally.end * stream.time_base) * rate))
    # A clip of ours has a constant rate, so that a hole in it is a loss. Re-encoded copies may have kept the tag.
    tags = {key.lower(): value for key, value in container.metadata.items()}
    if rate and tally.pts and tags.get(RATE_TAG) == str(rate):
        promises.append(round((tally.end - min(tally.pts)) * stream.time_base * rate))
    return max(promises) if max(promises) > tally.frames else None


def _seconds(clock: str) -> Fraction | None:
    """Seconds of ``hh:mm:ss.fraction``, as Matroska writes the end of a stream."""
    try:
        hours, minutes, seconds = clock.split(":")
        return 3600 * Fraction(hours) + 60 * Fraction(minutes) + Fraction(seconds)
    except ValueError:
        return None
