# SPDX-License-Identifier: Apache-2.0
"""Residual networks (He et al., 2016) with the keys of torchvision's: trunks of three of the parts."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import GROUPS

Norm = Callable[[int], nn.Module]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet."""


def group_norm(channels: int) -> nn.Module:
    """What replaces every batch norm in the main model, under the same name."""
    return nn.GroupNorm(GROUPS, channels)


def normalised(pictures: Tensor) -> Tensor:
    """Pictures ``(N, 3, H, W)`` in [0, 1] as ImageNet's networks want them."""
    mean, std = (torch.tensor(values).to(pictures).view(3, 1, 1) for values in (MEAN, STD))
    return (pictures - mean) / std


class Basic(nn.Module):
    """Two 3 x 3 convolutions. ``bias`` belongs to all but the first convolution: weight-standardised ones have it."""

    GROWTH = 1

    def __init__(self, channels_in: int, width: int, *, stride: int, norm: Norm, bias: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 3, stride, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=bias)
        self.bn2 = norm(width)
        self.downsample = _shortcut(channels_in, width, stride, norm)

    def forward(self, features: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(features)))
        return F.relu(self.bn2(self.conv2(inner)) + self.downsample(features))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 (which has the stride), 1 x 1."""

    GROWTH = 4

    def __init__(self, channels_in: int, width: int, *, stride: int, norm: Norm, bias: bool) -> None:
        super().__init__()
        out = width * self.GROWTH
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=bias)
        self.bn2 = norm(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=bias)
        self.bn3 = norm(out)
        self.downsample = _shortcut(channels_in, out, stride, norm)

    def forward(self, features: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(features)))
        inner = F.relu(self.bn2(self.conv2(inner)))
        return F.relu(self.bn3(self.conv3(inner)) + self.downsample(features))


def _shortcut(channels_in: int, channels_out: int, stride: int, norm: Norm) -> nn.Module:
    if channels_in == channels_out and stride == 1:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), norm(channels_out))


class ResNet(nn.Module):
    """Everything before the pooling: ``(N, 3, H, W)`` to ``(N, C, H/32, W/32)``. The head ``fc`` is the caller's."""

    def __init__(
        self, block: type[Basic | Bottleneck], counts: tuple[int, ...], fc: nn.Module, *, norm: Norm, bias: bool
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = norm(64)
        channels = 64
        for index, count in enumerate(counts):
            width, layer = 64 * 2**index, nn.Sequential()
            for i in range(count):
                stride = 2 if index and not i else 1
                layer.append(block(channels, width, stride=stride, norm=norm, bias=bias))
                channels = width * block.GROWTH
            self.add_module(f"layer{index + 1}", layer)
        self.fc = fc

    def features(self, pictures: Tensor) -> Tensor:
        """What comes before ``fc``."""
        result = F.max_pool2d(F.relu(self.bn1(self.conv1(pictures))), 3, 2, 1)
        for index in range(4):
            result = self.get_submodule(f"layer{index + 1}")(result)
        return result
