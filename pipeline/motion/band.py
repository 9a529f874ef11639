# SPDX-License-Identifier: Apache-2.0
"""Band-pass of a motion in time: the displacement of every pixel, filtered without delay.

Magnifiers of colours need a band to keep noise and drift out. A displacement needs it only to tell motions apart: a
tremor from a nod, a twitch from breathing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from ...models.errors import MagPlusError

CYCLES = 2.0
"""Half length of the filter in periods of its lowest frequency: the band's edges are about half that frequency wide."""

MAX_HALF_FRAMES = 120
"""Displacements of so many frames before and after are held in memory: 2 x 4 bytes per px and frame."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """Frequencies that are magnified, in Hz. ``low_hz`` 0 keeps everything slow, ``high_hz`` None everything fast."""

    low_hz: float = 0.0
    high_hz: float | None = None

    @classmethod
    def between(cls, low_hz: float, high_hz: float) -> Band | None:
        """The band of two numbers of which 0 leaves an end open; None where both do."""
        return cls(low_hz=low_hz, high_hz=high_hz or None) if low_hz or high_hz else None

    def taps(self, rate: Fraction) -> list[float]:
        """Right half of the symmetric kernel, centre first: a windowed sinc (Hamming).

        With a lower edge the kernel sums to 0, without one to 1, exactly. Raises `MagPlusError` for a band that the
        frame rate cannot show.
        """
        self._check(rate)
        fps = float(rate)
        edges = [edge for edge in (self.low_hz, self.high_hz or 0.0) if edge > 0]
        half = min(math.ceil(CYCLES * fps / min(edges)), MAX_HALF_FRAMES) if edges else 0
        slow = _low_pass(self.low_hz / fps, half) if self.low_hz > 0 else [0.0] * (half + 1)
        fast = [1.0] + [0.0] * half if self.high_hz is None else _low_pass(self.high_hz / fps, half)
        return [a - b for a, b in zip(fast, slow, strict=True)]

    def _check(self, rate: Fraction) -> None:
        nyquist = float(rate) / 2
        told = f"{float(rate):g} frames per second show frequencies up to {nyquist:g} Hz"
        if self.low_hz < 0 or not math.isfinite(self.low_hz):
            raise MagPlusError(f"The band begins at {self.low_hz:g} Hz. Give 0 or more.")
        if self.high_hz is not None and not self.low_hz < self.high_hz <= nyquist:
            raise MagPlusError(
                f"The band {self.low_hz:g} to {self.high_hz:g} Hz does not fit: {told}, and it must end above its "
                "beginning. Choose another band, or check the frame rate."
            )
        if self.low_hz >= nyquist:
            raise MagPlusError(f"The band begins at {self.low_hz:g} Hz, but {told}. Choose a lower one.")
        if 0 < self.low_hz < CYCLES * float(rate) / MAX_HALF_FRAMES:
            least = CYCLES * float(rate) / MAX_HALF_FRAMES
            raise MagPlusError(
                f"At {float(rate):g} frames per second a band can begin at {least:.3g} Hz or at 0, not at "
                f"{self.low_hz:g} Hz."
            )


def _low_pass(cutoff: float, half: int) -> list[float]:
    """Kernel with sum 1 that passes frequencies below ``cutoff``, in cycles per frame."""
    taps = [2 * cutoff] + [math.sin(math.tau * cutoff * k) / (math.pi * k) for k in range(1, half + 1)]
    taps = [tap * (0.54 + 0.46 * math.cos(math.pi * k / (half + 1))) for k, tap in enumerate(taps)]
    total = taps[0] + 2 * sum(taps[1:])
    return [tap / total for tap in taps]


def filtered(values: Iterable[Tensor], taps: list[float]) -> Iterator[tuple[Tensor, Tensor]]:
    """Each value of a series, and what the kernel makes of it; the series is mirrored about its ends.

    Holds ``2 * len(taps) - 1`` values at a time, however long the series is.
    """
    half = len(taps) - 1
    known: deque[Tensor] = deque(maxlen=2 * half + 1)
    count = done = 0

    def at(index: int) -> tuple[Tensor, Tensor]:
        near = [_mirrored(k, count) for k in range(index - half, index + half + 1)]
        held = [known[k - (count - len(known))] for k in near]
        return held[half], _dot(held, taps)

    for value in values:
        known.append(value)
        count += 1
        if count > half:
            yield at(done)
            done += 1
    for index in range(done, count):
        yield at(index)


def _mirrored(index: int, count: int) -> int:
    period = max(2 * (count - 1), 1)
    index %= period
    return min(index, period - index)


def _dot(values: list[Tensor], taps: list[float]) -> Tensor:
    half = len(taps) - 1
    out = values[half] * taps[0]
    for k in range(1, half + 1):
        out = torch.add(out, values[half - k] + values[half + k], alpha=taps[k])
    return out
