# SPDX-License-Identifier: Apache-2.0
"""From two sets of keypoints to a dense deformation of the portrait, and where it must be invented."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..keypoints.blocks import AntiAliasDown, Hourglass
from ..keypoints.detector import KEYPOINTS, inclusive_grid
from ..keypoints.motion import Keypoints, inverse_2x2

VARIANCE = 0.01
"""Of the gaussians that stand for keypoints, in squared units of [-1, 1]."""


@dataclass(frozen=True, kw_only=True)
class DenseMotion:
    """Where each pixel comes from, ``(N, h, w, 2)`` as (x, y) in [-1, 1], and how much of it is visible there."""

    deformation: Tensor
    occlusion: Tensor
    """``(N, 1, h, w)`` in [0, 1]; 1 = seen in the portrait."""
    mask: Tensor
    """Weights ``(N, 11, h, w)`` of standing still and of the ten local motions."""


class DenseMotionNetwork(nn.Module):
    """Chooses, for each pixel at a quarter of the resolution, among standing still and ten local affine motions."""

    def __init__(self) -> None:
        super().__init__()
        self.hourglass = Hourglass(4 * (KEYPOINTS + 1), expansion=64, most=1024)
        self.mask = nn.Conv2d(self.hourglass.channels_out, KEYPOINTS + 1, 7, padding=3)
        self.occlusion = nn.Conv2d(self.hourglass.channels_out, 1, 7, padding=3)
        self.down = AntiAliasDown()

    def forward(self, small: Tensor, source: Keypoints, driving: Keypoints, *, align_corners: bool) -> DenseMotion:
        """``small`` ``(1, 3, h, w)`` is the portrait through `down`; ``source`` holds one set, ``driving`` N."""
        motions = _local_motions(small, source, driving)
        features = self.hourglass(self._inputs(small, source, driving, motions, align_corners))
        # What follows decides on sub-pixel places: float32 whatever the hourglass was computed in.
        features = features.float()
        mask = torch.softmax(self.mask(features), dim=1)
        return DenseMotion(
            deformation=torch.einsum("nkhw,nkhwc->nhwc", mask, motions),
            occlusion=torch.sigmoid(self.occlusion(features)),
            mask=mask,
        )

    def _inputs(
        self, small: Tensor, source: Keypoints, driving: Keypoints, motions: Tensor, align_corners: bool
    ) -> Tensor:
        """Channels ``(N, 44, h, w)``: for each motion its heat and the portrait deformed by it."""
        count, kinds = motions.shape[:2]
        pictures = small.expand(count * kinds, -1, -1, -1)
        deformed = F.grid_sample(
            pictures, motions.flatten(0, 1), mode="bilinear", padding_mode="zeros", align_corners=align_corners
        ).unflatten(0, (count, kinds))
        heat = _gaussians(driving.value, small) - _gaussians(source.value, small)
        heat = torch.cat([torch.zeros_like(heat[:, :1]), heat], dim=1)[:, :, None]
        return torch.cat([heat, deformed], dim=2).flatten(1, 2).to(self._dtype)

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.hourglass.parameters()).dtype


def _local_motions(small: Tensor, source: Keypoints, driving: Keypoints) -> Tensor:
    """``(N, 11, h, w, 2)``: where a pixel comes from if it stands still, or moves with one of the keypoints.

    Around keypoint k: J_source J_driving^-1 (z - driving) + source.
    """
    if source.jacobian is None or driving.jacobian is None:
        raise ValueError("dense motion needs jacobians")
    grid = inclusive_grid(small.shape[-2], small.shape[-1], small)
    turn = source.jacobian @ inverse_2x2(driving.jacobian)
    away = grid - driving.value[:, :, None, None, :]
    moved = torch.einsum("nkij,nkhwj->nkhwi", turn, away) + source.value[:, :, None, None, :]
    still = grid.expand(len(moved), 1, -1, -1, -1)
    return torch.cat([still, moved], dim=1)


def _gaussians(value: Tensor, like: Tensor) -> Tensor:
    """Heat ``(N, K, h, w)`` of keypoints. A gaussian of x and y is a product of two: h + w numbers, not h * w."""
    x = torch.linspace(-1, 1, like.shape[-1], dtype=like.dtype, device=like.device)
    y = torch.linspace(-1, 1, like.shape[-2], dtype=like.dtype, device=like.device)
    across = torch.exp((x - value[..., :1]) ** 2 / (-2 * VARIANCE))
    down = torch.exp((y - value[..., 1:]) ** 2 / (-2 * VARIANCE))
    return down[..., :, None] * across[..., None, :]
