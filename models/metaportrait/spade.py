# SPDX-License-Identifier: Apache-2.0
"""The decoder: from an identity to a picture, steered at every resolution by warped features and line drawings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .norm import instance_norm

IDENTITY = 256
"""Numbers of an identity vector."""

Modulation = tuple[Tensor, Tensor]
"""Scale (added to 1) and shift of every pixel."""

LABELS = (530, 274, 146, 82)
"""Channels of the style maps at 32, 64, 128 and 256 px."""


class _Style(nn.Module):
    """Scale and shift of an identity; the weight's learning-rate factor is multiplied out when it is loaded."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.style = nn.Module()
        self.style.linear = nn.Linear(IDENTITY, 2 * channels)

    def forward(self, identity: Tensor) -> Tensor:
        linear = cast(nn.Linear, self.style.linear)
        return linear(identity.to(linear.weight.dtype))[..., None, None]


class SpadeNorm(nn.Module):
    """Instance norm, then a mixture of two scales and shifts: of the style map per pixel, of the identity as a whole.

    Which of them rules where is read from the features in front of the norm.
    """

    def __init__(self, channels: int, label: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(label, 128, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(128, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(128, channels, 3, padding=1)
        self.mlp_attention = nn.Sequential(nn.Conv2d(channels, 1, 3, padding=1), nn.Sigmoid())
        self.adain = _Style(channels)

    def modulation(self, label: Tensor) -> Modulation:
        """Scale and shift ``(N, C, H, W)`` each, of the style map ``(N, label, H, W)``."""
        shared = self.mlp_shared(label)
        return self.mlp_gamma(shared), self.mlp_beta(shared)

    def forward(self, features: Tensor, modulation: Modulation, identity: Tensor) -> Tensor:
        """``(N, C, H, W)`` from the same; ``modulation`` from the method above."""
        normed = instance_norm(features)
        attention = self.mlp_attention(features)
        scale, shift = modulation
        own_scale, own_shift = self.adain(identity).to(features).chunk(2, dim=1)
        by_map = torch.addcmul(normed + shift, normed, scale)
        return torch.lerp(torch.addcmul(own_shift, normed, own_scale), by_map, attention)


class SpadeBlock(nn.Module):
    """Residual block with `SpadeNorm`s."""

    def __init__(self, channels_in: int, channels_out: int, label: int) -> None:
        super().__init__()
        middle = min(channels_in, channels_out)
        self.conv_0 = nn.Conv2d(channels_in, middle, 3, padding=1)
        self.conv_1 = nn.Conv2d(middle, channels_out, 3, padding=1)
        self.norm_0, self.norm_1 = SpadeNorm(channels_in, label), SpadeNorm(middle, label)
        self.learned = channels_in != channels_out
        if self.learned:
            self.conv_s = nn.Conv2d(channels_in, channels_out, 1, bias=False)
            self.norm_s = SpadeNorm(channels_in, label)

    @property
    def norms(self) -> list[SpadeNorm]:
        """In the order of `modulations`."""
        return [self.norm_0, self.norm_1, *([self.norm_s] if self.learned else [])]

    def modulations(self, label: Tensor) -> list[Modulation]:
        """What each norm takes from the style map, which no identity and no feature changes."""
        return [norm.modulation(label) for norm in self.norms]

    def forward(self, features: Tensor, modulations: Sequence[Modulation], identity: Tensor) -> Tensor:
        inner = self.conv_0(F.leaky_relu(self.norm_0(features, modulations[0], identity), 0.2))
        inner = self.conv_1(F.leaky_relu(self.norm_1(inner, modulations[1], identity), 0.2))
        if self.learned:
            features = self.conv_s(self.norm_s(features, modulations[2], identity))
        return features + inner


BLOCKS = (
    ("head_0", 512, 512, 0),
    ("G_middle_0", 512, 512, 0),
    ("G_middle_1", 512, 512, 0),
    ("up_0", 512, 256, 0),
    ("up_1", 256, 128, 1),
    ("up_2", 128, 64, 2),
    ("up_3", 64, 32, 3),
)
"""Name, channels in and out, and which style map steers it; each works at twice the resolution of the one before."""


class SpadeDecoder(nn.Module):
    """Identity ``(N, 256)`` and style maps to pictures ``(N, 3, 256, 256)`` in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.ConvTranspose2d(IDENTITY, 512, 4)
        for name, inside, outside, level in BLOCKS:
            self.add_module(name, SpadeBlock(inside, outside, LABELS[level]))
        self.conv_img = nn.Conv2d(32, 3, 3, padding=1)

    @property
    def blocks(self) -> list[SpadeBlock]:
        """From coarse to fine."""
        return [self.get_submodule(name) for name, *_ in BLOCKS]  # type: ignore[misc]

    def modulations(self, labels: Sequence[Tensor]) -> list[list[Modulation]]:
        """Of every block, from the four style maps: everything that the identity does not change."""
        found = []
        for index, (block, (*_, level)) in enumerate(zip(self.blocks, BLOCKS, strict=True)):
            label, size = labels[level], 4 << index
            if label.shape[-1] != size:
                label = F.interpolate(label, size=(size, size), mode="bilinear", align_corners=False)
            found.append(block.modulations(label))
        return found

    def forward(self, modulations: Sequence[Sequence[Modulation]], identity: Tensor) -> Tensor:
        features = self.conv1(identity[..., None, None].to(self.conv1.weight.dtype))
        for index, (block, wanted) in enumerate(zip(self.blocks, modulations, strict=True)):
            if index:
                features = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
            features = block(features, wanted, identity)
        return torch.tanh(self.conv_img(F.leaky_relu(features.float(), 0.2)))
