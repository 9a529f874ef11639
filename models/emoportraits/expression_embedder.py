# SPDX-License-Identifier: Apache-2.0
"""What the face does: 128 numbers from a crop that follows the head."""

from __future__ import annotations

from torch import Tensor, nn

from .pose import face_crop
from .resnet import Basic, ResNet, group_norm, normalised

LATENT = 128


class FaceNet(nn.Module):
    """Crops ``(N, 3, 128, 128)`` in [0, 1] to latents ``(N, 128)``."""

    def __init__(self) -> None:
        super().__init__()
        head = nn.Conv2d(512, LATENT, 1, bias=False)
        self.net = ResNet(Basic, (2, 2, 2, 2), head, norm=group_norm, bias=True)
        self.pose_head = nn.Linear(LATENT * 4 * 4, LATENT, bias=False)

    def forward(self, crops: Tensor) -> Tensor:
        return self.pose_head(self.net.fc(self.net.features(normalised(crops))).flatten(1))


class ExpressionEmbedder(nn.Module):
    """Pictures ``(N, 3, 512, 512)`` and head poses ``(N, 4, 4)`` to expression latents ``(N, 128)``."""

    def __init__(self) -> None:
        super().__init__()
        self.net_face = FaceNet()

    def forward(self, pictures: Tensor, theta: Tensor) -> Tensor:
        return self.net_face(face_crop(pictures, theta))
