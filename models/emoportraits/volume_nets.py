# SPDX-License-Identifier: Apache-2.0
"""What happens to the portrait's volume before and after it is brought into the canonical pose and expression."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import GROUPS, ResBlock
from .local_encoder import CHANNELS

_DOWN = ((96, 192), (192, 384), (384, 512))
_UP = ((512, 384), (384, 192), (192, 96))
_POOLS = ((1, 2, 2), (2, 2, 2))
_FACTORS = ((2, 2, 2), (2, 2, 2), (1, 2, 2))


class _Blocks(nn.Module):
    """The released file has the blocks one level deeper."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(*(ResBlock(CHANNELS, CHANNELS, dims=3, bias=False) for _ in range(3)))


class SourceVolume(nn.Module):
    """Volumes ``(N, 96, 16, 64, 64)`` to the same."""

    def __init__(self) -> None:
        super().__init__()
        self.net = _Blocks()

    def forward(self, volume: Tensor) -> Tensor:
        return self.net.net(volume)


class ProcessVolume(nn.Module):
    """A U-Net over volumes ``(N, 96, 16, 64, 64)``. Its way up starts from a learned constant."""

    def __init__(self) -> None:
        super().__init__()
        self.input_tensor = nn.Parameter(torch.zeros(1, 512, 8, 8, 8))
        self.blocks_3d_down = nn.ModuleList(ResBlock(a, b, dims=3, bias=False) for a, b in _DOWN)
        self.blocks_3d_up = nn.ModuleList(ResBlock(a, b, dims=3, bias=False) for a, b in _UP)
        self.skip_blocks_3d_up = nn.ModuleList(ResBlock(a, a, dims=3, bias=False) for a, _ in _UP)
        self.head = nn.Sequential(nn.GroupNorm(GROUPS, CHANNELS), nn.ReLU(), nn.Conv3d(CHANNELS, CHANNELS, 1))

    def forward(self, volume: Tensor) -> Tensor:
        features = self.blocks_3d_down[0](_enlarged(volume, (2, 1, 1)))
        kept = [features]
        for block, pool in zip(self.blocks_3d_down[1:], _POOLS, strict=True):
            features = block(averaged(features, pool))
            kept.append(features)
        result = self.input_tensor.expand(len(volume), -1, -1, -1, -1)
        for block, skip, factors in zip(self.blocks_3d_up, self.skip_blocks_3d_up, _FACTORS, strict=True):
            result = block(_enlarged(result, factors) + skip(kept.pop()))
        return self.head(averaged(result, (2, 1, 1)))


def averaged(volume: Tensor, factors: tuple[int, int, int]) -> Tensor:
    """Smaller by averaging; in float32, as torch has no other on a processor."""
    return F.avg_pool3d(volume.float(), factors).to(volume.dtype)


def _enlarged(volume: Tensor, factors: tuple[int, int, int]) -> Tensor:
    return F.interpolate(volume, scale_factor=factors, mode="trilinear", align_corners=False)
