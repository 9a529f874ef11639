# SPDX-License-Identifier: Apache-2.0
"""Pictures to features of an eighth of their size. Names are those of checkpoints."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]

WIDTHS = (64, 96, 128)


class Encoder(nn.Module):
    """``(N, 3, H, W)`` in [-1, 1] to ``(N, channels, H / 8, W / 8)``."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.norm1 = norm(first)
        self.conv1 = nn.Conv2d(3, first, 7, stride=2, padding=3)
        self.layer1 = _layer(first, first, 1, norm)
        self.layer2 = _layer(first, second, 2, norm)
        self.layer3 = _layer(second, third, 2, norm)
        self.conv2 = nn.Conv2d(third, channels, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        features = F.relu(self.norm1(self.conv1(pictures)))
        return self.conv2(self.layer3(self.layer2(self.layer1(features))))


def _layer(channels_in: int, channels_out: int, stride: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(
        ResidualBlock(channels_in, channels_out, stride, norm), ResidualBlock(channels_out, channels_out, 1, norm)
    )


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.norm1, self.norm2 = norm(channels_out), norm(channels_out)
        self.downsample: nn.Module | None = None
        if stride != 1:
            # One norm under two names, and the second one is in force: that is how the official files hold it.
            self.norm3 = norm(channels_out)
            self.downsample = nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride=stride), self.norm3)

    def forward(self, features: Tensor) -> Tensor:
        out = F.relu(self.norm1(self.conv1(features)))
        out = F.relu(self.norm2(self.conv2(out)))
        return F.relu(out + (features if self.downsample is None else self.downsample(features)))
