# SPDX-License-Identifier: Apache-2.0
"""lkmag while its networks are trained."""

from __future__ import annotations

import copy

from torch import Tensor

from .arch import freeze
from .network import LKMag
from .refiner import Refiner
from .weigher import WindowWeigher


class LKMagLearner:
    """Learner (`models.contracts.Learner`). A weigher and a refiner that the magnifier lacks start as those that change
    nothing; a surveyor is there only where it has one."""

    learning_rate = 1e-3

    def __init__(self, magnifier: LKMag) -> None:
        given = (magnifier.weigher, magnifier.refiner)
        weigher, refiner = (None if part is None else part.head.weight.shape[1] for part in given)
        self.network = LKMag(
            weigher=WindowWeigher() if weigher is None else WindowWeigher(width=weigher),
            refiner=Refiner() if refiner is None else Refiner(width=refiner),
            surveyor=copy.deepcopy(magnifier.surveyor),
        ).requires_grad_(True)
        self.network.load_state_dict(magnifier.state_dict(), strict=False)

    def magnified(self, reference: Tensor, frames: Tensor, alpha: Tensor) -> Tensor:
        """Magnified ``frames``, all ``(N, 3, H, W)``, alpha ``(N,)``."""
        state = self.network.prepare_pairs(reference, alpha.view(-1, 1, 1, 1))
        warps = self.network.warps(state, frames, self.network.displacement(state, frames))
        return self.network.finished(warps).clamp(0, 1)

    def magnifier(self) -> LKMag:
        """A copy, frozen."""
        return freeze(copy.deepcopy(self.network).cpu())

    def tensors(self) -> dict[str, Tensor]:
        """Weights as a file of lkmag names them."""
        return {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}
