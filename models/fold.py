"""What exact simplifications of trained networks have in common, whatever their blocks are."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fused(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A convolution and the batch norm behind it as one."""
    return fuse_conv_bn_eval(conv, norm).requires_grad_(False)


def channels_last(network: nn.Module) -> nn.Module:
    """Weights in the layout in which the processor's convolutions are quickest; their results follow."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
