# SPDX-License-Identifier: Apache-2.0
"""EMOPortraits for inference: the same numbers up to rounding, with less to do, in pieces that can be interrupted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..fold import DoublingConv
from .layers import AdaptiveGroupNorm, DownBlock, ResBlock, StyledBlock, UpBlock
from .norm import LAYOUTS, norm_relu
from .parts import Parts

PIECE = 80e9
"""Operations in one call of a convolution, at most: a second on a slow core, and Cancel waits for it."""

_PAINTING = ("local_encoder_nw", "volume_source_nw", "volume_process_nw", "decoder_nw")
_PLACING = ("xy_generator_nw", "uv_generator_nw")


def fold(parts: Parts, dtype: torch.dtype = torch.float32) -> Parts:
    """Make them fast, in place, those that paint in the precision ``dtype``.

    What places are computed from stays float32: a motion worth magnifying is less than the rounding of half precision.
    So do the last convolution and its sigmoid. The embedders are small and stay as they are.
    """
    for name in (*_PAINTING, *_PLACING):
        channels_last(fold_blocks(parts.get_submodule(name)))
    for name in _PAINTING:
        parts.get_submodule(name).to(dtype)
    parts.decoder_nw.img_decoder.dec_img_head[-1].float()
    return parts


def fold_blocks(network: nn.Module) -> nn.Module:
    """Every residual block, and every norm in front of a ReLU outside of them, in their folded form, in place."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if type(child) in _FOLDED:
                parent.add_module(name, _FOLDED[type(child)](child))
    for parent in network.modules():
        if isinstance(parent, nn.Sequential) and len(parent) > 1 and isinstance(parent[0], nn.GroupNorm):
            parent[0], parent[1] = NormRelu(parent[0]), nn.Identity()
    return network


def channels_last(network: nn.Module) -> nn.Module:
    """Kernels in the layout in which the processor's convolutions are quickest, in 2 and 3 dimensions, in place."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.Conv3d | DoublingConv):
            part.weight.data = part.weight.data.contiguous(memory_format=LAYOUTS[part.weight.ndim])
    return network


class NormRelu(nn.Module):
    """A norm and the ReLU behind it, where nobody else needs what comes in."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, features: Tensor) -> Tensor:
        return norm_relu(self.norm, features, inplace=True)


class PiecewiseConv(nn.Module):
    """A 3 x 3 or 3 x 3 x 3 convolution with padding 1, computed in slabs along the first axis where it is large."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = cast(nn.Conv2d, conv)

    def forward(self, features: Tensor) -> Tensor:
        length, out = features.shape[2], self.conv.out_channels
        count = min(length, int(2 * self.conv.weight.numel() * features[:, 0].numel() // PIECE) + 1)
        if count == 1:
            return self.conv(features)
        shape = (len(features), out, *features.shape[2:])
        whole = torch.empty(shape, dtype=features.dtype, device=features.device, memory_format=LAYOUTS[features.ndim])
        for start, stop in pairwise(length * i // count for i in range(count + 1)):
            # With a neighbour on each side, whose own results are wrong and dropped.
            before, after = int(start > 0), int(stop < length)
            slab = self.conv(features[:, :, start - before : stop + after])
            whole[:, :, start:stop] = slab[:, :, before : before + stop - start]
        return whole


class FoldedBlock(nn.Module):
    """A `ResBlock` without copies for its ReLUs and its sum."""

    def __init__(self, block: ResBlock) -> None:
        super().__init__()
        norm1, _, conv1, norm2, _ = block.block_feats
        self.norm1, self.norm2 = cast(nn.GroupNorm, norm1), cast(nn.GroupNorm, norm2)
        self.conv1, self.conv2 = self.first(conv1), PiecewiseConv(block.block[0])
        self.skip = block.skip

    @staticmethod
    def first(conv: nn.Module) -> nn.Module:
        """The first convolution, as this block computes it."""
        return PiecewiseConv(conv)

    def forward(self, features: Tensor) -> Tensor:
        return self.inner(features).add_(self.skip(features))

    def inner(self, features: Tensor) -> Tensor:
        """Everything but the shortcut."""
        inner = self.conv1(norm_relu(self.norm1, features))
        return self.conv2(norm_relu(self.norm2, inner, inplace=True))


class FoldedDownBlock(FoldedBlock):
    """A `DownBlock` whose shortcut averages first: averaging and a 1 x 1 convolution may change places."""

    def forward(self, features: Tensor) -> Tensor:
        inner = F.avg_pool2d(self.inner(features), 2)
        return inner.add_(self.skip(F.avg_pool2d(features, 2)))


class FoldedUpBlock(FoldedBlock):
    """An `UpBlock` that repeats pixels as late as it can.

    Mean and deviation of a group do not change when every pixel is there four times, neither does a 1 x 1 convolution
    of a pixel, and a 3 x 3 one has 2 x 2 different inputs.
    """

    @staticmethod
    def first(conv: nn.Module) -> nn.Module:
        return DoublingConv(cast(nn.Conv2d, conv))

    def forward(self, features: Tensor) -> Tensor:
        inner = self.inner(features)
        # Nearest has no corners to align: the option would be refused.
        return inner.add_(F.interpolate(self.skip(features), scale_factor=2, mode="nearest"))


class FoldedStyledBlock(nn.Module):
    """A `StyledBlock` whose norms multiply once: norm, own affine and styled affine are one affine map."""

    def __init__(self, block: StyledBlock) -> None:
        super().__init__()
        norm1, _, self.conv1, norm2, _ = block.block_feats
        self.norm1, self.norm2 = cast(AdaptiveGroupNorm, norm1), cast(AdaptiveGroupNorm, norm2)
        self.conv2, self.skip = block.block[0], block.skip

    def styled(self, features: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """As `StyledBlock.styled`, for one frame."""
        inner = self.conv1(_styled(self.norm1, features, first, inplace=False))
        return self.conv2(_styled(self.norm2, inner, second, inplace=True)).add_(self.skip(features))


def _styled(norm: AdaptiveGroupNorm, features: Tensor, style: Tensor, *, inplace: bool) -> Tensor:
    """Norm and ReLU of one frame ``(1, C, D, H, W)`` with its style ``(1, C, 2)``."""
    gain = norm.weight + style[0, :, 0]
    shift = norm.bias * gain + norm.bias + style[0, :, 1]
    return norm_relu(norm, features, inplace=inplace, weight=norm.weight * gain, bias=shift)


_FOLDED: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    ResBlock: FoldedBlock,
    DownBlock: FoldedDownBlock,
    UpBlock: FoldedUpBlock,
    StyledBlock: FoldedStyledBlock,
}
