# SPDX-License-Identifier: Apache-2.0
"""Reference, frame and the true magnified frame of one scene, rendered from continuous functions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...models.filters import gaussian_blur
from .cameras import each_by_jpeg, predicted_from_first
from .motion import MAX_STRAIN, Motion, grid, random_motion, strain
from .textures import Rng, Texture, random_texture

OVERLAP = 0.25
"""Share of scenes with a disc that moves on its own in front."""


JPEG, PREDICTED = 0.2, 0.15
"""Shares of scenes through a codec: every picture for itself, or the frame as what it adds to the reference."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """How a scene is seen. ``None`` is drawn anew for every scene."""

    alpha: float | None = None
    noise: float | None = None
    """Sigma of white noise on reference and frame, in [0, 1] units."""
    eight_bit: bool | None = None
    output_px: float | None = None
    """Largest displacement in the truth, or in the frame for alpha below 1."""
    plain: bool = False
    """Without JPEG, blur and change of light."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Scenes ``(N, 3, S, S)`` and their truth."""

    reference: Tensor
    frame: Tensor
    truth: Tensor
    """The magnified frame, free of noise and rounding."""
    displacement: Tensor
    """``(N, 2, S, S)`` in px, of the reference's pixels to the frame."""
    alpha: Tensor
    """``(N, 1, 1, 1)``."""


def render_batch(seed: tuple[int, ...], count: int, size_px: int, condition: Condition | None = None) -> Batch:
    """``count`` scenes; the same seed gives the same ones."""
    rng = np.random.default_rng(seed)
    scenes = [_scene(rng, size_px, condition or Condition()) for _ in range(count)]
    reference, frame, truth, displacement = (torch.stack(part) for part in list(zip(*scenes, strict=True))[:4])
    alpha = torch.tensor([scene[4] for scene in scenes]).view(-1, 1, 1, 1)
    return Batch(reference=reference, frame=frame, truth=truth, displacement=displacement, alpha=alpha)


def _scene(rng: Rng, size: int, wanted: Condition) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
    alpha = wanted.alpha if wanted.alpha is not None else _factor(rng)
    motion = _sized(rng, random_motion(rng, size), size, alpha, wanted)
    places = grid(size)
    pictures = _pictures(random_texture(rng, size), motion, alpha, places)
    displacement = motion(places)
    if rng.uniform() < OVERLAP:
        front = _sized(rng, random_motion(rng, size, local=bool(rng.uniform() < 0.5)), size, alpha, wanted)
        matte = disc(rng, size)
        covers = _pictures(matte, front, alpha, places)
        pictures = torch.lerp(pictures, _pictures(random_texture(rng, size), front, alpha, places), covers)
        displacement = torch.where(matte(places)[:, :1] > 0.5, front(places), displacement)
    square = pictures.transpose(1, 2).reshape(3, 3, size, size)
    reference, frame, truth = _degraded(rng, square, alpha, wanted)
    return reference, frame, truth, displacement.T.reshape(2, size, size), alpha


def _factor(rng: Rng) -> float:
    """Alpha from 1/32 to 32, but for the neighbourhood of 1, where there is little to do."""
    octaves = rng.uniform(0.5, 5)
    return 2.0 ** (octaves if rng.uniform() < 0.6 else -octaves)


def _sized(rng: Rng, motion: Motion, size: int, alpha: float, wanted: Condition) -> Motion:
    """The motion with a size for input and output that neither folds nor leaves the range to be learned."""
    if wanted.output_px is None and rng.uniform() < 0.05:
        return motion.times(0.0)
    largest = wanted.output_px or math.exp(rng.uniform(math.log(0.4), math.log(8.0 if alpha > 1 else 12.0)))
    unit = MAX_STRAIN / strain(motion, size)
    return motion.times(min(largest, unit) / max(alpha, 1.0))


def _pictures(texture: Texture, motion: Motion, alpha: float, places: Tensor) -> Tensor:
    """Colours ``(3, P, C)`` of reference, frame and truth."""
    at = torch.cat([places, motion.origin(places), motion.times(alpha).origin(places)])
    return texture(at).view(3, len(places), -1)


def disc(rng: Rng, size: int) -> Texture:
    centre = torch.from_numpy(rng.uniform(0.2, 0.8, 2) * size).float()
    radius, edge = rng.uniform(0.12, 0.35) * size, rng.uniform(0.5, 2.0)
    return lambda at: torch.sigmoid((radius - (at - centre).norm(dim=1, keepdim=True)) / edge * 2).expand(-1, 3)


def _degraded(rng: Rng, clean: Tensor, alpha: float, wanted: Condition) -> tuple[Tensor, Tensor, Tensor]:
    """Reference, frame and truth as a camera gives them; the truth knows light and blur, but no noise."""
    noise = wanted.noise
    if noise is None:
        noise = 0.0 if rng.uniform() < 0.25 else math.exp(rng.uniform(math.log(0.003), math.log(0.07)))
    eight_bit = wanted.eight_bit if wanted.eight_bit is not None else bool(rng.uniform() < 0.6)
    if not wanted.plain:
        if rng.uniform() < 0.2:
            clean = gaussian_blur(clean, rng.uniform(0.4, 1.2))
        if rng.uniform() < 0.2:
            clean = _light(rng, clean, alpha)
    clean = clean.clamp(0, 1)
    seen = (clean[:2] + noise * torch.from_numpy(rng.standard_normal(clean[:2].shape)).float()).clamp(0, 1)
    codec = 1.0 if wanted.plain else rng.uniform()
    if codec < JPEG:
        seen = each_by_jpeg(rng, seen)
    elif codec < JPEG + PREDICTED:
        seen = predicted_from_first(rng, seen)
    elif eight_bit:
        seen = (seen * 255).round() / 255
    return seen[0], seen[1], clean[2]


def _light(rng: Rng, clean: Tensor, alpha: float) -> Tensor:
    """A change of gain and offset from reference to frame: it follows alpha up to 1, and stays as it is beyond."""
    gain, offset = rng.normal(size=(3, 1, 1)) * 0.01 + rng.normal() * 0.02, rng.normal() * 0.01
    share = torch.tensor([0.0, 1.0, min(alpha, 1.0)]).view(3, 1, 1, 1)
    return clean + share * (clean * torch.from_numpy(gain).float() + offset)
