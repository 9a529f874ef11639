# SPDX-License-Identifier: Apache-2.0
"""The learned finish: how to blend the two warped pictures, and what both lack."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn

from ..filters import continued, gaussian_blur
from .bands import Planes

DILATIONS = (1, 2, 4, 1)
BANDS_PX = (0.7, 1.4, 2.8)
"""Blurs between which the picture is split into bands."""

BAND_NOISE = (0.5, 0.1, 0.03)
"""Part of the variance of white noise that falls into each band."""

_FEATURES = 3 + 3 + 3 + 2 + 1 + 1 + 1 + 1 + 2 * len(BANDS_PX)
_OUTPUTS = 1 + len(BANDS_PX) + 3
_BLOCK = 2
"""Pixels of a block of this side are channels of the CNN: full detail at a quarter of the work."""


@dataclass(frozen=True, kw_only=True)
class Warps(Planes):
    """Reference and frame, brought to where the magnified material points stand."""

    still: Tensor
    """The reference, ``(N, 3, H, W)``."""
    moved: Tensor
    """The frame, at the same material points."""
    motion: Tensor
    """Magnified displacement, ``(N, 2, H, W)`` in px."""
    alpha: Tensor
    """Broadcasts to ``(N, 1, H, W)``."""
    blend: Tensor
    """The prior's share of ``moved``, ``(N, 1, H, W)`` in [0, 1]."""
    changed: Tensor
    """How far both clearly differ by more than noise, ``(N, 1, H, W)`` in [0, 1]."""
    noise: Tensor
    """Sigma by which both differ where nothing else does, ``(N, 1, 1, 1)``."""

    @property
    def freedom(self) -> Tensor:
        """How far the difference of both pictures may be looked at and the share be changed, as ``changed``."""
        return torch.where(self.alpha < 1, self.changed, torch.ones_like(self.changed))

    def blended(self) -> Tensor:
        """The prior's picture."""
        return torch.lerp(self.still, self.moved, self.blend)


class Refiner(nn.Module):
    """CNN on both warps: how much of each to take, which bands to calm, and a residual.

    Its last layer starts at zero, which leaves the prior's blend exactly as it is. At alpha 1 and 0 it stays so after
    training too: there the frame and the reference are wanted, not what they could have been without noise. A band is
    calmed as far as its energy is noise (four times Wiener's rule), and the residual is counted in units of the
    noise and of the difference between both pictures: clean pictures are left alone without having to learn it.
    """

    def __init__(self, *, width: int = 40) -> None:
        super().__init__()
        widths = [_FEATURES * _BLOCK**2] + [width] * len(DILATIONS)
        layers: list[nn.Module] = []
        for index, dilation in enumerate(DILATIONS):
            layers.append(nn.Conv2d(widths[index], widths[index + 1], 3, padding=dilation, dilation=dilation))
            layers.append(nn.ReLU(inplace=True))
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(width, _OUTPUTS * _BLOCK**2, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, warps: Warps) -> Tensor:
        """Picture ``(N, 3, H, W)``, not clamped."""
        still, moved, motion, blend = warps.still, warps.moved, warps.motion, warps.blend
        height, width = moved.shape[-2:]
        length = motion.square().sum(1, keepdim=True).add(1e-8).sqrt()
        log_alpha = warps.alpha.clamp(min=1 / 32).log2() / 5
        scale = 2 * warps.noise + LEAST_RESIDUAL
        freedom, mixed = warps.freedom, warps.blended()
        seen = freedom * (moved - still)
        unit = scale + OCCLUSION * seen.abs().mean(1, keepdim=True).detach()
        difference = torch.tanh(seen / (2 * scale))
        bands, doubts = _bands(mixed, warps.noise)
        plane = torch.zeros_like(blend)
        colours = [torch.lerp(mixed, still, freedom) - 0.5, mixed - 0.5, difference]
        shapes = [torch.tanh(band.mean(1, keepdim=True) / scale) for band in bands]
        planes = [motion / 8, length / 8, blend, plane + log_alpha, plane + scale.log() / 4]
        features = continued(torch.cat([*colours, *planes, *shapes, *doubts], 1), _BLOCK)
        # A quarter of the time of pixel_unshuffle and half of that of pixel_shuffle (CPU, 256 px).
        features = rearrange(features, "n c (h i) (w j) -> n (c i j) h w", i=_BLOCK, j=_BLOCK)
        out = self.head(self.body(features.contiguous(memory_format=torch.channels_last))).contiguous()
        out = rearrange(out, "n (c i j) h w -> n c (h i) (w j)", i=_BLOCK, j=_BLOCK)[..., :height, :width]
        out = out * _gate(warps.alpha)
        share = (blend + freedom * torch.tanh(out[:, :1])).clamp(0, 1)
        picture = torch.lerp(still, moved, share) + unit * out[:, -3:]
        for k, (band, doubt) in enumerate(zip(bands, doubts, strict=True)):
            picture = picture - torch.tanh(out[:, 1 + k : 2 + k]) * doubt * band
        return picture


def _bands(picture: Tensor, noise: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Bands of a picture, finest first, and how much of each may be noise, ``(N, 1, H, W)`` in [0, 1]."""
    bands, doubts = [], []
    for sigma, part in zip(BANDS_PX, BAND_NOISE, strict=True):
        blurred = gaussian_blur(picture, sigma)
        band = picture - blurred
        energy = gaussian_blur(band.detach().square().mean(1, keepdim=True), 2.0 * sigma)
        doubts.append((4 * part * noise**2 / (energy + 1e-12)).clamp(max=1))
        bands.append(band)
        picture = blurred
    return bands, doubts


LEAST_RESIDUAL = 1e-5
"""Unit of the residual in pictures without noise, which have nothing to be mended but what was hidden."""

OCCLUSION = 0.25
"""Part of the difference of both pictures that the unit grows by: where something was hidden, more is missing."""


def _gate(alpha: Tensor) -> Tensor:
    """How much of the network's answer counts: nothing at alpha 0 and 1, all of it from 1/32 to 1/2 and from 2 on."""
    return alpha.clamp(min=1e-3).log2().abs().clamp(max=1) * (32 * alpha).clamp(0, 1)
