# SPDX-License-Identifier: Apache-2.0
"""How the motion of a driver's keypoints becomes that of the portrait's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

SMALLEST_DETERMINANT = 1e-3
"""Below it a jacobian of a driver is taken for degenerate; those of real faces are around 1."""


@dataclass(frozen=True, kw_only=True)
class Keypoints:
    """Positions ``(N, K, 2)``, (x, y) in [-1, 1], and local affine maps ``(N, K, 2, 2)`` where the model has them."""

    value: Tensor
    jacobian: Tensor | None = None

    def __getitem__(self, part: slice) -> Keypoints:
        return Keypoints(value=self.value[part], jacobian=None if self.jacobian is None else self.jacobian[part])


@dataclass(frozen=True, kw_only=True)
class MotionOptions:
    """``relative``: the portrait's keypoints plus the driver's change since its reference, instead of the driver's
    own keypoints. ``adapt_movement_scale``: that change is multiplied by the ratio of the two faces' sizes."""

    relative: bool = True
    adapt_movement_scale: bool = False


def movement_scale(source: Keypoints, reference: Keypoints) -> float:
    """Ratio of face sizes: square roots of the areas of the convex hulls of the first set of keypoints each."""
    return float(np.sqrt(_hull_area(source.value[0]) / max(_hull_area(reference.value[0]), 1e-12)))


def transfer(
    source: Keypoints,
    reference: Keypoints,
    driving: Keypoints,
    options: MotionOptions,
    *,
    scale: float = 1.0,
    strength: float = 1.0,
) -> Keypoints:
    """Keypoints that the generator is to reach: upstream's normalisation, and ``strength`` around the source's own.

    ``source`` and ``reference`` hold one set, ``driving`` N. ``scale`` comes from `movement_scale` (1 where that is
    off). ``strength`` 1 is upstream's behaviour, 0 gives the source's keypoints. In between and above, positions and
    local affine maps go linearly from the source's to what upstream gives: de-magnification in the model's space.
    """
    if options.relative:
        value = source.value + scale * (driving.value - reference.value)
        jacobian = _relative_jacobian(source, reference, driving)
    else:
        value, jacobian = driving.value, driving.jacobian
    if strength == 1:
        return Keypoints(value=value, jacobian=jacobian)
    value = source.value + strength * (value - source.value)
    if jacobian is not None and source.jacobian is not None:
        jacobian = source.jacobian + strength * (jacobian - source.jacobian)
    return Keypoints(value=value, jacobian=jacobian)


def _relative_jacobian(source: Keypoints, reference: Keypoints, driving: Keypoints) -> Tensor | None:
    if source.jacobian is None or reference.jacobian is None or driving.jacobian is None:
        return None
    return driving.jacobian @ inverse_2x2(reference.jacobian) @ source.jacobian


def inverse_2x2(matrices: Tensor) -> Tensor:
    """Inverses of ``(..., 2, 2)``, float32. Near-singular ones are pushed away from zero determinant, keeping its sign.

    A driver's frame without a face can give such a matrix; upstream stops there or fills the picture with NaN.
    """
    a, b, c, d = matrices.float().flatten(-2).unbind(-1)
    determinant = a * d - b * c
    sign = torch.where(determinant < 0, -1.0, 1.0)
    determinant = sign * determinant.abs().clamp(min=SMALLEST_DETERMINANT)
    adjugate = torch.stack([d, -b, -c, a], dim=-1).unflatten(-1, (2, 2))
    return adjugate / determinant[..., None, None]


def nearest(source: Keypoints, candidates: Iterable[Keypoints]) -> int:
    """Index of the frame whose keypoints lie nearest to the source's, each set centred and scaled to unit hull area.

    Upstream compares 68 face landmarks in the same way; the keypoints need no second model. Of equals the first.
    """
    goal = _normalised(source.value[0])
    distances = [float((_normalised(value) - goal).square().sum()) for found in candidates for value in found.value]
    return int(np.argmin(distances))


def _normalised(value: Tensor) -> Tensor:
    centred = value.float() - value.float().mean(dim=0)
    return centred / max(_hull_area(value), 1e-12) ** 0.5


def _hull_area(value: Tensor) -> float:
    points = value.detach().float().cpu().numpy()
    return float(cv2.contourArea(cv2.convexHull(points)))
