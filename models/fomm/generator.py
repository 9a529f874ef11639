# SPDX-License-Identifier: Apache-2.0
"""The picture: features of the portrait, deformed, masked where nothing is known, decoded."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..fold import channels_last
from ..keypoints.blocks import DownBlock, ResBlock, SameBlock, UpBlock
from ..keypoints.fold import fold_doublings, fold_norms, fold_residuals
from ..keypoints.motion import Keypoints
from .dense_motion import DenseMotion, DenseMotionNetwork

BOTTLENECK = 6


class Generator(nn.Module):
    """Portrait ``(1, 3, H, W)`` and keypoints to pictures ``(N, 3, H, W)``.

    ``align_corners`` is what every sampling uses: upstream never says it, so it was true in the torch the weights were
    trained with (1.0), and is false in today's.
    """

    def __init__(self, *, align_corners: bool = False) -> None:
        super().__init__()
        self.first = SameBlock(3, 64, 7)
        self.down_blocks = nn.ModuleList([DownBlock(64, 128), DownBlock(128, 256)])
        self.bottleneck = nn.Sequential()
        for index in range(BOTTLENECK):
            self.bottleneck.add_module(f"r{index}", ResBlock(256))
        self.up_blocks = nn.ModuleList([UpBlock(256, 128), UpBlock(128, 64)])
        self.final = nn.Conv2d(64, 3, 7, padding=3)
        self.dense_motion_network = DenseMotionNetwork()
        self.align_corners = align_corners
        self.layout = torch.contiguous_format
        """Memory format of the features between the layers."""

    def fold(self, dtype: torch.dtype = torch.float32) -> Generator:
        """Make it fast, in place: the same numbers up to rounding, in the precision ``dtype``."""
        channels_last(fold_doublings(fold_norms(self))).to(dtype)
        if dtype == torch.float32:
            fold_residuals(self)
        self.layout = torch.channels_last
        # Masks, occlusion and the picture itself are decided in float32.
        network = self.dense_motion_network
        for part in (self.final, network.mask, network.occlusion, network.down):
            part.float()
        return self

    def forward(self, portrait: Tensor, source: Keypoints, driving: Keypoints) -> Tensor:
        """Everything in one go, as the official code does it for each frame."""
        motion = self.motion(self.dense_motion_network.down(portrait), source, driving)
        return self.render(self.encode(portrait), motion)

    def encode(self, portrait: Tensor) -> Tensor:
        """Features ``(1, 256, H/4, W/4)``, which depend on the portrait alone."""
        features = self.first(portrait.to(self.dtype))
        for block in self.down_blocks:
            features = block(features)
        return features

    def motion(self, small: Tensor, source: Keypoints, driving: Keypoints) -> DenseMotion:
        """Dense motion for the portrait ``small`` (a quarter of its size)."""
        return self.dense_motion_network(small, source, driving, align_corners=self.align_corners)

    def render(self, features: Tensor, motion: DenseMotion) -> Tensor:
        """Pictures in [0, 1] from features and motion."""
        moved = F.grid_sample(
            features.float().expand(len(motion.deformation), -1, -1, -1),
            motion.deformation,
            mode="bilinear",
            padding_mode="zeros",
            align_corners=self.align_corners,
        )
        result = self.bottleneck((moved * motion.occlusion).to(self.dtype, memory_format=self.layout))
        for block in self.up_blocks:
            result = block(result)
        return torch.sigmoid(self.final(result.float()))

    @property
    def dtype(self) -> torch.dtype:
        """What it is computed in, but for the parts that always are float32."""
        return next(self.first.parameters()).dtype
