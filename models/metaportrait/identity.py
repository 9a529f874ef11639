# SPDX-License-Identifier: Apache-2.0
"""The identity vector: from a file, none, or found by making the network reproduce the portrait.

The released model was trained with vectors of a face-recognition network that is not public. Fitting is our stand-in:
the portrait is rendered from itself, and the 256 numbers are changed until it looks like itself. Only the decoder's
own path depends on them; what steers its norms is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import MagPlusError
from .spade import IDENTITY, SpadeDecoder

RATE = 0.02
"""Step size of Adam."""

Tick = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class IdentityFit:
    """All that a fit needs (`models.contracts.Fit`): the decoder, what steers its norms, the portrait."""

    guide: str
    network: SpadeDecoder
    values: Sequence[Any]
    """Modulations of every block, and the portrait ``(1, 3, 256, 256)``."""
    steps: int

    def solve(self, network: nn.Module, values: Sequence[Any], tick: Tick) -> Tensor:
        """The vector ``(256,)``; for a ``network`` and ``values`` that gradients can go through."""
        modulations, portrait = values
        # Never in half precision: small steps would be lost.
        network = network.float().requires_grad_(False)
        modulations = [[(scale.float(), shift.float()) for scale, shift in block] for block in modulations]
        identity = torch.zeros(1, IDENTITY, device=portrait.device, requires_grad=True)
        optimiser = torch.optim.Adam([identity], lr=RATE)
        best, found = float("inf"), identity.detach().clone()
        for step in range(self.steps):
            optimiser.zero_grad()
            loss = difference(network(modulations, identity), portrait)
            loss.backward()
            if loss.item() < best:
                best, found = loss.item(), identity.detach().clone()
            optimiser.step()
            tick(step + 1, self.steps)
        return found[0]


def difference(made: Tensor, portrait: Tensor) -> Tensor:
    """Mean absolute difference at full size, a quarter and a sixteenth of it: details, features, shading."""
    return torch.stack([F.l1_loss(_small(made, n), _small(portrait, n)) for n in (1, 4, 16)]).sum()


def _small(picture: Tensor, factor: int) -> Tensor:
    return picture if factor == 1 else F.avg_pool2d(picture, factor)


def check_vector(vector: Tensor) -> Tensor:
    """A given vector as ``(1, 256)``. It is not normalised: the released ones were not either."""
    flat = vector.detach().float().flatten()
    if flat.numel() != IDENTITY or not torch.isfinite(flat).all():
        raise MagPlusError(
            f"An identity of MetaPortrait is {IDENTITY} finite numbers; this one has the shape {tuple(vector.shape)}. "
            "Vectors of other face-recognition networks (ArcFace: 512) do not fit. Choose fit or zeros instead."
        )
    return flat[None]
