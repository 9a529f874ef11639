# SPDX-License-Identifier: Apache-2.0
"""Noise in blocks, as a codec leaves it: told from white noise, from motion and from what is uncovered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..filters import wide_blur
from ..medians import medians

SAMPLED = 3
"""Every so many-th pixel is asked for a median: noise is then known to half a percent in 288 x 288 px."""

WINDOW_PX = 4.8
"""Sigma of the window that white noise does not outlast."""
FINE_HALVINGS = 1
"""Levels up to so many halvings are fine ones."""
SEEN, LEAST = 1 / 255, 1e-3
"""Root mean square from which a place of a fine level differs, and below which no codec matters: rounding to 8 bits."""
MARGIN = 4.0
"""So many times more than white noise leaves there is not yet called coarse, but in a fine level's last step."""
CHANCE = 12.0
"""In that one half counts of so many times more, of twice as many four fifths, and of half of it a tenth."""
ALL_OVER = 2.0
"""In the finest level's last step a picture is a codec's if all but its quietest quarter has more than so many times
what white noise leaves, for sure from one more on. White noise has 0.7 to 1.3, clean pictures less; through a codec it
is 2 to 25, less where most blocks are left out."""
TOO_COARSE = 40.0
"""And less than so many times, for sure up to three quarters of it: the rounding of a picture that was enlarged, which
hides no motion, leaves 40 to 280 times as much."""
LEAST_TYPICAL = 0.15 / 255
"""And if half of its places show more than this root mean square, for sure from 1.4 times as much on. Clips through a
codec show 0.4 to 2 levels of 8 bits; a magnified clip that is enlarged, as a driver is for a generator, 0.09 to 0.13,
coarse as its pixels are."""
UNEVEN = 4.0
"""And if the mean square of its power is at most so many times the squared mean, for sure up to one less. Through a
codec it is 1.3 to 3, beside what something large uncovers 2.5 to 25."""


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """What a residual shows of noise in blocks."""

    times: Tensor
    """How many times the variance of white noise a window must expect, ``(N, K, 1, 1)``, 1 or more."""
    sure: Tensor
    """How surely it is all that is left, ``(N, 1, 1, 1)`` in [0, 1]; 0 before the finest level's last step."""


def pixels_of(sigma: float) -> float:
    """How many pixels a window counts as: white noise loses the root of it."""
    return 4 * math.pi * sigma**2


WHITE_SHARES = pixels_of(WINDOW_PX) / 0.79
"""What white noise leaves in the window, typically, is one part in so many."""


def noise_in_blocks(left: Tensor, windows_px: Sequence[float], *, halvings: int, settled: bool) -> Blocks:
    """From what no motion explains ``(N, 3, h, w)``: a window that takes such noise for white trusts itself too much.

    White noise loses all but one part in the pixels of a window that blurs it. What is left is blurred and compared
    with itself, place by place: a motion that is still to be found is coarse, too, but in its own place. On fine
    levels, where most of it has been found, the places that differ are asked alone as well, since blocks that a codec
    has left out show nothing; and what is still clearly coarse in their last step counts in full.
    """
    kept = wide_blur(left, WINDOW_PX).square().mean(1)
    power = wide_blur(left.square().mean(1, keepdim=True), WINDOW_PX)[:, 0].clamp(min=0)
    coarse = kept / (power + LEAST**2) * WHITE_SHARES
    times = _typical(coarse)
    fine = halvings <= FINE_HALVINGS
    if fine:
        times = torch.maximum(times, _typical(coarse.where(power > SEEN**2, torch.nan)))
    times = times**3 / (times.square() + CHANCE**2) if fine and settled else times / MARGIN
    sure = _all_over(coarse, power) if settled and not halvings else torch.zeros_like(times)
    per_window = [times.view(-1, 1, 1, 1).clamp(1, pixels_of(sigma)) for sigma in windows_px]
    return Blocks(times=torch.cat(per_window, 1), sure=sure.view(-1, 1, 1, 1))


def _all_over(coarse: Tensor, power: Tensor) -> Tensor:
    """How surely a codec's noise fills a picture, ``(N,)``, from what is coarse and its power, both ``(N, h, w)``.

    What a moving thing uncovers is coarse, too, but a few places of it are much stronger than the rest, and it does not
    fill a picture.
    """
    half = _typical(power)
    quarter = _typical(power.where(power <= half[:, None, None], torch.nan))
    typical = _typical(coarse.where(power >= quarter[:, None, None], torch.nan))
    uneven = power.square().mean((1, 2)) / (power.mean((1, 2)).square() + LEAST**4)
    coarse_enough = (typical - ALL_OVER).clamp(0, 1) * (4 - 4 * typical / TOO_COARSE).clamp(0, 1)
    strong_enough = (half / LEAST_TYPICAL**2 - 1).clamp(0, 1)
    return coarse_enough * strong_enough * (UNEVEN - uneven).clamp(0, 1)


def _typical(values: Tensor) -> Tensor:
    """Median of each picture's, those that are nan left out; 0 where all are."""
    return medians(values.flatten(1)[:, ::SAMPLED]).nan_to_num(0)
