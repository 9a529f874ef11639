"""Phase-based motion magnification (Wadhwa et al., 2013): complex steerable pyramid with half-octave bands.

Written for quality, to be a fair rival: colours share one phase difference, weighted by amplitude and smoothed, and
bands reach down to a sixteenth of the picture. No decimation aliasing: a band is kept on the grid that holds its whole
spectrum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

ORIENTATIONS = 8
OCTAVE = 0.5
SMOOTHING = 1.5
"""Sigma of the blur of the phase difference, in px of the band's grid, weighted by the squared amplitude."""


@dataclass(frozen=True)
class Band:
    """One oriented band: its window on the cropped spectrum, and the rows and columns of the whole that it covers."""

    window: Tensor
    rows: Tensor
    columns: Tensor


@lru_cache(maxsize=4)
def bands(height: int, width: int) -> tuple[list[Band], Tensor]:
    """All bands, and the window of what they leave; squared windows (each band with its mirror) sum to 1."""
    fy, fx = torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)[None]
    radius = torch.hypot(fy, fx).clamp(min=1e-6)
    angle = torch.atan2(fy, fx)
    lowest = 1.0 / (min(height, width) / 4)
    count = math.ceil(math.log2(0.5 / lowest) / OCTAVE) + 1
    out, covered = [], torch.zeros(height, width)
    for scale in range(count):
        position = (radius / 0.5).log2() / OCTAVE + scale
        # The finest band takes everything up to the corners of the spectrum.
        radial = torch.cos(math.pi / 2 * (position.clamp(max=0) if scale == 0 else position).clamp(-1, 1))
        for k in range(ORIENTATIONS):
            turn = torch.remainder(angle - math.pi * k / ORIENTATIONS + math.pi, 2 * math.pi) - math.pi
            power = ORIENTATIONS - 1
            gain = math.sqrt(
                2.0 ** (2 * power) * math.factorial(power) ** 2 / (ORIENTATIONS * math.factorial(2 * power))
            )
            window = radial * gain * torch.cos(turn).clamp(min=0) ** power
            # A Nyquist row or column is its own mirror and cannot carry a phase.
            window = window * ~((fy == -0.5) | (fx == -0.5))
            reach = 0.5 if scale == 0 else min(0.5, 0.5 * 2 ** (OCTAVE * (1 - scale)))
            rows, columns = _kept(height, reach), _kept(width, reach)
            out.append(Band(2**0.5 * window[rows][:, columns], rows, columns))
            mirrored = torch.roll(window.flip(0, 1), (1, 1), (0, 1))
            covered += window.square() + mirrored.square()
    return out, (1 - covered).clamp(min=0).sqrt()


def _kept(size: int, reach: float) -> Tensor:
    half = min(size // 2, math.ceil(reach * size) + 1)
    return torch.cat([torch.arange(half), torch.arange(size - half, size)]) if 2 * half < size else torch.arange(size)


def magnify(reference: Tensor, frame: Tensor, alpha: float) -> Tensor:
    """Picture ``(3, H, W)`` of ``frame`` with ``alpha`` times its phase difference to ``reference``."""
    pad = reference.shape[-1] // 8
    both = torch.nn.functional.pad(torch.stack([reference, frame]), (pad, pad, pad, pad), mode="reflect")
    spectra = torch.fft.fft2(both)
    known, rest = bands(*both.shape[-2:])
    out = spectra[1] * rest.square()
    for band in known:
        cut = spectra[:, :, band.rows][:, :, :, band.columns] * band.window
        still, moved = torch.fft.ifft2(cut)
        product = (moved * still.conj()).sum(0)
        # Unit-length phasors are smoothed, not angles: no trouble with wrapping.
        product = _blurred(product)
        moved = moved * torch.polar(torch.ones_like(product.real), (alpha - 1) * product.angle())
        part = torch.fft.fft2(moved) * band.window
        out[:, band.rows[:, None], band.columns[None]] += part
    picture = torch.fft.ifft2(out).real
    return picture[:, pad:-pad, pad:-pad].clamp(0, 1)


def _blurred(values: Tensor) -> Tensor:
    """Gaussian blur of a complex picture on its periodic grid."""
    height, width = values.shape
    fy, fx = torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)[None]
    window = torch.exp(-2 * (math.pi * SMOOTHING) ** 2 * (fy**2 + fx**2))
    return torch.fft.ifft2(torch.fft.fft2(values) * window)
