# SPDX-License-Identifier: Apache-2.0
"""Frames and sound into a video file, with every tag explicit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from ...models.errors import MagPlusError
from .audio import Audio, Block
from .colour import encode_yuv, fill
from .demux import opened
from .formats import Format
from .timing import RATE_TAG
from .video import SIZE_TAG

_MUXERS = {".mkv": "matroska", ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov"}

_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)

_SRGB_TRANSFER = 13
_BT709 = 1
_LIMITED, _FULL = 1, 2
"""Numbers of H.273: RGB frames carry the sRGB curve; YUV ones BT.709 throughout, as players expect of video."""


class VideoSink:
    """A video file. It is opened with the first frame, whose size it takes."""

    def __init__(
        self,
        path: Path,
        *,
        suffix: str,
        rate: Fraction,
        format: Format,
        audio: Audio | None,
        metadata: Mapping[str, str],
    ) -> None:
        self._path, self._muxer, self._rate, self._format = path, _MUXERS[suffix], rate, format
        self._audio, self._metadata = audio, metadata
        self._container: Any = None
        self._video: Any = None
        self._sound: SoundEncoder | None = None
        self._count = 0

    def write(self, frames: Tensor) -> None:
        height, width = frames.shape[-2:]
        if self._container is None:
            self._open(height, width)
        if self._format.pixels == "yuv420p":
            frames = pad(frames, (0, width % 2, 0, height % 2), mode="replicate")
        for frame in frames:
            self._container.mux(self._video.encode(self._picture(frame)))
            self._count += 1
            if self._sound:
                self._sound.advance(self._count / self._rate)

    def finish(self) -> None:
        self._container.mux(self._video.encode(None))
        if self._sound:
            self._sound.finish(self._count / self._rate)
        self._container.close()
        self._container = None
        self._verify()

    def abandon(self) -> None:
        if self._sound:
            self._sound.close()
        if self._container is not None:
            with contextlib.suppress(OSError, av.FFmpegError):
                self._container.close()

    def _open(self, height: int, width: int) -> None:
        metadata = {key: str(value) for key, value in self._metadata.items()} | {RATE_TAG: str(self._rate)}
        halved = self._format.pixels == "yuv420p"
        if halved and (height % 2 or width % 2):
            metadata[SIZE_TAG] = f"{width}x{height}"
        # MP4 keeps only the keys it knows without this; the index goes first so that a browser can start early.
        options = {} if self._muxer == "matroska" else {"movflags": "+use_metadata_tags+faststart"}
        self._container = av.open(str(self._path.absolute()), "w", format=self._muxer, options=options)
        self._container.metadata.update(metadata)
        try:
            self._video = self._container.add_stream(
                self._format.codec, rate=self._rate, options=dict(self._format.options)
            )
        except (ValueError, av.FFmpegError) as error:
            raise MagPlusError(
                f"This build of PyAV has no {self._format.codec} encoder. Write .mkv (FFV1) or .npy instead."
            ) from error
        self._video.height = height + (height % 2 if halved else 0)
        self._video.width = width + (width % 2 if halved else 0)
        self._video.pix_fmt = self._format.pixels
        self._tag(self._video.codec_context)
        if self._audio:
            self._sound = SoundEncoder(self._container, self._audio, lossless=self._muxer == "matroska")

    def _tag(self, context: Any) -> None:
        yuv = self._format.pixels.startswith("yuv")
        context.color_primaries = _BT709
        context.color_trc = _BT709 if yuv else _SRGB_TRANSFER
        context.color_range = _LIMITED if yuv else _FULL
        context.colorspace = _BT709 if yuv else 0
        context.time_base = 1 / self._rate

    def _picture(self, frame: Tensor) -> Any:
        """Encoder's picture of a frame ``(3, H, W)`` in [0, 1]."""
        picture = av.VideoFrame(frame.shape[-1], frame.shape[-2], self._format.pixels)
        for plane, samples in zip(picture.planes, _planes(frame, self._format.pixels), strict=True):
            fill(plane, samples)
        picture.pts = self._count
        picture.time_base = 1 / self._rate
        if self._format.pixels.startswith("yuv"):
            picture.colorspace, picture.color_range = _BT709, _LIMITED
        return picture

    def _verify(self) -> None:
        """Count what arrived: an error while writing need not surface anywhere else."""
        with opened(self._path) as (container, stream):
            arrived = sum(1 for packet in container.demux(stream) if packet.size and not packet.is_corrupt)
        if arrived != self._count:
            raise OSError(f"only {arrived} of {self._count} frames arrived in the file")


def _planes(frame: Tensor, pixels: str) -> list[NDArray[Any]]:
    if pixels == "gbrp16le":
        # 16-bit values are not exact in float32 products; their rounding is.
        values = frame.double().mul(65535).round().numpy().astype("<u2")
        return [values[1], values[2], values[0]]
    if pixels == "bgr0":
        values = frame.mul(255).round().byte().numpy()
        packed = np.zeros((*values.shape[1:], 4), np.uint8)
        packed[..., :3] = values[::-1].transpose(1, 2, 0)
        return [packed.reshape(values.shape[1], -1)]
    return encode_yuv(frame, depth=10 if pixels.endswith("10le") else 8, halved=pixels == "yuv420p")


class SoundEncoder:
    """Sound that keeps step with the pictures, so that neither piles up in memory.

    ``lossless``: FLAC for 16-bit sources, PCM of the source's own kind for others. Otherwise AAC.
    """

    def __init__(self, container: Any, audio: Audio, *, lossless: bool) -> None:
        self._container = container
        codec, self._form, self._rate = _audio_codec(audio, lossless)
        self._stream = container.add_stream(codec, rate=self._rate, layout=audio.layout)
        self._stream.codec_context.format = self._form
        self._layout = audio.layout
        if codec == "aac":
            self._stream.codec_context.bit_rate = 192_000
        planar = self._form if self._form.endswith("p") else self._form + "p"
        self._blocks = audio.blocks(planar, self._rate)
        self._written = 0
        self._rest: Block | None = None

    def advance(self, until_s: Fraction) -> None:
        """Encode what belongs to the pictures before ``until_s``."""
        target = round(until_s * self._rate)
        while self._written < target:
            block = self._rest if self._rest is not None else next(self._blocks, None)
            self._rest = None
            if block is None:
                return
            room = target - self._written
            if block.shape[1] > room:
                self._rest, block = block[:, room:], block[:, :room]
            self._encode(block)

    def finish(self, until_s: Fraction) -> None:
        """Encode up to the end of the last picture, and no further."""
        self.advance(until_s)
        self._container.mux(self._stream.encode(None))
        self.close()

    def close(self) -> None:
        """Let go of the source."""
        if isinstance(self._blocks, Iterator) and hasattr(self._blocks, "close"):
            self._blocks.close()

    def _encode(self, block: Block) -> None:
        block = np.ascontiguousarray(block if self._form.endswith("p") else block.T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(block, format=self._form, layout=self._layout)
        frame.sample_rate = self._rate
        frame.pts, frame.time_base = self._written, Fraction(1, self._rate)
        self._written += frame.samples
        self._container.mux(self._stream.encode(frame))


def _audio_codec(audio: Audio, lossless: bool) -> tuple[str, str, int]:
    """Codec, its sample format, and the sample rate."""
    if not lossless:
        return "aac", "fltp", audio.sample_rate if audio.sample_rate in _AAC_RATES else 48000
    exact = {"s16p": ("flac", "s16"), "s32p": ("pcm_s32le", "s32")}
    return *exact.get(audio.sample_format, ("pcm_f32le", "flt")), audio.sample_rate
