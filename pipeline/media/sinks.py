# SPDX-License-Identifier: Apache-2.0
"""Arrays and pictures on disk."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ...models.errors import MagPlusError
from .stills import PATTERN
from .timing import RATE_TAG

_HEADER = 192
"""Bytes kept for the header of a .npy, enough for any shape and a multiple of 64 as the format asks."""

_IHDR_END = 33
"""Signature and header of a PNG, after which text chunks may stand."""


class ArraySink:
    """``.npy`` float32 (N, H, W, 3), written as a stream; the number of frames enters the header at the end."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._file.write(bytes(_HEADER))
        self._shape: tuple[int, ...] = ()
        self._count = 0

    def write(self, frames: Tensor) -> None:
        values = frames.permute(0, 2, 3, 1).contiguous().numpy()
        self._shape = values.shape[1:]
        self._file.write(values.astype("<f4", copy=False).tobytes())
        self._count += len(values)

    def finish(self) -> None:
        text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {(self._count, *self._shape)}, }}"
        lead = b"\x93NUMPY\x01\x00" + struct.pack("<H", _HEADER - 10)
        self._file.seek(0)
        self._file.write(lead + text.encode().ljust(_HEADER - 11) + b"\n")
        self._file.close()

    def abandon(self) -> None:
        try:
            self._file.close()
        except OSError:
            self._file.close()  # the second call lets go of what the first could not write


class PictureSink:
    """One picture; a second frame is an error."""

    def __init__(self, path: Path, target: Path, metadata: Mapping[str, str]) -> None:
        self._path, self._target, self._metadata = path, target, metadata
        self._done = False

    def write(self, frames: Tensor) -> None:
        if self._done or len(frames) > 1:
            raise MagPlusError(
                f"{self._target} is one picture, but there are several frames. Give a folder, a pattern such as "
                "frame_%05d.png, or the name of a video."
            )
        self._done = True
        if self._target.suffix.lower() == ".png":
            self._path.write_bytes(png16(frames[0], self._metadata))
            return
        values = frames[0].permute(1, 2, 0).mul(255).round().byte().numpy()
        with self._path.open("wb") as file:
            Image.fromarray(values).save(file, format="JPEG", quality=95, subsampling=0)

    def finish(self) -> None:
        pass

    def abandon(self) -> None:
        pass


class SequenceSink:
    """16-bit PNG files in a folder, numbered from 0; the frame rate stands in each of them."""

    def __init__(self, folder: Path, target: Path, rate: Fraction, metadata: Mapping[str, str]) -> None:
        self._folder = folder
        self._pattern = target.name if PATTERN.search(target.name) else "frame_%05d.png"
        self._text = {**metadata, RATE_TAG: str(rate)}
        self._count = 0

    def write(self, frames: Tensor) -> None:
        for frame in frames:
            (self._folder / (self._pattern % self._count)).write_bytes(png16(frame, self._text))
            self._count += 1

    def finish(self) -> None:
        pass

    def abandon(self) -> None:
        pass


def png16(frame: Tensor, text: Mapping[str, str]) -> bytes:
    """A frame ``(3, H, W)`` in [0, 1] as a 16-bit PNG with text chunks."""
    values: NDArray[np.uint16] = frame.double().mul(65535).round().permute(1, 2, 0).numpy().astype(np.uint16)
    ok, data = cv2.imencode(".png", np.ascontiguousarray(values[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not ok:
        raise OSError("the picture could not be encoded as PNG")
    png = data.tobytes()
    return png[:_IHDR_END] + b"".join(_text_chunk(k, v) for k, v in text.items()) + png[_IHDR_END:]


def _text_chunk(key: str, value: str) -> bytes:
    """International text chunk (PNG specification, 11.3.3.4), uncompressed."""
    body = b"iTXt" + key.encode("latin-1", "replace")[:79] + b"\0\0\0\0\0" + value.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
