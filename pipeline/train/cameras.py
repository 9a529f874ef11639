# SPDX-License-Identifier: Apache-2.0
"""What cameras make of clean pictures: noise, rounding, JPEG, frames as a codec predicts them, clips through H.264."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from ..media import H264, ClipWriter, open_clip
from ..media.formats import Format
from .scenes import jpeg, predicted
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
        quality = int(rng.integers(*JPEG_QUALITY))
        return torch.stack([jpeg(picture, quality) for picture in seen])
    if camera == "predicted":
        still = jpeg(seen[0], int(rng.integers(*STILL_QUALITY)))
        step = _between(rng, *PREDICTED_STEP)
        return torch.stack([still, *(predicted(still, picture, step) for picture in seen[1:])])
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
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with ClipWriter(path, rate=Fraction(25), format=h264(options or {})) as writer:
            writer.write(frames)
        return torch.cat(list(open_clip(path).chunks()))
