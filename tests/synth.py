"""Test clips with exactly known motion, rendered from a continuous texture at real-valued coordinates.

No picture is ever warped here: a frame is the texture evaluated where each of its pixels came from, so that the truth
is free of interpolation error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Field = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Displacement ``(dx, dy)`` in px of the material points at ``(x, y)``."""


@dataclass(frozen=True)
class Texture:
    """Sum of plane waves with a 1/f spectrum, wavelengths 5 to 80 px, values well inside [0, 1]."""

    seed: int = 0
    waves: int = 60
    shortest_px: float = 5.0
    longest_px: float = 80.0

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Colours ``(3, *x.shape)``."""
        rng = np.random.default_rng(self.seed)
        wavelength = np.exp(rng.uniform(np.log(self.shortest_px), np.log(self.longest_px), self.waves))
        angle = rng.uniform(0, 2 * np.pi, self.waves)
        phase = rng.uniform(0, 2 * np.pi, (3, self.waves))
        weight = wavelength / np.sqrt((wavelength**2).sum() / 2)
        colours = np.zeros((3, *x.shape))
        for k in range(self.waves):
            along = 2 * np.pi / wavelength[k] * (np.cos(angle[k]) * x + np.sin(angle[k]) * y)
            for c in range(3):
                colours[c] += weight[k] * np.sin(along + phase[c, k])
        return 0.5 + 0.13 * colours


def bump(cx: float, cy: float, sigma: float, dx: float, dy: float) -> Field:
    """A gaussian push: ``(dx, dy)`` px at the centre, nothing far away."""

    def field(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weight = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
        return dx * weight, dy * weight

    return field


def shift(dx: float, dy: float) -> Field:
    """Everything moves alike."""
    return lambda x, y: (np.full_like(x, dx), np.full_like(x, dy))


def total(*fields: Field) -> Field:
    """Sum of displacement fields."""

    def field(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = [f(x, y) for f in fields]
        return sum(p[0] for p in parts), sum(p[1] for p in parts)

    return field


def scaled(field: Field, factor: float) -> Field:
    """A displacement field times a number."""

    def times(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        dx, dy = field(x, y)
        return factor * dx, factor * dy

    return times


def pixel_grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates ``(x, y)`` of all pixel centres."""
    y, x = np.meshgrid(np.arange(height, dtype=np.float64), np.arange(width, dtype=np.float64), indexing="ij")
    return x, y


def render(texture: Texture, field: Field, height: int, width: int) -> Tensor:
    """Frame ``(3, H, W)`` in which the material point at ``q`` of the texture stands at ``q + field(q)``."""
    x, y = pixel_grid(height, width)
    qx, qy = x.copy(), y.copy()
    for _ in range(60):
        dx, dy = field(qx, qy)
        qx, qy = x - dx, y - dy
    return torch.from_numpy(texture(qx, qy)).float()


def displacement(field: Field, height: int, width: int) -> Tensor:
    """True displacement ``(2, H, W)`` of the reference's pixels."""
    return torch.from_numpy(np.stack(field(*pixel_grid(height, width)))).float()


def micro_motion(count: int, peak_frame: float = 0.5, width: float = 0.15) -> np.ndarray:
    """Strength of a micro-expression over ``count`` frames: a bump with peak 1; the first frame is 0 exactly."""
    t = np.linspace(0, 1, count)
    bell = np.exp(-((t - peak_frame) ** 2) / (2 * width**2))
    return (bell - bell[0]) / (1 - bell[0])


def clip(
    field: Field, strengths: np.ndarray, size: tuple[int, int] = (64, 64), seed: int = 0, noise: float = 0.0
) -> Tensor:
    """Frames ``(T, 3, H, W)`` of a texture moved by ``strengths[t] * field``, with white noise of sigma ``noise``."""
    texture = Texture(seed)
    frames = torch.stack([render(texture, scaled(field, float(s)), *size) for s in strengths])
    generator = torch.Generator().manual_seed(seed)
    return frames + noise * torch.randn(frames.shape, generator=generator)
