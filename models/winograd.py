# SPDX-License-Identifier: Apache-2.0
"""3 x 3 convolutions with a quarter of the multiplications.

Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016: F(4 x 4, 3 x 3). Tiles of 6 x 6 inputs are
transformed, multiplied per frequency, and transformed back into 4 x 4 outputs. Exact but for rounding: some 1e-6 of the
result's size in float32, too much in half precision, where it is not used.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TILE, STEP = 6, 4

# The interpolation points are 0, 1, -1, 2, -2 and infinity.
_INPUT = torch.tensor(
    [
        [4.0, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_KERNEL = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    dtype=torch.float64,
)
_OUTPUT = torch.tensor(
    [
        [1.0, 1, 1, 1, 1, 0],
        [0, 1, -1, 2, -2, 0],
        [0, 1, 1, 4, 4, 0],
        [0, 1, -1, 8, -8, 1],
    ]
)


class WinogradConv(nn.Module):
    """A convolution 3 x 3 with padding 1, as it was; on a processor in float32 by F(4 x 4, 3 x 3).

    Its transformed kernels take four times the memory of the kernels. Best in channels-last layout.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        kernels = torch.einsum("ai,ocij,bj->abco", _KERNEL, conv.weight.detach().double(), _KERNEL)
        self.register_buffer("kernels", kernels.flatten(0, 1).float().contiguous(), persistent=False)
        self.register_buffer("forth", torch.kron(_INPUT, _INPUT), persistent=False)
        self.register_buffer("back", torch.kron(_OUTPUT, _OUTPUT), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        if features.device.type != "cpu" or features.dtype != torch.float32 or not _fits(features):
            return self.conv(features)
        # One picture at a time: what is in between then fits the cache.
        made = torch.cat([self._one(picture) for picture in features.permute(0, 2, 3, 1).split(1)])
        return made.permute(0, 3, 1, 2)

    def _one(self, picture: Tensor) -> Tensor:
        """``(1, H, W, C)`` to ``(1, H, W, C')``."""
        _, height, width, channels = picture.shape
        tiles = F.pad(picture, (0, 0, 1, 1, 1, 1)).unfold(1, TILE, STEP).unfold(2, TILE, STEP)
        spectrum = self.get_buffer("forth") @ tiles.permute(4, 5, 0, 1, 2, 3).reshape(TILE * TILE, -1)
        products = torch.bmm(spectrum.view(TILE * TILE, -1, channels), self.get_buffer("kernels"))
        made = (self.get_buffer("back") @ products.view(TILE * TILE, -1)).view(
            STEP, STEP, 1, height // STEP, width // STEP, -1
        )
        joined = made.permute(2, 3, 0, 4, 1, 5).reshape(1, height, width, -1)
        return joined.add_(cast(Tensor, self.conv.bias))


def _fits(features: Tensor) -> bool:
    return features.shape[-2] % STEP == 0 and features.shape[-1] % STEP == 0
