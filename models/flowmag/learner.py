# SPDX-License-Identifier: Apache-2.0
"""FlowMag while it is trained."""

from __future__ import annotations

import copy

from torch import Tensor

from . import arch
from .magnifier import FlowMag


class FlowMagLearner:
    """Learner (`models.contracts.Learner`). In training mode the batch norms take the statistics of the batch, and
    their running ones, which a magnifier uses, follow with a momentum of 0.1, as upstream trains."""

    learning_rate = 1e-4

    def __init__(self, magnifier: FlowMag) -> None:
        self.network = arch.network(arch.to_save(magnifier.weights)).requires_grad_(True)
        self._dtype = magnifier.network.dtype

    def magnified(self, reference: Tensor, frames: Tensor, alpha: Tensor) -> Tensor:
        """Magnified ``frames``, all ``(N, 3, H, W)``, alpha ``(N,)``."""
        return self.network(reference, frames, alpha)

    def magnifier(self) -> FlowMag:
        """A copy, frozen."""
        network = copy.deepcopy(self.network).cpu().requires_grad_(False)
        return FlowMag(network.train(False), self._dtype)

    def tensors(self) -> dict[str, Tensor]:
        """Weights as an official checkpoint names them."""
        return arch.to_save({name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()})
