# SPDX-License-Identifier: Apache-2.0
"""The base model: warp, then refine, at 256 px."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..fold import channels_last
from ..keypoints.detector import inclusive_grid
from .spade import Modulation, SpadeDecoder
from .warp import AdaptiveUp, LadderEncoder, Warp, WarpNetwork

SIZE = 256
LEVELS = (32, 64, 128, 256)
"""Resolutions of the feature taps and style maps."""

GAZE_VARIANCE = 0.005
"""Of the gaussians that stand for the gaze points, in squared units of [-1, 1]."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One face, drawn: what the networks see of landmarks."""

    lines: Tensor
    """``(N, 3, 256, 256)`` in [0, 1]."""
    gaze: Tensor
    """``(N, 8, 2)``, (x, y) in [-1, 1]: four points on each iris."""
    mouth: Tensor
    """``(N, 1, 256, 256)``: 1 inside the mouth's box, 0 elsewhere."""

    def __getitem__(self, part: slice) -> Drawing:
        return Drawing(lines=self.lines[part], gaze=self.gaze[part], mouth=self.mouth[part])


class _Block(nn.Module):
    """Convolution, instance norm with learned scale and shift, ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm = nn.InstanceNorm2d(channels_out, affine=True)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(features)))


class _Blocks(nn.Module):
    def __init__(self, name: str, pairs: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.add_module(name, nn.ModuleList(_Block(a, b) for a, b in pairs))


class FeatureEncoder(nn.Module):
    """Features of the portrait ``(1, 3, 256, 256)`` at `LEVELS`: 512, 256, 128 and 67 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _Blocks("down_blocks", list(pairwise((3, 128, 256, 512))))
        self.decoder = _Blocks("up_blocks", [(512, 256), (512, 128), (256, 64)])

    def forward(self, portrait: Tensor) -> list[Tensor]:
        skips = [portrait]
        for block in self.encoder.get_submodule("down_blocks").children():
            skips.append(F.avg_pool2d(block(skips[-1]), 2))
        features = skips.pop()
        taps = [features]
        for block in self.decoder.get_submodule("up_blocks").children():
            tap = block(F.interpolate(features, scale_factor=2, mode="nearest"))
            taps.append(tap)
            features = torch.cat([tap, skips.pop()], dim=1)
        return [*taps[:-1], features]


class BaseModel(nn.Module):
    """Portrait, two drawings and an identity to pictures. Attribute names are those of the released checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.ladder_network = LadderEncoder()
        self.dense_motion_network = WarpNetwork()
        self.feature_encoder = FeatureEncoder()
        self.fuse_high_res = nn.Conv2d(67, 64, 3, padding=1)
        self.SPDAE_G = SpadeDecoder()

    def forward(self, portrait: Tensor, source: Drawing, driving: Drawing, identity: Tensor) -> Tensor:
        """Everything in one go, as the official code does it for each frame: ``(N, 3, 256, 256)`` in [-1, 1]."""
        warp = self.warp(portrait, source, driving)
        return self.refine(self.encode(portrait), warp, source, driving, identity)

    def encode(self, portrait: Tensor) -> list[Tensor]:
        """Feature taps at `LEVELS`, which depend on the portrait alone."""
        *coarse, finest = self.feature_encoder(portrait.to(self.dtype))
        return [*coarse, self.fuse_high_res(finest)]

    def warp(self, portrait: Tensor, source: Drawing, driving: Drawing) -> Warp:
        """How the portrait ``(1, 3, 256, 256)`` moves for each of N driving drawings."""
        count = len(driving.lines)
        pictures = [portrait.expand(count, -1, -1, -1), source.lines.expand(count, -1, -1, -1), driving.lines]
        stacked = torch.cat(pictures, dim=1)
        return self.dense_motion_network(stacked, self.ladder_network(stacked))

    def refine(self, taps: Sequence[Tensor], warp: Warp, source: Drawing, driving: Drawing, identity: Tensor) -> Tensor:
        """Pictures from the portrait's features, moved. ``identity`` is ``(1, 256)``."""
        return self.SPDAE_G(self.modulations(taps, warp, source, driving), identity.expand(len(driving.lines), -1))

    def modulations(
        self, taps: Sequence[Tensor], warp: Warp, source: Drawing, driving: Drawing
    ) -> list[list[Modulation]]:
        """What steers the decoder's norms: all of `refine` that the identity does not change."""
        return self.SPDAE_G.modulations(style_maps(taps, warp, source, driving))

    def fold(self, dtype: torch.dtype = torch.float32) -> BaseModel:
        """Make it fast, in place: the same numbers up to rounding. Pictures are refined in the precision ``dtype``.

        The warp stays float32: the motion of a micro-expression is a few thousandths of what it works with.
        """
        for part in list(self.modules()):
            if isinstance(part, AdaptiveUp):
                part.fold()
        channels_last(self)
        for refining in (self.feature_encoder, self.fuse_high_res, self.SPDAE_G):
            refining.to(dtype)
        self.SPDAE_G.conv_img.float()
        return self

    @property
    def dtype(self) -> torch.dtype:
        """What the features are computed in; places and pictures always are float32."""
        return self.fuse_high_res.weight.dtype


def style_maps(taps: Sequence[Tensor], warp: Warp, source: Drawing, driving: Drawing) -> list[Tensor]:
    """Channels at `LEVELS`: warped features, visibility, gaze (8), lines of both faces (6), lines of the mouth (3)."""
    count = len(driving.lines)
    drawn = torch.cat([source.lines.expand(count, -1, -1, -1), driving.lines, driving.lines * driving.mouth], dim=1)
    maps = []
    for tap, size in zip(taps, LEVELS, strict=True):
        # Each level resizes what the level before left: the finer ones see lines that went through 32 px. The weights
        # were trained so.
        drawn = F.interpolate(drawn, size=(size, size), mode="bilinear", align_corners=False)
        seen = F.interpolate(warp.occlusion, size=(size, size), mode="bilinear", align_corners=False)
        parts = [warp.deform(tap), seen, gaze_maps(driving.gaze, size), drawn]
        maps.append(torch.cat([part.to(tap.dtype) for part in parts], dim=1))
    return maps


def gaze_maps(points: Tensor, size: int) -> Tensor:
    """Gaussians ``(N, 8, size, size)`` around points ``(N, 8, 2)``."""
    grid = inclusive_grid(size, size, points)
    squared = (grid - points[:, :, None, None, :]).square().sum(-1)
    return torch.exp(squared / (-2 * GAZE_VARIANCE))
