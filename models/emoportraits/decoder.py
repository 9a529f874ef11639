# SPDX-License-Identifier: Apache-2.0
"""The picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import GROUPS, ResBlock, UpBlock
from .local_encoder import CHANNELS, DEPTH

_WIDTHS = ((512, 320), (320, 192), (192, 128))


class ImageDecoder(nn.Module):
    """Features ``(N, 512, 64, 64)`` to pictures ``(N, 3, 512, 512)`` in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.dec_img_blocks = nn.Sequential()
        for a, b in _WIDTHS:
            self.dec_img_blocks.extend([UpBlock(a, b), ResBlock(b, b)])
        self.dec_img_head = nn.Sequential(nn.GroupNorm(GROUPS, 128), nn.ReLU(), nn.Conv2d(128, 3, 1))

    def forward(self, features: Tensor) -> Tensor:
        norm, relu, last = self.dec_img_head
        # In float32 whatever came before: half precision would show as steps in a cheek.
        return torch.sigmoid(last(relu(norm(self.dec_img_blocks(features))).float()))


class Decoder(nn.Module):
    """Volumes ``(N, 96, 16, 64, 64)`` to pictures ``(N, 3, 512, 512)`` in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.res_decoder = nn.Sequential(
            nn.Conv2d(CHANNELS * DEPTH, 512, 1, bias=False), *(ResBlock(512, 512) for _ in range(6))
        )
        self.img_decoder = ImageDecoder()

    def forward(self, volume: Tensor) -> Tensor:
        return self.img_decoder(self.res_decoder(volume.flatten(1, 2)))
