# SPDX-License-Identifier: Apache-2.0
"""Transformer blocks. Attribute names are those of the released checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEADS = 12
HEAD_CHANNELS = 64
INNER = HEADS * HEAD_CHANNELS


class Residual(nn.Module):
    """``x + fn(norm(x))``. The stream and its norm stay float32 whatever ``fn`` is computed in."""

    def __init__(self, channels: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.fn = fn

    def forward(self, stream: Tensor, *context: Tensor) -> Tensor:
        return stream + self.fn(self.norm(stream).to(dtype_of(self.fn)), *context).float()


class FeedForward(nn.Module):
    """Two layers with an exact GELU between them."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        # In training a dropout takes the third place.
        self.net = nn.Sequential(nn.Linear(channels, hidden), nn.GELU(), nn.Identity(), nn.Linear(hidden, channels))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.net(tokens)


class SelfAttention(nn.Module):
    """Every token ``(N, T, C)`` looks at every token."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_qkv = nn.Linear(channels, 3 * INNER, bias=False)
        self.to_out = nn.Sequential(nn.Linear(INNER, channels))

    def forward(self, tokens: Tensor) -> Tensor:
        queries, keys, values = (by_head(part) for part in self.to_qkv(tokens).chunk(3, dim=-1))
        return self.to_out(attend(queries, keys, values))


class CrossAttention(nn.Module):
    """Queries ``(N, P, C)`` look at the keys and values of a scene."""

    def __init__(self, channels: int, context_channels: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(channels, INNER, bias=False)
        self.to_kv = nn.Linear(context_channels, 2 * INNER, bias=False)
        self.to_out = nn.Sequential(nn.Linear(INNER, channels))

    def keys_and_values(self, scene: Tensor) -> tuple[Tensor, Tensor]:
        """Of tokens ``(N, T, C)``, each ``(N, heads, T, 64)``: they depend on the portrait alone."""
        keys, values = self.to_kv(scene.to(self.to_kv.weight.dtype)).chunk(2, dim=-1)
        return by_head(keys).contiguous(), by_head(values).contiguous()

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return self.to_out(attend(by_head(self.to_q(queries)), keys, values))


class Transformer(nn.Module):
    """Layers of attention and feed-forward."""

    def __init__(self, pairs: Iterable[tuple[Residual, Residual]]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleList(pair) for pair in pairs)

    def pairs(self) -> Iterator[tuple[Residual, Residual]]:
        """Both parts of each layer."""
        for layer in self.layers:
            attention, forward = cast(nn.ModuleList, layer)
            yield cast(Residual, attention), cast(Residual, forward)


def by_head(tokens: Tensor) -> Tensor:
    """``(N, T, heads * 64)`` to ``(N, heads, T, 64)``."""
    return tokens.unflatten(-1, (HEADS, HEAD_CHANNELS)).transpose(1, 2)


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of all heads, ``(N, P, heads * 64)``, without ever holding a score for each query and token."""
    return F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)


def dtype_of(network: nn.Module) -> torch.dtype:
    """What a network is computed in."""
    return next(network.parameters()).dtype
