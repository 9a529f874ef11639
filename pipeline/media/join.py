# SPDX-License-Identifier: Apache-2.0
"""FFV1 files one after the other in a single file: packets are copied, nothing is encoded again but the sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ...models.errors import MagPlusError
from .audio import Audio
from .demux import opened, reason
from .encode import SoundEncoder
from .ffv1 import intact
from .formats import FFV1
from .partial import Partial
from .timing import RATE_TAG


def join(
    files: Sequence[Path],
    target: Path,
    *,
    rate: Fraction,
    audio: Audio | None = None,
    metadata: Mapping[str, str] | None = None,
    overwrite: bool = False,
    tick: Callable[[int], None] = lambda done: None,
) -> int:
    """Write ``target`` (.mkv), the frames of all ``files`` at a constant rate. Returns their number.

    The files must be FFV1 of one size and kind, as `ClipWriter` makes them. Every slice's checksum is looked at: a file
    that was damaged since is an error. ``tick`` is called after every frame and may raise; then nothing is left.
    """
    partial = Partial(target, overwrite=overwrite)
    about = {**(metadata or {}), RATE_TAG: str(rate)}
    try:
        partial.begin()
        with av.open(str(partial.path.absolute()), "w", format="matroska") as out:
            out.metadata.update(about)
            count = _copy(_packets(files), out, rate, audio, tick)
        _verify(partial.path, count, rate)
        partial.commit()
    except (OSError, av.FFmpegError) as error:
        raise MagPlusError(
            f"{target} could not be joined from its parts ({reason(error)}). Check free space and permissions of the "
            "folder; the parts are still there."
        ) from error
    finally:
        partial.discard()
    return count


def _copy(
    packets: Iterator[tuple[Any, Any]], out: Any, rate: Fraction, audio: Audio | None, tick: Callable[[int], None]
) -> int:
    stream, sound, count = None, None, 0
    try:
        for given, packet in packets:
            if stream is None:
                stream = _stream(out, given, rate)
                sound = None if audio is None else SoundEncoder(out, audio, lossless=True)
                _begin(out, stream, given)
            packet.stream, packet.time_base = stream, 1 / rate
            packet.pts = packet.dts = count
            packet.duration = 1
            out.mux(packet)
            count += 1
            if sound:
                sound.advance(count / rate)
            tick(count)
        if sound:
            sound.finish(count / rate)
    finally:
        if sound:
            sound.close()
    return count


def _stream(out: Any, given: Any, rate: Fraction) -> Any:
    """A stream as `ClipWriter` opened that of the part. One made from a template states no rate before PyAV 18."""
    theirs = given.codec_context
    stream = out.add_stream(theirs.name, rate=rate, options=dict(FFV1.options))
    stream.width, stream.height, stream.pix_fmt = theirs.width, theirs.height, theirs.pix_fmt
    for name in ("color_primaries", "color_trc", "color_range", "colorspace"):
        setattr(stream.codec_context, name, getattr(theirs, name))
    stream.codec_context.time_base = 1 / rate
    return stream


def _begin(out: Any, stream: Any, given: Any) -> None:
    """Write the header, once all streams are there. It describes the packets only if both encoders agree."""
    out.start_encoding()
    if stream.codec_context.extradata != given.codec_context.extradata:
        raise MagPlusError(
            f"{given.container.name} was written by another version of FFmpeg, whose parts cannot be joined by this "
            "one. Delete the folder of parts, and run again."
        )


def _verify(path: Path, count: int, rate: Fraction) -> None:
    """Look at what arrived: an error while writing need not surface anywhere else."""
    with opened(path) as (container, stream):
        arrived = sum(1 for packet in container.demux(stream) if packet.size)
        # Matroska keeps the duration of a frame in ns; the exact rate stands in the metadata.
        if arrived != count or abs((stream.average_rate or 0) / rate - 1) > 1e-4:
            raise OSError(f"{arrived} of {count} frames arrived, at {stream.average_rate} fps")


def _packets(files: Sequence[Path]) -> Iterator[tuple[Any, Any]]:
    """Stream and packet of every frame of all files."""
    kind = None
    for file in files:
        with opened(file) as (container, stream):
            context = stream.codec_context
            mine = (context.name, context.width, context.height, context.pix_fmt, context.extradata)
            if kind not in (None, mine):
                raise MagPlusError(f"{file} is not of the kind of those before it. Delete it, and run again.")
            kind = mine
            for packet in container.demux(stream):
                if packet.size:
                    if not intact(bytes(packet)):
                        raise MagPlusError(f"{file} was damaged after it was written. Delete it, and run again.")
                    yield stream, packet
