# SPDX-License-Identifier: Apache-2.0
"""How the volume is deformed by an expression."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import GROUPS, StyledBlock
from .pose import DEPTH, SIZE, volume_grid

_STAGES = ((512, 256), (256, 128), (128, 64), (64, 32))
_FACTORS = ((2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
"""By which each stage enlarges depth, height and width, from 4 x 4 x 4."""


class Projector(nn.Module):
    """Warp embeddings ``(N, 512, 4, 4)`` to a style ``(N, C, 2)`` for each of the norms."""

    def __init__(self) -> None:
        super().__init__()
        channels = [c for stage in _STAGES for c in stage]
        self.u = nn.ParameterList([nn.Parameter(torch.zeros(c, 512)) for c in channels])
        self.v = nn.ParameterList([nn.Parameter(torch.zeros(16, 2)) for _ in channels])

    def forward(self, embedding: Tensor) -> list[Tensor]:
        flat = embedding.flatten(2)
        return [u @ flat @ v for u, v in zip(self.u, self.v, strict=True)]


class WarpGenerator(nn.Module):
    """Warp embeddings ``(N, 512, 4, 4)`` to sampling places ``(N, 16, 64, 64, 3)`` in [-2, 2], in the order x, y, z."""

    def __init__(self) -> None:
        super().__init__()
        self.first_conv = nn.Conv2d(512, 512 * 4, 1, bias=False)
        self.projector = Projector()
        self.blocks_3d = nn.ModuleList(StyledBlock(*stage) for stage in _STAGES)
        self.pre_head = nn.Sequential(nn.GroupNorm(GROUPS, 32), nn.ReLU())
        self.head = nn.Sequential(nn.Sequential(nn.Conv3d(32, 3, 3, padding=1)))

    def forward(self, embedding: Tensor) -> Tensor:
        return volume_grid(embedding).view(1, DEPTH, SIZE, SIZE, 4)[..., :3] + self.delta(embedding)

    def delta(self, embedding: Tensor) -> Tensor:
        """The deformation alone."""
        styles = self.projector(embedding)
        features = self.first_conv(embedding).unflatten(1, (512, 4))
        for index, (block, factors) in enumerate(zip(self.blocks_3d, _FACTORS, strict=True)):
            features = F.interpolate(features, scale_factor=factors, mode="trilinear", align_corners=False)
            features = cast(StyledBlock, block).styled(features, styles[2 * index], styles[2 * index + 1])
        features = self.pre_head(F.avg_pool3d(features, (2, 1, 1)))
        return torch.tanh(self.head(features)).permute(0, 2, 3, 4, 1)
