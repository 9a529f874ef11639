# SPDX-License-Identifier: Apache-2.0
"""Whose face it is."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .resnet import Bottleneck, ResNet, group_norm, normalised


class IdentityEmbedder(nn.Module):
    """Pictures ``(N, 3, 512, 512)`` to embeddings ``(N, 512, 4, 4)``."""

    def __init__(self) -> None:
        super().__init__()
        head = nn.Conv2d(2048, 512, 1, bias=False)
        self.net = ResNet(Bottleneck, (3, 4, 6, 3), head, norm=group_norm, bias=True)

    def forward(self, pictures: Tensor) -> Tensor:
        # align_corners=False and no anti-aliasing, as it was trained.
        small = F.interpolate(pictures, size=(256, 256), mode="bilinear", align_corners=False)
        # The head comes before the pooling, and no ReLU after it.
        return F.adaptive_avg_pool2d(self.net.fc(self.net.features(normalised(small))), 4)
