# SPDX-License-Identifier: Apache-2.0
"""The networks of KeyFace: where the keypoints are, what moves with which of them, and the picture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..keypoints.blocks import Hourglass, ResBlock, SameBlock
from ..keypoints.detector import inclusive_grid

KEYPOINTS = 10
SIZE = 96
"""Side of the pictures in px that it was trained on."""
TEMPERATURE = 0.1
HEAT_SIGMA = 0.15
"""Of the gaussians that stand for keypoints, in units of [-1, 1]."""


class Detector(nn.Module):
    """Keypoints ``(N, 10, 2)``, (x, y) in [-1, 1], of pictures ``(N, 3, H, W)`` with H, W multiples of 16."""

    def __init__(self) -> None:
        super().__init__()
        self.hourglass = Hourglass(12, expansion=12, most=64, blocks=3)
        self.heat = nn.Conv2d(self.hourglass.channels_out, KEYPOINTS, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        logits = self.heat(self.hourglass(F.pixel_unshuffle(pictures, 2)))
        heat = torch.softmax(logits.flatten(2) / TEMPERATURE, dim=2).view_as(logits)
        return torch.einsum("nkhw,hwc->nkc", heat, inclusive_grid(logits.shape[-2], logits.shape[-1], logits))


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Where each pixel comes from, ``(N, h, w, 2)`` as (x, y) in [-1, 1], and how visible it is there."""

    origin: Tensor
    occlusion: Tensor
    """``(N, 1, h, w)`` in [0, 1]; 1 = seen in the portrait."""


class DenseMotion(nn.Module):
    """At half the resolution, weighs standing still and the shifts of ten keypoints for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.hourglass = Hourglass(4 * (KEYPOINTS + 1), expansion=16, most=64, blocks=3)
        self.weights = nn.Conv2d(self.hourglass.channels_out, KEYPOINTS + 1, 3, padding=1)
        self.occlusion = nn.Conv2d(self.hourglass.channels_out, 1, 3, padding=1)

    def forward(self, portrait: Tensor, source: Tensor, driving: Tensor) -> Motion:
        """``portrait`` ``(1 or N, 3, H, W)``, keypoints of it, as many, and ``(N, 10, 2)`` of where they are to go."""
        small, count = F.avg_pool2d(portrait, 2), len(driving)
        grid = inclusive_grid(small.shape[-2], small.shape[-1], small)
        shifts = F.pad(source - driving, (0, 0, 1, 0))
        origins = grid + shifts[:, :, None, None, :]
        pictures = small[:, None].expand(count, KEYPOINTS + 1, -1, -1, -1).flatten(0, 1)
        # align_corners=True: the grid reaches -1 and 1 at the centres of the outermost pixels.
        seen = F.grid_sample(pictures, origins.flatten(0, 1), padding_mode="border", align_corners=True)
        heat = F.pad(_heat(driving, grid) - _heat(source, grid), (0, 0, 0, 0, 1, 0))
        inputs = torch.cat([heat[:, :, None], seen.unflatten(0, (count, KEYPOINTS + 1))], dim=2).flatten(1, 2)
        features = self.hourglass(inputs)
        weights = torch.softmax(self.weights(features), dim=1)
        origin = grid + torch.einsum("nkhw,nkc->nhwc", weights, shifts)
        return Motion(origin=origin, occlusion=torch.sigmoid(self.occlusion(features) + 2))


class KeyFaceNetwork(nn.Module):
    """Portrait and keypoints to the picture."""

    def __init__(self, *, width: int = 32) -> None:
        super().__init__()
        self.detector = Detector()
        self.motion = DenseMotion()
        self.encoder = nn.Sequential(SameBlock(12, width), SameBlock(width, width))
        self.decoder = nn.Sequential(SameBlock(width + 12, width), ResBlock(width), ResBlock(width))
        self.last = nn.Conv2d(width, 12, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias if self.last.bias is not None else self.last.weight)

    def encode(self, portrait: Tensor) -> Tensor:
        """Features ``(N, C, H/2, W/2)`` of the portrait alone."""
        return self.encoder(F.pixel_unshuffle(portrait, 2))

    def render(self, portrait: Tensor, features: Tensor, motion: Motion) -> Tensor:
        """Pictures ``(N, 3, H, W)`` in [0, 1]: the portrait where it came from, and what a decoder makes of the rest.

        ``portrait`` and ``features`` have one entry, or as many as ``motion``.
        """
        fine = F.interpolate(
            motion.origin.permute(0, 3, 1, 2), size=portrait.shape[-2:], mode="bilinear", align_corners=True
        ).permute(0, 2, 3, 1)
        count = len(fine)
        near = F.grid_sample(
            portrait.expand(count, -1, -1, -1), fine, mode="bicubic", padding_mode="border", align_corners=True
        )
        wide = features.expand(count, -1, -1, -1)
        moved = F.grid_sample(wide, motion.origin, padding_mode="border", align_corners=True) * motion.occlusion
        inside = self.decoder(torch.cat([moved, F.pixel_unshuffle(near, 2)], 1))
        return near + F.pixel_shuffle(self.last(inside), 2)

    def forward(self, portrait: Tensor, source: Tensor, driving: Tensor) -> tuple[Tensor, Motion]:
        motion = self.motion(portrait, source, driving)
        return self.render(portrait, self.encode(portrait), motion), motion


def _heat(places: Tensor, grid: Tensor) -> Tensor:
    """Gaussians ``(N, K, h, w)`` at ``places`` ``(N, K, 2)``."""
    squared = (grid - places[:, :, None, None, :]).square().sum(-1)
    return torch.exp(-squared / (2 * HEAT_SIGMA**2))
