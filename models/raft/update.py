# SPDX-License-Identifier: Apache-2.0
"""One step of the recurrent search. Names are those of checkpoints."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .correlation import CHANNELS

HIDDEN = 128
FACTOR = 8
"""Between the size of the search and that of the pictures."""


class UpdateBlock(nn.Module):
    """Memory, context, correlations and flow to the next memory and a step of the flow."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = MotionEncoder()
        self.gru = SeparableGRU(HIDDEN, 2 * HIDDEN)
        self.flow_head = FlowHead()
        self.mask = nn.Sequential(
            nn.Conv2d(HIDDEN, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 9 * FACTOR * FACTOR, 1)
        )

    def forward(self, memory: Tensor, context: Tensor, correlations: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Next memory ``(N, 128, h, w)``, and what to add to the flow ``(N, 2, h, w)``."""
        motion = self.encoder(correlations, flow)
        memory = self.gru(memory, torch.cat([context, motion], dim=1))
        return memory, self.flow_head(memory)

    def enlarge(self, memory: Tensor, flow: Tensor) -> Tensor:
        """Flow of 8 times the size and length: each pixel a weighted mean of its 3 x 3 neighbours on the small grid.

        A quarter balances the gradients of the weights, as they were trained.
        """
        n, _, height, width = flow.shape
        weights = (0.25 * self.mask(memory)).view(n, 1, 9, FACTOR, FACTOR, height, width).softmax(dim=2)
        neighbours = F.unfold(FACTOR * flow, 3, padding=1).view(n, 2, 9, 1, 1, height, width)
        large = (weights * neighbours).sum(dim=2)
        return large.permute(0, 1, 4, 2, 5, 3).reshape(n, 2, FACTOR * height, FACTOR * width)


class MotionEncoder(nn.Module):
    """Correlations and flow to 128 channels, the last two of which are the flow."""

    def __init__(self) -> None:
        super().__init__()
        self.convc1 = nn.Conv2d(CHANNELS, 256, 1)
        self.convc2 = nn.Conv2d(256, 192, 3, padding=1)
        self.convf1 = nn.Conv2d(2, 128, 7, padding=3)
        self.convf2 = nn.Conv2d(128, 64, 3, padding=1)
        self.conv = nn.Conv2d(192 + 64, HIDDEN - 2, 3, padding=1)

    def forward(self, correlations: Tensor, flow: Tensor) -> Tensor:
        seen = F.relu(self.convc2(F.relu(self.convc1(correlations))))
        moved = F.relu(self.convf2(F.relu(self.convf1(flow))))
        return torch.cat([F.relu(self.conv(torch.cat([seen, moved], dim=1))), flow], dim=1)


class SeparableGRU(nn.Module):
    """A gated recurrent unit along rows, then one along columns."""

    def __init__(self, hidden: int, given: int) -> None:
        super().__init__()
        along, down = (
            partial(nn.Conv2d, hidden + given, hidden, kernel, padding="same") for kernel in ((1, 5), (5, 1))
        )
        self.convz1, self.convr1, self.convq1 = along(), along(), along()
        self.convz2, self.convr2, self.convq2 = down(), down(), down()

    def forward(self, memory: Tensor, given: Tensor) -> Tensor:
        memory = _gated(memory, given, self.convz1, self.convr1, self.convq1)
        return _gated(memory, given, self.convz2, self.convr2, self.convq2)


def _gated(memory: Tensor, given: Tensor, update: nn.Module, reset: nn.Module, candidate: nn.Module) -> Tensor:
    both = torch.cat([memory, given], dim=1)
    share = torch.sigmoid(update(both))
    proposed = torch.tanh(candidate(torch.cat([torch.sigmoid(reset(both)) * memory, given], dim=1)))
    return (1 - share) * memory + share * proposed


class FlowHead(nn.Module):
    """Memory to a step of the flow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(HIDDEN, 256, 3, padding=1)
        self.conv2 = nn.Conv2d(256, 2, 3, padding=1)

    def forward(self, memory: Tensor) -> Tensor:
        return self.conv2(F.relu(self.conv1(memory)))
