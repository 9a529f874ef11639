# SPDX-License-Identifier: Apache-2.0
"""FlowMag as a magnifier: one reference and factor per clip, frames in batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import check_picture, check_same_size
from ..contracts import AlphaRange
from ..precision import check_precision
from .folded import FoldedGenerator
from .network import Generator, code_of

PER_PASS = 16.0
"""Largest factor of the training."""

CACHED = 1 << 15
"""Pixels at once on a processor: features of more leave its cache, and nothing is gained."""


@dataclass(frozen=True, kw_only=True)
class FlowMagState:
    """A reference and a factor, prepared once per clip."""

    reference: Tensor
    still: Tensor
    """What the first convolution gives without any frame."""
    towards_one: Tensor
    """Kernels that turn `planes`, where the mask leaves them out, from alpha's code into that of 1."""
    planes: Tensor
    passes: int


class FlowMag:
    """Magnifier (`models.contracts.Magnifier`) with frozen weights; it tells no displacement.

    Factors beyond 16 take two passes of their root, the second from the reference to the first one's result.
    """

    name = "flowmag"
    alpha_range = AlphaRange(low=1 / 32, high=PER_PASS**2, trained_from=1.0)

    def __init__(self, generator: Generator, dtype: torch.dtype = torch.float32) -> None:
        self.weights: Mapping[str, Tensor] = generator.state_dict()
        """Of the plain network, by its own names: what can be trained on and saved."""
        self.network = FoldedGenerator(generator, dtype)

    @torch.no_grad()
    def prepare(self, reference: Tensor, alpha: float | Tensor = 1.0) -> FlowMagState:
        """State for a reference ``(3, H, W)``, H and W >= 16; ``alpha`` is a number or a map ``(H, W)``."""
        check_picture(reference)
        check_precision(self.network.dtype, reference.device)
        image = reference[None].float()
        factor = torch.as_tensor(alpha, dtype=torch.float32, device=image.device)[None]
        passes = 2 if bool((factor > PER_PASS).any()) else 1
        code = code_of(factor ** (1 / passes))
        change = code_of(torch.ones(1, device=image.device)) - code
        kernels: Tensor = self.network.of_code.weight
        planes = change
        if factor.ndim == 1:
            # A code without a map is the same everywhere, so that all 32 planes of the mask are one.
            kernels, planes = (kernels * change).sum(1, keepdim=True), torch.ones_like(change[:, :1])
        return FlowMagState(
            reference=image,
            still=self.network.still(image, code),
            towards_one=kernels,
            planes=planes,
            passes=passes,
        )

    @torch.no_grad()
    def run(self, state: FlowMagState, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Magnified frames ``(N, 3, H, W)`` in (0, 1).

        Where ``mask`` (``(H, W)`` or ``(N, H, W)``) is below 1, alpha's code (not alpha) goes linearly to that of 1.
        """
        check_same_size(state.reference, frames)
        count, _, height, width = frames.shape
        step = max(1, CACHED // (height * width)) if frames.device.type == "cpu" else count
        masks = None if mask is None else mask.to(frames).expand(count, height, width)
        made = [
            self._batch(state, frames[at : at + step].float(), None if masks is None else masks[at : at + step])
            for at in range(0, count, step)
        ]
        return torch.cat(made)

    def _batch(self, state: FlowMagState, frames: Tensor, mask: Tensor | None) -> Tensor:
        still = state.still
        if mask is not None:
            still = still + F.conv2d((1 - mask[:, None]) * state.planes, state.towards_one, padding=1)
        for _ in range(state.passes):
            frames = self.network(self.network.moving(frames).add_(still))
        return frames
