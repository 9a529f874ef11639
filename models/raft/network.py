# SPDX-License-Identifier: Apache-2.0
"""RAFT (large) as a flow estimator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..padding import Padding
from ..sampling import pixel_grid
from .correlation import correlation_pyramid, look_up
from .encoder import Encoder
from .update import FACTOR, HIDDEN, UpdateBlock

FEATURES = 256

LEAST_PX = 128
"""Smallest side: below it the coarsest correlations are one pixel wide, and looking them up divides by zero."""

ITERATIONS, QUICK_ITERATIONS = 20, 5
"""Steps of the search: as its authors measure, and as FlowMag's loss uses it."""


class Raft(nn.Module):
    """Flow estimator (`models.contracts.FlowEstimator`)."""

    name = "raft"

    def __init__(self) -> None:
        super().__init__()
        self.fnet = Encoder(FEATURES, nn.InstanceNorm2d)
        self.cnet = Encoder(2 * HIDDEN, nn.BatchNorm2d)
        self.update_block = UpdateBlock()

    def flow(self, first: Tensor, second: Tensor, *, quick: bool = False) -> Tensor:
        """Flow in px ``(N, 2, H, W)`` of pictures ``(N, 3, H, W)`` in [0, 1] of any size."""
        padding = Padding.to_multiple(first, FACTOR, least=LEAST_PX)
        iterations = QUICK_ITERATIONS if quick else ITERATIONS
        return padding.take_off(self(padding.put_on(first), padding.put_on(second), iterations)[1])

    def forward(self, first: Tensor, second: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
        """Flow at an eighth of the size, in its px, and at the pictures' size ``(N, 2, H, W)``.

        H and W are multiples of 8 and at least 128. Gradients go through the memory and the last step alone, as the
        weights were trained: every step takes the flow before it for given.
        """
        features = self.fnet(2 * torch.cat([first, second]) - 1)
        levels = correlation_pyramid(*features.float().chunk(2))
        memory, context = self.cnet(2 * first - 1).split(HIDDEN, dim=1)
        memory, context = torch.tanh(memory), F.relu(context)
        grid = pixel_grid(*memory.shape[-2:], like=levels[0])
        flow = levels[0].new_zeros(len(first), 2, *memory.shape[-2:])
        for _ in range(iterations):
            flow = flow.detach()
            memory, step = self.update_block(memory, context, look_up(levels, grid + flow), flow)
            flow = flow + step
        return flow, self.update_block.enlarge(memory, flow)
