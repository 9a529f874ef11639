# SPDX-License-Identifier: Apache-2.0
"""``.npy`` clips: (H, W, 3) or (N, H, W, 3), float32 in [0, 1] or uint8."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...models.errors import MagPlusError
from .timing import STILL_RATE


@dataclass(frozen=True, kw_only=True)
class ArrayFile:
    """An array on disk as a source of frames."""

    path: Path
    name: str
    height: int
    width: int
    count: int
    rate: Fraction = STILL_RATE
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    times_s: None = None
    first_s: Fraction = Fraction(0)
    has_audio: bool = False
    steady: bool = True

    def frames(self, start: int, stop: int | None) -> Iterator[Tensor]:
        """Frames ``(3, H, W)``: float values untouched, uint8 divided by 255."""
        for index in range(start, self.count if stop is None else min(stop, self.count)):
            # Mapped anew for every frame: pages of a mapping that stays open count as this process's memory.
            array = _mapped(self.path)
            values = array[index] if array.ndim == 4 else array
            frame = torch.from_numpy(np.array(values.transpose(2, 0, 1), order="C"))
            yield frame.float().div_(255) if frame.dtype == torch.uint8 else self._checked(frame, index)

    def _checked(self, frame: Tensor, index: int) -> Tensor:
        if not torch.isfinite(frame).all():
            raise MagPlusError(f"{self.path}: frame {index} has values that are not numbers (NaN or infinite).")
        low, high = float(frame.min()), float(frame.max())
        if low < 0 or high > 1:
            raise MagPlusError(
                f"{self.path}: frame {index} has values from {low:g} to {high:g}, but float pictures lie between 0 "
                "and 1. Divide by the largest possible value (255 for 8 bit), or clip, before saving."
            )
        return frame


def _mapped(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise MagPlusError(f"There is no file {path}. Check its name and folder.") from error
    except (ValueError, OSError, EOFError) as error:
        raise MagPlusError(f"{path} is not a whole .npy array of numbers ({error}). Save it again.") from error


def read_array(path: Path) -> np.ndarray[Any, Any]:
    """An array of numbers, of any shape."""
    array = np.array(_mapped(path))
    if array.dtype.kind not in "fiu":
        raise MagPlusError(f"{path} holds {array.dtype} values. Save it as numbers.")
    return array


def open_array(path: Path) -> ArrayFile:
    """Check kind and shape of an array file."""
    array = _mapped(path)
    if array.dtype not in (np.float32, np.uint8):
        raise MagPlusError(f"{path} holds {array.dtype} values. Save it as float32 in [0, 1] or as uint8.")
    if array.ndim not in (3, 4) or array.shape[-1] != 3 or 0 in array.shape:
        raise MagPlusError(f"{path} has the shape {array.shape}. Give (H, W, 3) or (N, H, W, 3), RGB.")
    count = len(array) if array.ndim == 4 else 1
    height, width = array.shape[-3:-1]
    return ArrayFile(path=path, name=path.name, height=int(height), width=int(width), count=count)
