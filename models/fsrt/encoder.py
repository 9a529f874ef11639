# SPDX-License-Identifier: Apache-2.0
"""From pictures of one person to tokens of a scene, and from a face to a vector that stands for its expression."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..keypoints.detector import FEATURES, KEYPOINTS, Detection
from .attention import FeedForward, Residual, SelfAttention, Transformer
from .encoding import PIXEL_CHANNELS, encode_keypoints, encode_pixels

EXPRESSION = 256
KEYPOINT_CHANNELS = 160
SCENE = 768
PATCH = 8
"""Side of the square of pixels that a token stands for."""

_PER_KEYPOINT = 32
_LAYERS = 5


class ExpressionEncoder(nn.Module):
    """What the detector sees to vectors ``(N, 256)``: features, gathered where the keypoints are."""

    def __init__(self) -> None:
        super().__init__()
        widths = [KEYPOINTS * _PER_KEYPOINT, 640, 1280, 640, EXPRESSION]
        self.expression = nn.Conv2d(FEATURES, widths[0], 7)
        self.expression_mlp = relu_mlp(widths)

    def forward(self, found: Detection) -> Tensor:
        maps = self.expression(found.features).unflatten(1, (KEYPOINTS, _PER_KEYPOINT))
        return self.expression_mlp(torch.einsum("nkhw,nkchw->nkc", found.heatmaps, maps).flatten(1))


class _ConvBlock(nn.Module):
    """Two convolutions, the second of which halves the resolution."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, padding=1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=False),
            nn.ReLU(inplace=True),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


class SceneEncoder(nn.Module):
    """Pictures with their keypoints and expressions to a set of tokens, the scene."""

    def __init__(self) -> None:
        super().__init__()
        inputs = 3 + KEYPOINT_CHANNELS + PIXEL_CHANNELS + EXPRESSION
        self.conv_blocks = nn.Sequential(_ConvBlock(inputs, 96), _ConvBlock(192, 192), _ConvBlock(384, 384))
        self.per_patch_linear = nn.Conv2d(SCENE, SCENE, 1)
        self.transformer = Transformer(
            (Residual(SCENE, SelfAttention(SCENE)), Residual(SCENE, FeedForward(SCENE, 2 * SCENE)))
            for _ in range(_LAYERS)
        )

    def forward(self, pictures: Tensor, keypoints: Tensor, expressions: Tensor) -> Tensor:
        """``(S, 3, H, W)``, ``(S, K, 2)`` and ``(S, 256)`` to ``(1, S * H / 8 * W / 8, 768)``.

        Nothing tells a token which picture it comes from, so their order does not matter.
        """
        # One picture after the other: at full resolution the features are large.
        tokens = torch.cat([self._tokens(*one) for one in zip(pictures, keypoints, expressions, strict=True)], dim=1)
        for attention, forward in self.transformer.pairs():
            tokens = forward(attention(tokens))
        return tokens

    def _tokens(self, picture: Tensor, keypoints: Tensor, expression: Tensor) -> Tensor:
        features = F.relu_(self._first(picture, torch.cat([encode_keypoints(keypoints[None])[0], expression])))
        features = self._at_full_size.layers[2:](features)
        features = self.per_patch_linear(self.conv_blocks[1:](features))
        return features.flatten(1).T[None]

    @property
    def _at_full_size(self) -> _ConvBlock:
        return cast(_ConvBlock, self.conv_blocks[0])

    def _first(self, picture: Tensor, constants: Tensor) -> Tensor:
        """The first convolution, of which 416 of 483 input channels are constant over the picture.

        Together they are one channel of ones under a kernel that is their sum: the same numbers, zero padding included,
        with an eighth of the work.
        """
        weight = cast(nn.Conv2d, self._at_full_size.layers[0]).weight
        rgb, of_keypoints, of_pixels, of_expression = weight.split(
            [3, KEYPOINT_CHANNELS, PIXEL_CHANNELS, EXPRESSION], dim=1
        )
        fixed = torch.einsum("ocij,c->oij", torch.cat([of_keypoints, of_expression], dim=1), constants)
        height, width = picture.shape[-2:]
        inputs = [picture, torch.ones_like(picture[:1]), encode_pixels(height, width, picture.device)]
        return F.conv2d(torch.cat(inputs)[None], torch.cat([rgb, fixed[:, None], of_pixels], dim=1), padding=1)[0]


def relu_mlp(widths: list[int]) -> nn.Sequential:
    """Linear layers with a ReLU between two of them."""
    layers: list[nn.Module] = []
    for channels_in, channels_out in pairwise(widths):
        layers += [nn.Linear(channels_in, channels_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])
