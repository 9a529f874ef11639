# SPDX-License-Identifier: Apache-2.0
"""The magnifier's displacement as a flow estimator that gradients pass through."""

from __future__ import annotations

import torch
from torch import Tensor

from ..sampling import pixel_grid, spline_coefficients
from .network import LKMag, smoothed
from .prior import Estimate, gather_evidence, trust_logits

SURE_PX = 0.25
"""Expected error of a displacement from which on its gradient fades: a picture that shows nothing of the reference has
displacements without a meaning, and following them would drown the loss of colour, which gives it one."""


class LucasKanadeFlow:
    """Flow estimator (`models.contracts.FlowEstimator`) without weights: lkmag's prior.

    Its gradient is that of one Gauss-Newton step at the displacement found, windows and their trust held fixed: that of
    the solution itself, blurred by the windows (along a growing push 0.65 to 0.82 of it is seen). The unrolled search
    would need the memory of all its steps, and could be pleased by a picture that makes the wrong window look right.
    """

    name = "lkmag"

    def __init__(self) -> None:
        self._magnifier = LKMag()

    def flow(self, first: Tensor, second: Tensor, *, quick: bool = False) -> Tensor:
        """Flow in px ``(N, 2, H, W)`` of pictures ``(N, 3, H, W)`` from 16 x 16 px on; ``quick`` changes nothing."""
        return torch.cat([self._between(a, b[None]) for a, b in zip(first, second, strict=True)])

    def _between(self, first: Tensor, second: Tensor) -> Tensor:
        with torch.no_grad():
            state = self._magnifier.prepare(first)
            found = self._magnifier.displacement(state, second)
        if not (torch.is_grad_enabled() and second.requires_grad):
            return found
        level = state.levels[0]
        nothing = found.new_zeros(1, *found.shape[-2:])
        now = Estimate(displacement=found, error=nothing, variance=nothing)
        grid = pixel_grid(*found.shape[-2:], like=found)
        evidence = gather_evidence(level, spline_coefficients(second), grid, now)
        # Taking no step has no gradient, so it is not among the windows that share the weight.
        weights = trust_logits(evidence.error[:, :-1].detach()).softmax(1)
        error = (evidence.error[:, :-1].detach() * weights).sum(1, keepdim=True)
        step = smoothed((evidence.steps[:, :-1] * weights[:, :, None]).sum(1) / (1 + error / SURE_PX**2))
        return found + step - step.detach()
