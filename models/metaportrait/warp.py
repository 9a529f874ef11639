# SPDX-License-Identifier: Apache-2.0
"""The warp: how each pixel of the portrait moves when its line drawing turns into the driver's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..fold import DoublingConv
from ..keypoints.detector import inclusive_grid
from .norm import instance_norm

WIDTHS = (128, 256, 512, 1024, 1024)
"""Channels of the hourglass from half the resolution down to a thirty-second."""

CODE = 512
"""Numbers of the motion code."""


@dataclass(frozen=True, kw_only=True)
class Warp:
    """What one driving frame makes of the portrait's places."""

    deformation: Tensor
    """``(N, 64, 64, 2)``: where each pixel comes from, (x, y) in [-1, 1]."""
    occlusion: Tensor
    """``(N, 1, 256, 256)`` in [0, 1]; 1 = seen in the portrait."""

    def deform(self, pictures: Tensor) -> Tensor:
        """``(1, C, H, W)`` or ``(N, C, H, W)``, moved."""
        grid = F.interpolate(
            self.deformation.permute(0, 3, 1, 2), size=pictures.shape[-2:], mode="bilinear", align_corners=False
        ).permute(0, 2, 3, 1)
        pictures = pictures.float().expand(len(grid), -1, -1, -1)
        # The grid was built with its ends at the centres of the outer pixels, yet is read with them at the edges: half
        # a pixel that the weights were trained with.
        return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


class LadderEncoder(nn.Module):
    """Motion code ``(N, 512)`` of unit length from ``(N, 9, H, W)``: portrait, its lines, the driver's lines."""

    WIDTHS = (64, 128, 256, 512, 512, 512)

    def __init__(self) -> None:
        super().__init__()
        inside = 9
        for index, width in enumerate(self.WIDTHS, 1):
            conv = nn.Conv2d(inside, width, 3, stride=2, padding=1, bias=False)
            self.add_module(f"layer{index}", nn.Sequential(conv, nn.InstanceNorm2d(width)))
            inside = width
        self.fc = nn.Linear(inside * 16, CODE)

    def forward(self, pictures: Tensor) -> Tensor:
        if pictures.shape[-2:] != (256, 256):
            pictures = F.interpolate(pictures, size=(256, 256), mode="bilinear", align_corners=False)
        for index in range(1, len(self.WIDTHS) + 1):
            pictures = F.leaky_relu(self.get_submodule(f"layer{index}")(pictures), 0.2)
        # The layout of the linear layer's weights: channels, then rows, whatever the memory format is.
        code = self.fc(pictures.contiguous().flatten(1).float())
        return code / (code.norm(dim=1, keepdim=True) + 1e-5)


class AdaptiveNorm(nn.Module):
    """Instance norm whose scale and shift come from the motion code."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Linear(CODE, 128), nn.ReLU())
        self.mlp_gamma = nn.Linear(128, channels)
        self.mlp_beta = nn.Linear(128, channels)

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        shared = self.mlp_shared(code)
        gamma, beta = self.mlp_gamma(shared)[..., None, None], self.mlp_beta(shared)[..., None, None]
        return torch.addcmul(beta.to(features), instance_norm(features), (1 + gamma).to(features))


class AdaptiveBlock(nn.Module):
    """Convolution, adaptive norm, ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm = AdaptiveNorm(channels_out)

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(features), code))


class AdaptiveDown(AdaptiveBlock):
    """The same, half the resolution by averaging 2 x 2, and a second block."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out)
        self.SameBlock2d = AdaptiveBlock(channels_out, channels_out)

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        return self.SameBlock2d(F.avg_pool2d(super().forward(features, code), 2), code)


class AdaptiveUp(AdaptiveBlock):
    """Twice the resolution by repeating pixels, the same, and a second block."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out)
        self.SameBlock2d = AdaptiveBlock(channels_out, channels_out)

        self.doubling: nn.Module = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        return self.SameBlock2d(super().forward(self.doubling(features), code), code)

    def fold(self) -> None:
        """Doubling and convolution as one operation, in place."""
        self.conv, self.doubling = cast(Any, DoublingConv(self.conv)), nn.Identity()


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        pairs = zip((9, *WIDTHS), WIDTHS, strict=False)
        self.down_blocks = nn.ModuleList(AdaptiveDown(a, b) for a, b in pairs)


class _Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up_blocks = nn.ModuleList([AdaptiveUp(1024, 1024), AdaptiveUp(2048, 512), AdaptiveUp(1024, 256)])


class _Hourglass(nn.Module):
    """``(N, 9, H, W)`` to ``(N, 512, H/4, W/4)``."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = _Encoder(), _Decoder()

    def forward(self, pictures: Tensor, code: Tensor) -> Tensor:
        skips = [pictures]
        for down in self.encoder.down_blocks:
            skips.append(down(skips[-1], code))
        result = skips.pop()
        for up in self.decoder.up_blocks:
            result = torch.cat([up(result, code), skips.pop()], dim=1)
        return result


class _WholeNorm(nn.Module):
    """Layer norm over all of a sample, with one scale and shift per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        return torch.addcmul(self.bias, F.layer_norm(features, features.shape[1:]), self.weight)


def _head(channels_out: int) -> nn.Sequential:
    return nn.Sequential(_WholeNorm(512), nn.LeakyReLU(0.1), nn.Conv2d(512, channels_out, 7, padding=3))


class WarpNetwork(nn.Module):
    """Dense motion and visibility, steered by the motion code."""

    def __init__(self) -> None:
        super().__init__()
        self.hourglass = _Hourglass()
        self.reger = _head(2)
        self.occlusion_net = _head(1)

    def flow(self, pictures: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        """Flow ``(N, 2, 64, 64)`` in units of [-1, 1], and the logits of visibility ``(N, 1, 64, 64)``."""
        dtype = next(self.hourglass.parameters()).dtype
        features = self.hourglass(pictures.to(dtype), code.to(dtype)).float()
        return 2 * self.reger(features) / (features.shape[-1] - 1), self.occlusion_net(features)

    def forward(self, pictures: Tensor, code: Tensor) -> Warp:
        """From ``(N, 9, 256, 256)`` and the motion code."""
        flow, visible = self.flow(pictures, code)
        grid = inclusive_grid(flow.shape[-2], flow.shape[-1], flow)
        occlusion = F.interpolate(
            torch.sigmoid(visible), size=pictures.shape[-2:], mode="bilinear", align_corners=False
        )
        return Warp(deformation=grid + flow.permute(0, 2, 3, 1), occlusion=occlusion)
