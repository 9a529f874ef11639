# SPDX-License-Identifier: Apache-2.0
"""How strong a displacement is, asked of the pictures once its shape is known.

Windows flatten what is narrower than they, and what competes with noise is shrunk: text at noise 0.01 moved by a tenth
less than it should, though it stood 17 times above the noise floor. How strong a motion is, is one number for a
neighbourhood, and all of its pixels tell it: by least squares, far surer than any window tells the motion itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..filters import wide_blur
from .blocks import pixels_of
from .level import Slopes

STRENGTH_PX = 16.0
"""Sigma of the neighbourhood in which a motion has one strength."""

CLEAR = 20.0
"""Power of what a displacement changes in a neighbourhood, in parts of what noise makes of it, from which on half of
the correction is made. Noise that windows took for motion has one part for each number that they are free to choose,
about ten."""

FREE = 0.25
"""Change of strength at most, in parts of the relative error that is expected of the displacement. Where parts of a
neighbourhood move apart, one strength is right for none: a clean scene loses 0.3 dB without this bound, with it 0.2."""
MOST = 0.5
"""And in any case."""

LEAST_POWER = 1e-12


def fitted(displacement: Tensor, slopes: Slopes, seen: Tensor, noise: Tensor, error: Tensor) -> Tensor:
    """The displacement ``(N, 2, h, w)`` as strong as explains best what was seen.

    ``seen`` is what the reference's slopes see of the whole motion, `Slopes.moments` of the difference between
    reference and frame, ``(N, 2, h, w)``; ``noise`` the variance of that difference, ``(N, 1, 1, 1)``; ``error`` the
    expected squared error of the displacement, ``(N, 1, h, w)`` in px^2.
    """
    return displacement * _strength(displacement.detach(), slopes, seen, noise, error)


def _strength(displacement: Tensor, slopes: Slopes, seen: Tensor, noise: Tensor, error: Tensor) -> Tensor:
    told = (displacement * seen).sum(1, keepdim=True)
    explained = (displacement * slopes.windows.changed_by(displacement)).sum(1, keepdim=True)
    power = displacement.square().sum(1, keepdim=True)
    sums = wide_blur(torch.cat([told, explained, power, error], 1), STRENGTH_PX)
    told = sums[:, :1]
    explained, power, error = sums[:, 1:].clamp(min=0).split(1, 1)
    clear = explained * pixels_of(STRENGTH_PX) / noise
    wanted = (told / (explained + LEAST_POWER) - 1) * clear / (clear + CLEAR)
    free = (FREE * (error / (power + LEAST_POWER)).sqrt()).clamp(max=MOST)
    return 1 + wanted.clamp(-free, free)
