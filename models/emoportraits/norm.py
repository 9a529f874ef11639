# SPDX-License-Identifier: Apache-2.0
"""Group norm and ReLU in one go, on a processor: in little pieces that stay in its cache, and exact."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}
"""In which everything here is computed, by the number of dimensions."""

_ROWS = 2048
"""Pixels of a piece."""


def norm_relu(
    norm: nn.GroupNorm,
    features: Tensor,
    *,
    inplace: bool = False,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """``relu(norm(features))`` of ``(1, C, ...)``, with ``weight`` and ``bias`` in place of the norm's own if given.

    ``inplace`` allows to overwrite ``features``. Elsewhere than on a processor in float32 it is torch's own; there,
    torch sums in the order of the pixels, which over 512 x 512 of them costs three of seven digits.
    """
    weight, bias = (own if given is None else given for own, given in ((norm.weight, weight), (norm.bias, bias)))
    if features.device.type != "cpu" or features.dtype != torch.float32 or len(features) != 1:
        return F.relu_(F.group_norm(features, norm.num_groups, weight, bias, norm.eps))
    moved = features.contiguous(memory_format=LAYOUTS[features.ndim]).movedim(1, -1)
    pixels = moved.view(-1, moved.shape[-1])
    scale, shift = _affine(pixels, norm, weight, bias)
    made = pixels if inplace else torch.empty_like(pixels)
    for piece, out in zip(pixels.split(_ROWS), made.split(_ROWS), strict=True):
        torch.addcmul(shift, piece, scale, out=out).clamp_(min=0)
    return made.view(moved.shape).movedim(-1, 1)


def _affine(pixels: Tensor, norm: nn.GroupNorm, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and shift per channel, of pixels ``(P, C)``."""
    sums = [torch.stack([piece.sum(0), piece.square().sum(0)]) for piece in pixels.split(_ROWS)]
    moments = torch.stack(sums).double().sum(0) / len(pixels)
    mean, square = moments.unflatten(1, (norm.num_groups, -1)).mean(2)
    size = len(weight) // norm.num_groups
    inverse = (square - mean**2 + norm.eps).rsqrt().repeat_interleave(size)
    scale = weight * inverse
    return scale.float(), (bias - mean.repeat_interleave(size) * scale).float()
