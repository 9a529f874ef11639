# SPDX-License-Identifier: Apache-2.0
"""What cameras make of clean pictures: noise, rounding, JPEG, frames as a codec predicts them, clips through H.264."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..media import H264, kept_by
from ..media.formats import Format
from .textures import Rng

NOISE = {"noise": (0.004, 0.07), "jpeg": (0.001, 0.02), "predicted": (0.001, 0.02), "h264": (0.001, 0.02)}
"""Sigma of the noise that each camera adds, log-uniform; the others have none."""
JPEG_QUALITY, STILL_QUALITY = (60, 98), (85, 99)
PREDICTED_STEP = (0.008, 0.05)
CRF, PRESETS = (12, 28), ("veryfast", "fast", "medium", "slow")


def taken(rng: Rng, clip: Tensor, camera: str) -> Tensor:
    """Clean pictures ``(T, 3, H, W)`` of a clip as a camera gives them."""
    if camera == "clean":
        return clip
    noise = _between(rng, *NOISE[camera]) if camera in NOISE else 0.0
    seen = (clip + noise * torch.from_numpy(rng.standard_normal(clip.shape)).float()).clamp(0, 1)
    if camera == "jpeg":
        return each_by_jpeg(rng, seen)
    if camera == "predicted":
        return predicted_from_first(rng, seen)
    if camera == "h264":
        options = {"crf": str(rng.integers(*CRF)), "preset": str(rng.choice(PRESETS))}
        return through_codec(seen, options)
    if camera == "noise" and rng.uniform() >= 0.5:
        return seen
    return (seen * 255).round() / 255


def _between(rng: Rng, low: float, high: float) -> float:
    """Log-uniform."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def h264(options: dict[str, str]) -> Format:
    """H.264 as the pack writes it, but for some options, and the same every time: with its assembler libx264 gives
    other pictures whenever it is asked (its mbtree does)."""
    return replace(H264, options={**H264.options, **options, "x264-params": "asm=0"})


def through_codec(frames: Tensor, options: dict[str, str] | None = None) -> Tensor:
    """A clip ``(T, 3, H, W)`` in [0, 1] after H.264."""
    return kept_by(h264(options or {}), frames, Fraction(25))


def each_by_jpeg(rng: Rng, clip: Tensor) -> Tensor:
    """Every picture for itself, all of one quality."""
    quality = int(rng.integers(*JPEG_QUALITY))
    return torch.stack([jpeg(picture, quality) for picture in clip])


def predicted_from_first(rng: Rng, clip: Tensor) -> Tensor:
    """The first picture by JPEG, the others as what they add to it."""
    still = jpeg(clip[0], int(rng.integers(*STILL_QUALITY)))
    step = _between(rng, *PREDICTED_STEP)
    return torch.stack([still, *(predicted(still, picture, step) for picture in clip[1:])])


def jpeg(picture: Tensor, quality: int) -> Tensor:
    pixels = (picture * 255).round().byte().permute(1, 2, 0).numpy()
    _, code = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    read = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))
    return torch.from_numpy(read).permute(2, 0, 1).float() / 255


def predicted(still: Tensor, picture: Tensor, step: float) -> Tensor:
    """The picture as a codec predicts it from another: of the difference, blocks of 8 x 8 px keep what exceeds a step.

    Small motion and noise vanish alike, and what is left comes in waves over a block.
    """
    height, width = picture.shape[-2:]
    difference = F.pad((picture - still)[None], (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")[0]
    tiles = difference.unfold(1, BLOCK, BLOCK).unfold(2, BLOCK, BLOCK)
    waves = _cosines()
    sizes = waves @ tiles @ waves.T / step
    # H.264's encoders round down a third of a step further than to the nearest, so that small ones become 0.
    kept = sizes.sign() * (sizes.abs() + 1 / 3).floor() * step
    back = (waves.T @ kept @ waves).transpose(2, 3).reshape(3, difference.shape[1], -1)
    return ((still + back[..., :height, :width]).clamp(0, 1) * 255).round() / 255


BLOCK = 8


def _cosines() -> Tensor:
    """The discrete cosine transform of a block, orthonormal."""
    k, n = torch.arange(BLOCK)[:, None], torch.arange(BLOCK)
    waves = torch.cos(math.pi * (n + 0.5) * k / BLOCK) * math.sqrt(2 / BLOCK)
    waves[0] /= math.sqrt(2)
    return waves
