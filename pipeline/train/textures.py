# SPDX-License-Identifier: Apache-2.0
"""Continuous textures: colours at any real-valued place, so that a moved picture is rendered and never resampled.

A texture is a function of coordinates ``(P, 2)`` in px to colours ``(P, 3)`` around 0.5, for the most part in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ...models.sampling import sample_spline

Texture = Callable[[Tensor], Tensor]
Rng = np.random.Generator


def _tensor(values: object) -> Tensor:
    return torch.as_tensor(np.asarray(values), dtype=torch.float32)


def _log_uniform(rng: Rng, low: float, high: float, count: int | None = None) -> np.ndarray:
    return np.exp(rng.uniform(math.log(low), math.log(high), count))


def plane_waves(rng: Rng, *, shortest_px: float = 4.0, longest_px: float = 80.0, count: int = 32) -> Texture:
    """Sum of plane waves, amplitude a power of the wavelength."""
    wavelength, angle = _log_uniform(rng, shortest_px, longest_px, count), rng.uniform(0, math.tau, count)
    wave = _tensor(math.tau / wavelength * np.stack([np.cos(angle), np.sin(angle)]))
    weight = wavelength ** rng.uniform(0.5, 1.3)
    weight = weight / np.sqrt((weight**2).sum())
    colour = rng.normal(size=(2, count, 3)) * 0.4 + rng.normal(size=(2, count, 1))
    mix = _tensor(rng.uniform(0.05, 0.2) * weight[:, None] * colour)

    def colours(at: Tensor) -> Tensor:
        phase = at @ wave
        return 0.5 + phase.sin() @ mix[0] + phase.cos() @ mix[1]

    return colours


def spline_noise(
    rng: Rng, *, finest_px: float, size_px: float, octaves: int, power: float, strength: float, grey: float = 0.7
) -> Texture:
    """Noise with spectrum 1/f^power: cubic splines through random lattices, every one turned by another angle."""
    layers = []
    total = math.sqrt(sum(4.0 ** (power * k) for k in range(octaves)))
    for k in range(octaves):
        spacing = finest_px * 2**k * rng.uniform(0.9, 1.1)
        side = math.ceil(1.6 * size_px / spacing) + 6
        values = grey * rng.normal(size=(1, 1, side, side)) + (1 - grey) * rng.normal(size=(1, 3, side, side))
        angle = rng.uniform(0, math.tau)
        turn = _tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) / spacing
        layers.append(
            (_tensor(values) * (2 * strength * 2 ** (power * k) / total), turn, side / 2 + rng.uniform(-1, 1))
        )

    def colours(at: Tensor) -> Tensor:
        centred = at - size_px / 2
        out = torch.full((len(at), 3), 0.5)
        for values, turn, middle in layers:
            places = (centred @ turn + middle).T.reshape(1, 2, 1, -1)
            out += sample_spline(values, places)[0, :, 0].T
        return out

    return colours


def dead_leaves(rng: Rng, *, size_px: float, count: int = 70) -> Texture:
    """Overlapping discs, ellipses and boxes with soft edges, radii by a power law, flat or shaded."""
    radius = (3.0**-1.5 + rng.uniform(size=count) * (0.6 * size_px) ** -1.5) ** (-1 / 1.5)
    radius = np.sort(np.minimum(radius * _log_uniform(rng, 0.8, 4.0, count), 0.6 * size_px))[::-1]
    aspect, angle = _log_uniform(rng, 0.35, 1.0, count), rng.uniform(0, math.tau, count)
    axes = np.stack(
        [
            np.stack([np.cos(angle), np.sin(angle)]) / radius,
            np.stack([-np.sin(angle), np.cos(angle)]) / (radius * aspect),
        ]
    )
    shape = {
        "centre": _tensor(rng.uniform(-0.2, 1.2, (count, 2)) * size_px),
        "axes": _tensor(axes),
        "edge": _tensor(radius * aspect / _log_uniform(rng, 0.7, 3.0, count)),
        "colour": _tensor(_palette(rng, count)),
        "shade": _tensor(rng.normal(size=(count, 3)) * 0.08),
    }
    boxes = rng.uniform(size=count) < 0.25
    background = _tensor(_palette(rng, 1))

    def colours(at: Tensor) -> Tensor:
        out = background.expand(len(at), 3).clone()
        for k in range(count):
            local = (at - shape["centre"][k]) @ shape["axes"][:, :, k].T
            distance = local.abs().amax(1) if boxes[k] else local.square().sum(1).sqrt()
            cover = torch.sigmoid((1 - distance) * shape["edge"][k] * 2)[:, None]
            leaf = shape["colour"][k] + local[:, :1] * shape["shade"][k]
            out = torch.lerp(out, leaf, cover)
        return out

    return colours


def _palette(rng: Rng, count: int) -> np.ndarray:
    contrast = rng.uniform(0.08, 0.35)
    grey = rng.normal(size=(count, 1))
    return np.clip(0.5 + contrast * (0.8 * grey + 0.4 * rng.normal(size=(count, 3))), 0.02, 0.98)


def strokes(rng: Rng, below: Texture, *, size_px: float, count: int = 40, rows: bool = True) -> Texture:
    """Short soft lines over another texture: in rows they look like text, else like hairs of a brow or wrinkles."""
    if rows:
        pitch = rng.uniform(5, 14)
        start = np.stack(
            [rng.uniform(0, size_px, count), pitch * rng.integers(0, math.ceil(size_px / pitch), count)], 1
        )
        length, angle = rng.uniform(0.2, 0.8, count) * pitch, rng.choice([0, 0.25, 0.5, 0.75], count) * math.pi
    else:
        centre, heading = rng.uniform(0.15, 0.85, 2) * size_px, rng.uniform(0, math.tau)
        start = centre + rng.normal(size=(count, 2)) * size_px * rng.uniform(0.05, 0.25)
        length, angle = rng.uniform(3, 14, count), heading + rng.normal(size=count) * 0.4
    along = np.stack([np.cos(angle), np.sin(angle)], 1)
    first, unit, reach = _tensor(start), _tensor(along), _tensor(length)
    width, ink = float(rng.uniform(0.5, 1.4)), _tensor(_palette(rng, 1) * rng.uniform(0.2, 1))
    dark = float(rng.uniform(0.3, 1))

    def colours(at: Tensor) -> Tensor:
        offset = at[:, None] - first
        travelled = torch.minimum((offset * unit).sum(2).clamp(min=0), reach)
        squared = (offset - travelled[..., None] * unit).square().sum(2).amin(1)
        cover = dark * torch.exp(-squared / (2 * width**2))[:, None]
        return torch.lerp(below(at), ink, cover)

    return colours


def skin(rng: Rng, *, size_px: float) -> Texture:
    """Soft shading in skin tones, faint pores, and at times a brow or wrinkles."""
    shading = spline_noise(
        rng, finest_px=14, size_px=size_px, octaves=3, power=1.0, strength=rng.uniform(0.04, 0.15), grey=0.9
    )
    pores = spline_noise(
        rng,
        finest_px=rng.uniform(2.0, 3.0),
        size_px=size_px,
        octaves=3,
        power=0.5,
        strength=rng.uniform(0.004, 0.03),
        grey=0.9,
    )
    tone = _tensor(rng.uniform(0.3, 0.8) * np.array([1.15, 0.95, 0.85]))

    def plain(at: Tensor) -> Tensor:
        return tone * (shading(at) + pores(at))

    return strokes(rng, plain, size_px=size_px, rows=False) if rng.uniform() < 0.6 else plain


def faded(texture: Texture, contrast: float, towards: Sequence[float]) -> Texture:
    """The same with less contrast."""
    colour = _tensor(towards)
    return lambda at: torch.lerp(colour.expand(len(at), 3), texture(at), contrast)


def by_sensor(texture: Texture, finer: int) -> Texture:
    """What pixels show of a texture ``finer`` times as fine: the mean of ``finer`` x ``finer`` places in each.

    A picture so made has edges as sharp as a sensor's and what a sensor folds back of a finer pattern.
    """
    inside = torch.arange(finer) - (finer - 1) / 2
    places = torch.cartesian_prod(inside, inside)

    def colours(at: Tensor) -> Tensor:
        middle = (at + 0.5) * finer - 0.5
        return torch.stack([texture(middle + place) for place in places]).mean(0)

    return colours


KINDS = ("skin", "leaves", "noise", "waves", "text")


def random_texture(rng: Rng, size_px: float, kind: str | None = None) -> Texture:
    """One of all kinds, for pictures of ``size_px``."""
    kind = kind or str(rng.choice(KINDS, p=(0.35, 0.25, 0.2, 0.1, 0.1)))
    if kind == "skin":
        return skin(rng, size_px=size_px)
    if kind == "leaves":
        texture = dead_leaves(rng, size_px=size_px)
    elif kind == "waves":
        texture = plane_waves(rng)
    else:
        texture = spline_noise(
            rng,
            finest_px=rng.uniform(1.8, 3.0),
            size_px=size_px,
            octaves=5,
            power=rng.uniform(0.6, 1.3),
            strength=rng.uniform(0.06, 0.2),
        )
        if kind == "text":
            texture = strokes(rng, faded(texture, 0.3, rng.uniform(0.6, 0.9, 3).tolist()), size_px=size_px)
    return faded(texture, rng.uniform(0.3, 1), rng.uniform(0.3, 0.7, 3).tolist()) if rng.uniform() < 0.4 else texture
