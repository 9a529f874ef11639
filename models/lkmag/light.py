# SPDX-License-Identifier: Apache-2.0
"""The change of light from one picture to another: a gain and an offset of each colour."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

CELLS = 24
"""Of the fit, along the shorter side: noise and the two sides of a moving edge cancel in the mean of a cell."""
ROUNDS = 3
LEAST_SIGMA = 1e-6
LEAST_CONTRAST = 1e-3
"""Standard deviation of a colour below which a gain cannot be told from an offset, and is taken for none."""
CLEAR = 1.0
"""A light is believed from where it explains so many times as much of the cells' changes as it leaves; fully at twice
that."""


@dataclass(frozen=True, kw_only=True)
class Light:
    """``second = first + gain * first + offset``, both ``(N, C, 1, 1)``."""

    gain: Tensor
    offset: Tensor

    def on(self, picture: Tensor) -> Tensor:
        """What this light adds to a picture in the light of the first."""
        return self.gain * picture + self.offset


@torch.no_grad()
def light_between(first: Tensor, second: Tensor) -> Light:
    """Robust fit over pictures ``(N, C, H, W)`` that show the same points at about the same places.

    Exposure, flicker of lamps and white balance change a whole picture so; shadows do not. Cells that differ by more
    than the rest count little (Cauchy's weights, reweighted least squares): there something moves or is hidden. Where
    most of a picture does, no light is found.
    """
    first, second = torch.broadcast_tensors(first, second)
    side = max(min(first.shape[-2:]) // CELLS, 1)
    x, y = (F.avg_pool2d(picture, side).flatten(2) for picture in (first, second))
    change, share = y - x, torch.full_like(y, 1 / y.shape[2])
    for _ in range(ROUNDS):
        x_mean, y_mean = _mean(share, x), _mean(share, change)
        apart = x - x_mean
        gain = _mean(share, apart * (change - y_mean)) / (_mean(share, apart.square()) + LEAST_CONTRAST**2)
        offset = y_mean - gain * x_mean
        left = change - gain * x - offset
        sigma = left.abs().median(2, keepdim=True).values / 0.6745 + LEAST_SIGMA
        weight = 1 / (1 + (left / (2 * sigma)).square())
        share = weight / weight.sum(2, keepdim=True)
    before, after = _mean(share, change.square()), _mean(share, left.square()) + LEAST_SIGMA**2
    belief = ((before - after) / (CLEAR * after) - 1).clamp(0, 1)
    return Light(gain=(belief * gain)[..., None], offset=(belief * offset)[..., None])


def _mean(share: Tensor, values: Tensor) -> Tensor:
    return (share * values).sum(2, keepdim=True)
