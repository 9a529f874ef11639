# SPDX-License-Identifier: Apache-2.0
"""What FlowMag is trained by, and what it is measured by.

Both compare two flows that start at the reference: to the magnified frame, and to the frame it was made of. The flow is
any differentiable function of two batches of pictures ``(N, 3, H, W)``, in px from the first to the second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from ..sampling import pixel_grid

Flow = Callable[[Tensor, Tensor], Tensor]

COLOUR_WEIGHT = 10.0

STILL_PX = 1e-4
"""Added to the length of a motion before it is divided by, in `magnification_error`."""


@dataclass(frozen=True, kw_only=True)
class MagnificationLoss:
    """``motion`` in px and ``colour`` in [0, 1] are means of absolute differences; ``total`` is what is minimised."""

    motion: Tensor
    colour: Tensor

    @property
    def total(self) -> Tensor:
        return self.motion + COLOUR_WEIGHT * self.colour


def magnification_loss(
    flow: Flow, reference: Tensor, frames: Tensor, magnified: Tensor, alpha: Tensor, *, region: Tensor | None = None
) -> MagnificationLoss:
    """How far ``magnified`` is from ``frames`` with its motion since ``reference`` times alpha; all ``(N, 3, H, W)``.

    ``alpha`` is ``(N,)`` or a map ``(N, H, W)``. ``region`` ``(N, 1, H, W)`` in [0, 1] weighs the pixels of the
    reference. Nothing is detached: ``magnified`` alone has a gradient. The flow to it is asked for first, which matters
    to a flow network whose batch norms are in training mode.
    """
    found, moved = flow(reference, magnified), flow(reference, frames)
    return MagnificationLoss(
        motion=motion_error(found, moved, alpha, region),
        colour=_mean((warped_back(magnified, found) - warped_back(frames, moved)).abs(), region),
    )


def motion_error(found: Tensor, moved: Tensor, alpha: Tensor, region: Tensor | None = None) -> Tensor:
    """Mean difference in px, of both components, between the flow to a magnified frame and alpha times the flow."""
    return _mean((found - per_pixel(alpha) * moved).abs(), region)


def magnification_error(found: Tensor, moved: Tensor, alpha: Tensor) -> Tensor:
    """Mean difference between alpha and the ratio of lengths of the two flows ``(N, 2, H, W)``."""
    lengths = found.norm(dim=1) / (moved.norm(dim=1) + STILL_PX)
    return (lengths - per_pixel(alpha)[:, 0]).abs().mean()


def per_pixel(alpha: Tensor) -> Tensor:
    """``(N,)`` as ``(N, 1, 1, 1)``, ``(N, H, W)`` as ``(N, 1, H, W)``."""
    return alpha.view(len(alpha), 1, *(alpha.shape[1:] if alpha.ndim == 3 else (1, 1)))


def warped_back(pictures: Tensor, flow: Tensor) -> Tensor:
    """``pictures`` ``(N, 3, H, W)`` read where the flow ``(N, 2, H, W)`` leads, so that they lie on its start.

    Outside the picture its mirror image is read.
    """
    height, width = flow.shape[-2:]
    scale = flow.new_tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)]).view(1, 2, 1, 1)
    grid = ((pixel_grid(height, width, like=flow) + flow) * scale - 1).permute(0, 2, 3, 1)
    # Aligned corners: -1 and 1 are the centres of the outermost pixels, as the scale above says.
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=True)


def _mean(values: Tensor, region: Tensor | None) -> Tensor:
    if region is None:
        return values.mean()
    return (values * region).sum() / (region.sum() * values.shape[1]).clamp(min=1e-6)
