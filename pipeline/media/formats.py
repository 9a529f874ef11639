# SPDX-License-Identifier: Apache-2.0
"""What clips can be written as, and what each format keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ...models.errors import MagPlusError
from .stills import PATTERN


@dataclass(frozen=True, kw_only=True)
class Format:
    """A way to write frames. ``suffixes`` without a dot are folders; the first one is the usual.

    ``keeps`` says in words what survives of the picture and of its motion.
    """

    name: str
    kind: Literal["video", "sequence", "picture", "array"]
    suffixes: tuple[str, ...]
    keeps: str
    codec: str = ""
    pixels: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


_FFV1 = {"level": "3", "slices": "4", "slicecrc": "1", "g": "1"}

FFV1 = Format(
    name="ffv1",
    kind="video",
    suffixes=(".mkv",),
    keeps="everything: RGB, 16 bit per channel, lossless",
    codec="ffv1",
    pixels="gbrp16le",
    options=_FFV1,
)
FFV1_8BIT = Format(
    name="ffv1_8bit",
    kind="video",
    suffixes=(".mkv",),
    keeps="RGB rounded to 8 bit, then lossless",
    codec="ffv1",
    pixels="bgr0",
    options=_FFV1,
)
H264_444 = Format(
    name="h264_444",
    kind="video",
    suffixes=(".mkv", ".mp4", ".mov"),
    keeps="colours rounded to 10-bit BT.709, then lossless; few players show it",
    codec="libx264",
    pixels="yuv444p10le",
    # Lossless, because every finer-than-usual quantisation still skips blocks that move by hundredths of a pixel
    # (measured: crf 4 keeps 0 % of 0.02 px) and crf -8 saves a tenth of the size.
    options={"qp": "0", "preset": "medium"},
)
H264 = Format(
    name="h264",
    kind="video",
    suffixes=(".mp4", ".mov", ".m4v", ".mkv"),
    keeps="a picture to look at and share; motion of a few hundredths of a pixel is erased",
    codec="libx264",
    pixels="yuv420p",
    options={"crf": "16", "preset": "medium"},
)
PNG16 = Format(name="png16", kind="sequence", suffixes=("", ".png"), keeps="everything: RGB, 16 bit per channel")
PNG = Format(name="png", kind="picture", suffixes=(".png",), keeps="one frame, RGB, 16 bit per channel")
JPEG = Format(name="jpeg", kind="picture", suffixes=(".jpg", ".jpeg"), keeps="one frame to look at, 8 bit, lossy")
NPY = Format(name="npy", kind="array", suffixes=(".npy",), keeps="everything: float32, unrounded; no rate, no sound")

FORMATS: Mapping[str, Format] = {f.name: f for f in (FFV1, FFV1_8BIT, H264_444, H264, PNG16, PNG, JPEG, NPY)}

_BY_SUFFIX = {
    ".mkv": FFV1,
    ".mp4": H264,
    ".mov": H264,
    ".m4v": H264,
    ".npy": NPY,
    ".png": PNG,
    ".jpg": JPEG,
    ".jpeg": JPEG,
    "": PNG16,
}


def format_for(path: Path) -> Format:
    """Format that a name asks for: a number pattern or a name without extension is a sequence of pictures."""
    suffix = path.suffix.lower()
    if PATTERN.search(path.name) and suffix == ".png":
        return PNG16
    if suffix not in _BY_SUFFIX or PATTERN.search(path.name):
        known = ", ".join(sorted(filter(None, _BY_SUFFIX)))
        raise MagPlusError(
            f"{path}: no format is written under this name. Use one of {known}, a folder name without extension, "
            "or a pattern such as frame_%05d.png."
        )
    return _BY_SUFFIX[suffix]


def check_suffix(path: Path, format: Format) -> None:
    """Refuse a format under a name that says another one."""
    numbered = bool(PATTERN.search(path.name))
    if path.suffix.lower() not in format.suffixes or numbered != (format is PNG16 and path.suffix != ""):
        wanted = " or ".join(suffix or "no extension" for suffix in format.suffixes)
        pattern = ", the .png with a number pattern such as frame_%05d.png" if format is PNG16 else ""
        raise MagPlusError(f"{path}: the format {format.name} needs a name with {wanted}{pattern}.")
