# SPDX-License-Identifier: Apache-2.0
"""The head's pose from a picture: a network of its own, in a file of its own."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .pose import pose_matrix
from .resnet import Basic, ResNet


class HeadPose(ResNet):
    """Pictures ``(N, 3, H, W)`` in [0, 1] to head poses ``(N, 4, 4)``."""

    def __init__(self) -> None:
        super().__init__(Basic, (2, 2, 2, 2), nn.Linear(512, 9), norm=nn.BatchNorm2d, bias=False)

    def forward(self, pictures: Tensor) -> Tensor:
        return pose_matrix(*self.parts(pictures))

    def parts(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scales, angles and translations, ``(N, 3)`` each."""
        # No mean and deviation here, other than in the main model's residual networks.
        small = F.interpolate(pictures, size=(128, 128), mode="bilinear", align_corners=False)
        scale, rotation, translation = self.fc(self.features(small).mean((2, 3))).split(3, dim=1)
        return scale, rotation, translation
