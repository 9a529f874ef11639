# SPDX-License-Identifier: Apache-2.0
"""How good a magnifier is on scenes that training never draws."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from ...models.lkmag.network import LKMag
from ..measure.quality import psnr_db
from .losses import BORDER_PX
from .scenes import Batch, Condition, render_batch

ALPHAS = (0.125, 2.0, 8.0, 32.0)
NOISES = (0.0, 0.01, 0.05)
SCENES, SIZE_PX, OUTPUT_PX = 3, 96, 4.0
VALIDATION = 0xDE7
"""Part of the seeds of these scenes, and of no others. They are the same for every training."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """Means over all conditions."""

    psnr_db: float
    clean_psnr_db: float
    """Of the conditions without noise."""
    gain: float
    """Slope of measured on true displacement."""
    error_px: float
    """End-point error times alpha, or as it is for alpha below 1."""

    def __str__(self) -> str:
        return (
            f"{self.psnr_db:.2f} dB ({self.clean_psnr_db:.2f} without noise), gain {self.gain:.3f}, "
            f"error {self.error_px:.3f} px"
        )


@lru_cache(maxsize=1)
def _scenes() -> list[tuple[Condition, Batch]]:
    conditions = [
        Condition(alpha=alpha, noise=noise, eight_bit=False, output_px=OUTPUT_PX, plain=True)
        for alpha in ALPHAS
        for noise in NOISES
    ]
    return [(c, render_batch((VALIDATION, k), SCENES, SIZE_PX, c)) for k, c in enumerate(conditions)]


@torch.no_grad()
def validate(network: LKMag) -> Score:
    """Score of a magnifier on the development scenes."""
    psnrs, clean, gains, errors = [], [], [], []
    inner = slice(BORDER_PX, -BORDER_PX)
    for condition, batch in _scenes():
        state = network.prepare_pairs(batch.reference, batch.alpha)
        found = network.displacement(state, batch.frame)
        picture = network.render(state, batch.frame, found)
        psnr = psnr_db(picture[..., inner, inner], batch.truth[..., inner, inner])
        psnrs.append(psnr)
        if not condition.noise:
            clean.append(psnr)
        truth = batch.displacement
        gains.append(float(((found * truth).sum((1, 2, 3)) / truth.square().sum((1, 2, 3)).clamp(min=1e-9)).mean()))
        factor = max(condition.alpha or 1.0, 1.0)
        errors.append(factor * float((found - truth).square().sum(1).sqrt().mean()))
    return Score(psnr_db=_mean(psnrs), clean_psnr_db=_mean(clean), gain=_mean(gains), error_px=_mean(errors))


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
