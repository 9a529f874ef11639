# SPDX-License-Identifier: Apache-2.0
"""The portrait's appearance as a volume of features."""

from __future__ import annotations

from torch import Tensor, nn

from .layers import GROUPS, DownBlock

CHANNELS, DEPTH = 96, 16
"""Of every volume ``(N, 96, 16, 64, 64)``: channels, and steps towards the back of the head."""


class LocalEncoder(nn.Module):
    """Pictures ``(N, 3, 512, 512)`` to volumes ``(N, 96, 16, 64, 64)``."""

    def __init__(self) -> None:
        super().__init__()
        self.from_rgb_512px = nn.Conv2d(3, 128, 7, padding=3)
        self._blocks = ("enc_0_block=512px", "enc_1_block=256px", "enc_2_block=128px")
        for name, channels in zip(self._blocks, ((128, 256), (256, 512), (512, 512)), strict=True):
            self.add_module(name, DownBlock(*channels))
        self.finale_layers = nn.Sequential(nn.GroupNorm(GROUPS, 512), nn.ReLU(), nn.Conv2d(512, CHANNELS * DEPTH, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        features = self.from_rgb_512px(pictures)
        for name in self._blocks:
            features = self.get_submodule(name)(features)
        return self.finale_layers(features).unflatten(1, (CHANNELS, DEPTH))
