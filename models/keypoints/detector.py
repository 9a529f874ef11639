# SPDX-License-Identifier: Apache-2.0
"""Unsupervised keypoint detector of the first order model, which FSRT uses too.

Siarohin et al., First Order Motion Model for Image Animation, NeurIPS 2019, and its released face checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import MagPlusError
from .blocks import AntiAliasDown, Hourglass
from .motion import Keypoints

KEYPOINTS = 10
FEATURES = 35
TEMPERATURE = 0.1
STEP = 128
"""Sides must be multiples of it: 4 in front of the hourglass, 2 to the fifth inside."""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """Keypoints, and what FSRT reads the expression from."""

    keypoints: Keypoints
    features: Tensor
    """``(N, 35, H/4, W/4)``."""
    heatmaps: Tensor
    """``(N, 10, H/4 - 6, W/4 - 6)``, each with sum 1."""


class KeypointDetector(nn.Module):
    """Ten keypoints of pictures ``(N, 3, H, W)`` in [0, 1], H and W multiples of 128, with or without jacobians."""

    def __init__(self, *, jacobian: bool) -> None:
        super().__init__()
        self.predictor = Hourglass(3, expansion=32, most=1024)
        self.kp = nn.Conv2d(FEATURES, KEYPOINTS, 7)
        self.jacobian = nn.Conv2d(FEATURES, 4 * KEYPOINTS, 7) if jacobian else None
        self.down = AntiAliasDown()

    def forward(self, pictures: Tensor) -> Detection:
        features = self.predictor(self.down(pictures))
        logits = self.kp(features)
        heatmaps = torch.softmax(logits.flatten(2) / TEMPERATURE, dim=2).view_as(logits)
        keypoints = Keypoints(value=_centre(heatmaps), jacobian=self._jacobian(features, heatmaps))
        return Detection(keypoints=keypoints, features=features, heatmaps=heatmaps)

    def _jacobian(self, features: Tensor, heatmaps: Tensor) -> Tensor | None:
        if self.jacobian is None:
            return None
        maps = self.jacobian(features).unflatten(1, (KEYPOINTS, 4))
        return torch.einsum("nkhw,nkjhw->nkj", heatmaps, maps).unflatten(2, (2, 2))


def check_sides(pictures: Tensor, *, of: str) -> None:
    """Refuse pictures ``(N, 3, H, W)`` of a size that the model ``of`` cannot take."""
    height, width = pictures.shape[-2:]
    if height % STEP or width % STEP:
        raise MagPlusError(f"{of} cannot take {width} x {height} px: give sides that are multiples of {STEP}.")


def inclusive_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Coordinates ``(H, W, 2)``, (x, y), that reach -1 and 1 at the centres of the outermost pixels.

    The detector's grid spans the inner part of the picture that its unpadded convolution sees, yet is stretched over
    all of [-1, 1]: the weights were trained so.
    """
    y = torch.linspace(-1, 1, height, dtype=like.dtype, device=like.device)
    x = torch.linspace(-1, 1, width, dtype=like.dtype, device=like.device)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def _centre(heatmaps: Tensor) -> Tensor:
    grid = inclusive_grid(heatmaps.shape[-2], heatmaps.shape[-1], heatmaps)
    return torch.einsum("nkhw,hwc->nkc", heatmaps, grid)
