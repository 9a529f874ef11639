# SPDX-License-Identifier: Apache-2.0
"""Exact simplifications of trained blocks: fewer and larger operations, the same numbers up to rounding."""

from __future__ import annotations

from typing import Any, cast

from torch import nn

from ..fold import DoublingConv, fused
from ..winograd import WinogradConv
from .blocks import ResBlock, SameBlock, UpBlock


def fold_norms(network: nn.Module) -> nn.Module:
    """Batch norms into the convolutions in front of them, in place. Those in front of none stay."""
    for block in network.modules():
        if isinstance(block, SameBlock):
            block.conv, block.norm = fused(block.conv, block.norm), cast(Any, nn.Identity())
        elif isinstance(block, ResBlock):
            block.conv1, block.norm2 = fused(block.conv1, block.norm2), cast(Any, nn.Identity())
    return network


def fold_doublings(network: nn.Module) -> nn.Module:
    """Every `UpBlock` whose norm is folded as a `DoublingConv` and ReLU, in place."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, UpBlock):
                parent.add_module(name, nn.Sequential(DoublingConv(child.conv), nn.ReLU()))
    return network


def fold_residuals(network: nn.Module) -> nn.Module:
    """The convolutions of every `ResBlock` whose norms are folded into `WinogradConv`, in place."""
    for block in network.modules():
        if isinstance(block, ResBlock):
            block.conv1 = cast(Any, WinogradConv(block.conv1))
            block.conv2 = cast(Any, WinogradConv(block.conv2))
    return network
