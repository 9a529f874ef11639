# SPDX-License-Identifier: Apache-2.0
"""From the scene to a picture: every pixel asks it, on its own, for its colour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import HEADS, CrossAttention, FeedForward, Residual, Transformer, dtype_of
from .encoder import EXPRESSION, KEYPOINT_CHANNELS, SCENE, relu_mlp
from .encoding import PIXEL_CHANNELS, PIXEL_OCTAVES, encode, encode_keypoints, pixel_centres

QUERY = KEYPOINT_CHANNELS + PIXEL_CHANNELS + EXPRESSION
HIDDEN = 1536
_LAYERS = 2

BYTES_PER_PIXEL = 48 * 1024
"""What a pixel takes on its way: two layers of 1536 numbers and five of 480, and as much again for what an allocator
and the libraries keep (measured as the growth of a process)."""

CACHED = 2048
"""Pixels at once on a processor, at most: more are no quicker there."""

SMALLEST = 256
"""Fewer pixels at once would not be worth their overhead."""

Memory = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values of a scene, a pair for each layer."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """The first layer's answer to the pixels' positions, ``(H, 720)`` by row and ``(W, 720)`` by column.

    Its inputs are sines and cosines of x or of y, so its output for a pixel is a sum of one for the row, one for the
    column, and one for what is constant over the picture.
    """

    rows: Tensor
    columns: Tensor

    @property
    def count(self) -> int:
        """Number of pixels."""
        return len(self.rows) * len(self.columns)

    def of(self, pixels: Tensor) -> Tensor:
        """Of pixels, by their number in reading order."""
        width = len(self.columns)
        return self.rows[torch.div(pixels, width, rounding_mode="floor")] + self.columns[pixels % width]


class _Allocation(nn.Module):
    """Queries to features: what of the scene is seen at a pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.input_mlp = relu_mlp([QUERY, 720, QUERY])
        self.transformer = Transformer(
            (Residual(QUERY, CrossAttention(QUERY, SCENE)), Residual(QUERY, FeedForward(QUERY, HIDDEN)))
            for _ in range(_LAYERS)
        )


class PixelDecoder(nn.Module):
    """Colours of pixels for given keypoints and expression."""

    def __init__(self) -> None:
        super().__init__()
        self.allocation_transformer = _Allocation()
        self.render_mlp = relu_mlp([QUERY, HIDDEN, HIDDEN, HIDDEN, HIDDEN, 3])

    def lower(self, dtype: torch.dtype) -> PixelDecoder:
        """Compute in ``dtype``, in place. Positions, norms, sums and the last layer stay float32."""
        self.allocation_transformer.input_mlp[2].to(dtype)
        self.render_mlp[:-1].to(dtype)
        for pair in self._layers:
            for block in pair:
                block.fn.to(dtype)
        return self

    @property
    def dtype(self) -> torch.dtype:
        """What most of it is computed in."""
        return dtype_of(self.render_mlp)

    @property
    def _layers(self) -> Iterator[tuple[Residual, Residual]]:
        return self.allocation_transformer.transformer.pairs()

    def remember(self, scene: Tensor) -> Memory:
        """All that frames need of a scene ``(1, T, 768)``. It is not normalised: the weights were trained so."""
        return tuple(cast(CrossAttention, attention.fn).keys_and_values(scene) for attention, _ in self._layers)

    def places(self, height: int, width: int, device: torch.device) -> Places:
        """What frames need of the positions of all pixels."""
        by_coordinate = self._first.weight[:, KEYPOINT_CHANNELS : KEYPOINT_CHANNELS + PIXEL_CHANNELS].unflatten(
            1, (2, 2, PIXEL_OCTAVES)
        )
        found = []
        for axis, size in ((1, height), (0, width)):
            waves = encode(pixel_centres(size, device)[:, None], PIXEL_OCTAVES)
            found.append(F.linear(waves, by_coordinate[:, :, axis].flatten(1)))
        return Places(rows=found[0], columns=found[1])

    def forward(
        self,
        memory: Memory,
        places: Places,
        keypoints: Tensor,
        expression: Tensor,
        *,
        pixels: Tensor | None = None,
        max_memory_mb: int = 1024,
    ) -> Tensor:
        """Colours ``(P, 3)``, not clamped, of ``pixels`` (all by default) for ``(1, K, 2)`` and ``(1, 256)``.

        Pixels do not know of each other: how many go through at once is a matter of memory, not of the result.
        """
        weight, bias = self._first.weight, self._first.bias
        constants = torch.cat([encode_keypoints(keypoints), expression.float()], dim=1)
        fixed = torch.cat([weight[:, :KEYPOINT_CHANNELS], weight[:, KEYPOINT_CHANNELS + PIXEL_CHANNELS :]], dim=1)
        whole = F.linear(constants, fixed, bias)
        if pixels is None:
            pixels = torch.arange(places.count, device=whole.device)
        parts = pixels.split(pixels_at_once(max_memory_mb, memory[0][0].shape[-2], whole.device))
        return torch.cat([self._colours(memory, F.relu_(places.of(part).add_(whole))) for part in parts])

    @property
    def _first(self) -> nn.Linear:
        return cast(nn.Linear, self.allocation_transformer.input_mlp[0])

    def _colours(self, memory: Memory, hidden: Tensor) -> Tensor:
        stream = self.allocation_transformer.input_mlp[2](hidden.to(self.dtype)).float()[None]
        for (attention, forward), (keys, values) in zip(self._layers, memory, strict=True):
            stream = forward(attention(stream, keys, values))
        last = self.render_mlp[:-1](stream[0].to(self.dtype))
        return self.render_mlp[-1](last.float())


def pixels_at_once(max_memory_mb: int, tokens: int, device: torch.device) -> int:
    """How many pixels fit into that memory, of a scene of so many tokens."""
    if device.type == "cpu":
        return min(max(SMALLEST, max_memory_mb * 2**20 // BYTES_PER_PIXEL), CACHED)
    # Not every device has an attention that never holds its scores, float32 before and after their softmax.
    scores = 2 * HEADS * tokens * 4
    return max(SMALLEST, max_memory_mb * 2**20 // (BYTES_PER_PIXEL + scores))
