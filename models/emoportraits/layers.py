# SPDX-License-Identifier: Apache-2.0
"""Blocks of EMOPortraits. Attribute names are those of the released checkpoint, norms of the weights already folded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 32
"""Of every group norm."""

_CONV = {2: nn.Conv2d, 3: nn.Conv3d}
_STANDARDISED_EPS = 1e-5


class ResBlock(nn.Module):
    """Pre-activation residual block in 2 or 3 dimensions: ``x + conv(relu(norm(conv(relu(norm(x))))))``.

    ``bias`` belongs to the first convolution: those that are weight-standardised have one.
    """

    def __init__(self, channels_in: int, channels_out: int, *, dims: int = 2, bias: bool = True) -> None:
        super().__init__()
        conv = _CONV[dims]
        self.block_feats = nn.Sequential(
            nn.GroupNorm(GROUPS, channels_in),
            nn.ReLU(),
            conv(channels_in, channels_out, 3, padding=1, bias=bias),
            nn.GroupNorm(GROUPS, channels_out),
            nn.ReLU(),
        )
        self.block = nn.Sequential(conv(channels_out, channels_out, 3, padding=1, bias=False))
        self.skip = nn.Sequential()
        if channels_in != channels_out:
            self.skip.append(conv(channels_in, channels_out, 1, bias=False))

    def forward(self, features: Tensor) -> Tensor:
        return self.block(self.block_feats(features)) + self.skip(features)


class DownBlock(ResBlock):
    """The same, then half the resolution by averaging 2 x 2."""

    def forward(self, features: Tensor) -> Tensor:
        # Averaging is linear: after the sum as well as on both branches.
        return F.avg_pool2d(super().forward(features), 2)


class UpBlock(ResBlock):
    """Twice the resolution by repeating pixels, then the same; both branches see the larger picture."""

    def forward(self, features: Tensor) -> Tensor:
        # Nearest has no corners to align: the option would be refused.
        return super().forward(F.interpolate(features, scale_factor=2, mode="nearest"))


class AdaptiveGroupNorm(nn.GroupNorm):
    """Group norm whose own gain and shift are applied twice, the second time with a style added to them.

    ``y = norm(x) * w + b``, then ``y * (w + gain) + (b + shift)``: so in the released code, and in the trained weights.
    """

    def styled(self, features: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        """``features`` ``(N, C, D, H, W)``, ``gain`` and ``shift`` ``(N, C)``."""
        gain, shift = ((own + style)[..., None, None, None] for own, style in ((self.weight, gain), (self.bias, shift)))
        return self(features) * gain + shift


class StyledBlock(ResBlock):
    """A block in 3 dimensions with two `AdaptiveGroupNorm`s."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, dims=3)
        self.block_feats[0] = AdaptiveGroupNorm(GROUPS, channels_in)
        self.block_feats[3] = AdaptiveGroupNorm(GROUPS, channels_out)

    def styled(self, features: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Styles ``(N, C, 2)`` of both norms: gain and shift."""
        norm1, norm2 = (cast(AdaptiveGroupNorm, self.block_feats[index]) for index in (0, 3))
        inner = self.block_feats[2](F.relu(norm1.styled(features, *first.unbind(-1))))
        return self.block(F.relu(norm2.styled(inner, *second.unbind(-1)))) + self.skip(features)


def standardised(weight: Tensor) -> Tensor:
    """Weight standardisation (Qiao et al., 2019) as the released code does it: each output channel's kernel to mean 0
    and unbiased deviation 1, without a gain."""
    centred = weight - weight.flatten(1).mean(1).view(-1, *[1] * (weight.ndim - 1))
    deviation = centred.flatten(1).std(1) + _STANDARDISED_EPS
    return centred / deviation.view(-1, *[1] * (weight.ndim - 1))


def standardise(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every weight standardised whose layer was made so: convolutions with a bias and without spectral norm.

    ``tensors`` is a file as it was saved. Those under spectral norm have ``weight_orig`` instead of ``weight``.
    """

    def folded(name: str, value: Tensor) -> Tensor:
        is_conv = name.endswith(".weight") and value.ndim >= 4
        return standardised(value) if is_conv and name.removesuffix("weight") + "bias" in tensors else value

    return {name: folded(name, value) for name, value in tensors.items()}
