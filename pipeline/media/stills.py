# SPDX-License-Identifier: Apache-2.0
"""Pictures: stills of 8 and 16 bit, folders and numbered sequences of them, and the animated kinds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ...models.errors import MagPlusError
from .arrays import open_array
from .colour import turned
from .timing import RATE_TAG, STILL_RATE, exact_rate, pace

Image.init()
KINDS = tuple(kind for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF") if kind in Image.OPEN)
"""What Pillow may open: the decoders of pictures that this build has, none of its video stubs."""

ANIMATED = ("PNG", "GIF", "WEBP")

SUFFIXES = frozenset(
    [".png", ".apng", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".avif"]
)

_TURNS = {
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}
"""EXIF orientation as (swap axes, mirror left-right, upside down)."""


@dataclass(frozen=True)
class Picture:
    """One decoded picture ``(3, H, W)``, its alpha ``(H, W)`` where it has any, and what a user should know of it."""

    rgb: Tensor
    alpha: Tensor | None = None
    notes: tuple[str, ...] = ()
    text: Mapping[str, str] = field(default_factory=dict)


def is_picture(path: Path) -> bool:
    """Whether the content, not the name, is a picture's."""
    try:
        with Image.open(path, formats=KINDS):
            return True
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError):
        return False


def is_animated(path: Path) -> bool:
    """Whether a picture has several frames that are meant to be played."""
    with Image.open(path, formats=KINDS) as image:
        return image.format in ANIMATED and bool(getattr(image, "is_animated", False))


def load_picture(path: Path) -> Picture:
    """Decode a picture. 16-bit values are kept; the EXIF orientation is applied."""
    try:
        with Image.open(path, formats=KINDS) as image:
            turn = _TURNS.get(int(image.getexif().get(274, 1)))
            notes = _notes(image)
            text = {str(k): str(v) for k, v in getattr(image, "text", {}).items()}
            samples = _deep(path) if _depth(path, image) > 8 else _shallow(image)
    except FileNotFoundError as error:
        raise MagPlusError(f"There is no file {path}. Check its name and folder.") from error
    except UnidentifiedImageError as error:
        raise MagPlusError(f"{path} is not a picture that can be read. Give a PNG, JPEG, TIFF or WebP.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MagPlusError(f"{path} cannot be read as a picture ({error}). Use an undamaged copy.") from error
    planes = torch.from_numpy(np.ascontiguousarray(samples.transpose(2, 0, 1)))
    if turn:
        planes = turned(planes, turn)
        notes += ("The orientation stored in the file is applied.",)
    alpha = planes[3].clone() if len(planes) == 4 else None
    if alpha is not None and alpha.min() < 1:
        notes += ("Transparency (alpha) is left out.",)
    return Picture(planes[:3].contiguous(), alpha, notes, text)


def _depth(path: Path, image: Any) -> int:
    """Bits per channel. Pillow opens 16-bit RGB as 8-bit, so that the file itself has to be asked."""
    if image.format == "PNG":
        with path.open("rb") as file:
            return file.read(25)[24]
    if image.format == "TIFF":
        return int(max(np.atleast_1d(image.tag_v2.get(258, 1))))
    return 16 if image.mode.startswith("I") else 8


def _shallow(image: Any) -> NDArray[np.float32]:
    """``(H, W, 3 or 4)`` of a picture with 8 bits or fewer."""
    clear = "A" in image.getbands() or "transparency" in image.info
    values = np.asarray(image.convert("RGBA" if clear else "RGB"), np.float32)
    return values / np.float32(255)


def _deep(path: Path) -> NDArray[np.float32]:
    """``(H, W, 3 or 4)`` of a picture with 16 bits."""
    values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype not in (np.uint8, np.uint16):
        kind = "its coding is unknown" if values is None else f"its values are {values.dtype}"
        raise ValueError(f"{kind}; 8 and 16 bits per channel are supported")
    values = values.astype(np.float32) / np.iinfo(values.dtype).max
    values = values if values.ndim == 3 else values[..., None]
    colours, rest = values[..., :3], values[..., 3:]
    colours = colours.repeat(3, axis=2) if colours.shape[2] == 1 else colours[..., ::-1]
    return np.concatenate([colours, rest], axis=2)


def _notes(image: Any) -> tuple[str, ...]:
    profile = image.info.get("icc_profile") or b""
    if profile and b"sRGB" not in profile and b"s\0R\0G\0B" not in profile:
        return ("The embedded colour profile is not applied: values are taken as sRGB.",)
    return ()


def read_image(path: str | Path) -> Tensor:
    """Picture ``(3, H, W)``, 8 or 16 bit, turned upright; of an animation the first frame; ``.npy`` (H, W, 3) too."""
    path = Path(path)
    if path.suffix.lower() == ".npy":
        return next(iter(open_array(path).frames(0, 1)))
    return load_picture(path).rgb


def read_mask(path: str | Path) -> Tensor:
    """Mask ``(H, W)`` in [0, 1], white = 1. Where one colour fills the picture, its transparency is the mask."""
    picture = load_picture(Path(path))
    flat = bool((picture.rgb == picture.rgb[:, :1, :1]).all())
    if flat and picture.alpha is not None:
        return picture.alpha
    return picture.rgb.mean(dim=0)


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """One still, or several pictures of one size, as a source of frames."""

    path: Path
    name: str
    files: tuple[Path, ...] = field(repr=False)
    height: int
    width: int
    rate: Fraction
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    times_s: None = None
    first_s: Fraction = Fraction(0)
    has_audio: bool = False
    steady: bool = True

    @property
    def count(self) -> int:
        return len(self.files)

    def frames(self, start: int, stop: int | None) -> Iterator[Tensor]:
        """Frames ``(3, H, W)``; a picture of another size than the first is an error that names it."""
        for file in self.files[start:stop]:
            rgb = load_picture(file).rgb
            if rgb.shape[-2:] != (self.height, self.width):
                raise MagPlusError(
                    f"{file} is {rgb.shape[-1]}x{rgb.shape[-2]} px, the first picture of the sequence "
                    f"{self.width}x{self.height}. Give pictures of one size."
                )
            yield rgb


def open_pictures(path: Path, files: list[Path], notes: tuple[str, ...] = ()) -> Pictures:
    """Source over picture files, in the given order."""
    first = load_picture(files[0])
    rate = first.text.get(RATE_TAG)
    return Pictures(
        path=path,
        name=path.name,
        files=tuple(files),
        height=first.rgb.shape[-2],
        width=first.rgb.shape[-1],
        rate=Fraction(rate) if rate else STILL_RATE,
        notes=notes + first.notes,
        metadata={key.lower(): value for key, value in first.text.items() if key != RATE_TAG},
    )


def in_folder(folder: Path) -> list[Path]:
    """Pictures of a folder in natural order: 2 before 10."""
    files = [f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith(".")]
    if not files:
        raise MagPlusError(f"There is no picture in the folder {folder}. Give a folder of PNG or JPEG frames.")
    return sorted(files, key=lambda f: [(int(p), p) if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", f.name)])


PATTERN = re.compile(r"%(0\d+)?d")


def in_pattern(path: Path) -> tuple[list[Path], tuple[str, ...]]:
    """Files of a printf pattern such as ``frame_%05d.png`` in order of number, and a note where numbers are missing."""
    match = PATTERN.search(path.name)
    if match is None:
        raise MagPlusError(f"{path} has no number pattern that can be read. Write it like frame_%05d.png.")
    digits = rf"(\d{{{int(match[1])},}})" if match[1] else r"(\d+)"
    name = re.compile(re.escape(path.name[: match.start()]) + digits + re.escape(path.name[match.end() :]))
    folder = path.parent if path.parent.is_dir() else None
    found = {int(m[1]): f for f in (folder.iterdir() if folder else ()) if (m := name.fullmatch(f.name))}
    if not found:
        raise MagPlusError(f"No file fits the pattern {path}. Check the folder and the number of digits.")
    numbers = sorted(found)
    missing = sorted(set(range(numbers[0], numbers[-1])) - set(numbers))
    notes = (f"{len(missing)} numbers of the sequence are missing, the first is {missing[0]}.",) if missing else ()
    return [found[n] for n in numbers], notes


@dataclass(frozen=True, kw_only=True)
class Animation:
    """Animated GIF, PNG or WebP as a source of frames. Pillow composes them, with their disposal and blending."""

    path: Path
    name: str
    height: int
    width: int
    rate: Fraction
    count: int
    notes: tuple[str, ...]
    times_s: NDArray[np.float64] = field(repr=False)
    steady: bool
    metadata: Mapping[str, str] = field(default_factory=dict)
    first_s: Fraction = Fraction(0)
    has_audio: bool = False

    def frames(self, start: int, stop: int | None) -> Iterator[Tensor]:
        """Frames ``(3, H, W)``. Each builds on those before it, so that all of them are decoded."""
        last = self.count if stop is None else min(stop, self.count)
        with Image.open(self.path, formats=KINDS) as image:
            for index in range(last):
                values = self._composed(image, index)
                if index >= start:
                    yield torch.from_numpy(np.ascontiguousarray(values[..., :3].transpose(2, 0, 1)))

    def _composed(self, image: Any, index: int) -> NDArray[np.float32]:
        try:
            image.seek(index)
            return _shallow(image)
        except (OSError, EOFError, SyntaxError, ValueError) as error:
            raise MagPlusError(
                f"{self.path} is damaged: {index} of {self.count} frames could be read ({error}). "
                f"Use an undamaged copy, or read a range that ends at frame {index}."
            ) from error


def open_animation(path: Path) -> Animation:
    """Look at all frames of an animated picture: their times, and whether any is transparent."""
    starts, clock, clear = [], 0, False
    try:
        with Image.open(path, formats=KINDS) as image:
            width, height = image.size
            for index in range(getattr(image, "n_frames", 1)):
                image.seek(index)
                image.load()
                starts.append(clock)
                # Players show a frame without a duration for a tenth of a second.
                clock += round(image.info.get("duration") or 100)
                clear = clear or "transparency" in image.info or "A" in image.getbands()
    except (OSError, EOFError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MagPlusError(f"{path} is damaged: {len(starts)} frames could be read ({error}).") from error
    mean = exact_rate(Fraction(1000 * len(starts), clock))
    beat = pace(np.array(starts, dtype=np.int64), Fraction(1, 1000), [mean])
    notes = ("Transparency (alpha) is left out.",) if clear else ()
    return Animation(
        path=path,
        name=path.name,
        height=height,
        width=width,
        rate=beat.rate,
        count=len(starts),
        notes=notes + ((f"Variable frame rate: {beat.variable}.",) if beat.variable else ()),
        times_s=np.array(starts) / 1000,
        steady=beat.variable is None,
    )
