# SPDX-License-Identifier: Apache-2.0
"""What the training minimises. Every scene counts by the logarithm of its error.

A clean scene has a thousand times less error than a noisy one; in decibels they weigh the same, and it is in decibels
that magnifiers are compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.filters import halve
from ...models.lkmag.network import DAMPING
from ...models.lkmag.prior import Estimate, gather_evidence, reference_level, rounding_noise, trust_logits
from ...models.sampling import pixel_grid, spline_coefficients
from .scenes import Batch

BORDER_PX = 4
"""Left out of the picture's error: what moves in from outside cannot be known."""
LEAST_PX = 0.02
"""Motions below count as if they were this large."""
PATCH_PX = 24


def flow_loss(found: Sequence[Tensor], truth: Tensor) -> Tensor:
    """Mean end-point error in parts of the motion, over pyramid levels ``found`` (finest first, own px)."""
    total = truth.new_zeros(())
    for index, estimate in enumerate(found):
        scale = (0.5 * _length(truth).mean((1, 2, 3), keepdim=True) + 0.5 * _length(truth)) + LEAST_PX / 2**index
        error = (_length(estimate - truth, 1e-6) / scale).mean((1, 2, 3))
        total = total + (error + 0.001).log().mean() / 2**index
        truth = halve(truth) / 2
    return total / sum(2.0**-k for k in range(len(found)))


def gain_loss(found: Tensor, truth: Tensor) -> Tensor:
    """How far the slope of measured on true displacement is from 1, in patches and in whole pictures.

    The end-point error alone prefers motions that are too small: what is uncertain costs less when it is shrunk. That
    is right below the noise floor and wrong above, so a patch counts as far as its motion exceeds its error threefold.
    """
    sums = torch.stack([(found * truth).sum(1), truth.square().sum(1), (found - truth).square().sum(1)], 1)
    patches = F.avg_pool2d(sums, PATCH_PX).flatten(2)
    common, power, error = torch.cat([patches, sums.flatten(2).mean(2, keepdim=True)], 2).unbind(1)
    slope = (common + LEAST_PX**2) / (power + LEAST_PX**2)
    counts = (power / (power + 9 * error + LEAST_PX**2)).detach()
    return (counts * ((slope - 1).square() + 1e-4).sqrt().clamp(max=1)).sum() / counts.sum().clamp(min=1)


def picture_loss(picture: Tensor, truth: Tensor) -> Tensor:
    """Half the log of the squared error, of the colours and, with a quarter of the weight, of their differences."""
    error = (picture - truth)[..., BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
    across, down = error.diff(dim=3), error.diff(dim=2)
    slopes = across.square().mean((1, 2, 3)) + down.square().mean((1, 2, 3))
    colours = error.square().mean((1, 2, 3))
    return 0.5 * ((colours + 1e-7).log() + 0.25 * (slopes + 1e-7).log()).mean()


def motion_loss(picture: Tensor, batch: Batch) -> Tensor:
    """Flow of the output against alpha times the flow of the input (Pan et al., "Self-Supervised Motion Magnification
    by Backpropagating Through Optical Flow", 2023).

    The flow of the input is the renderer's; that of the output is read by one Gauss-Newton step from where it should
    be, in parts of the expected motion.
    """
    expected = batch.alpha * batch.displacement
    level = reference_level(batch.reference, damping=DAMPING, least_noise=rounding_noise(batch.reference))
    now = Estimate(displacement=expected, error=torch.zeros_like(expected[:, 0]))
    grid = pixel_grid(*expected.shape[-2:], like=expected)
    evidence = gather_evidence(level, spline_coefficients(picture), grid, now)
    trust = trust_logits(evidence.error[:, :-1].detach()).softmax(1)
    step = (evidence.steps[:, :-1] * trust[:, :, None]).sum(1)
    scale = _length(expected).mean((1, 2, 3), keepdim=True) + LEAST_PX * batch.alpha
    error = (_length(step, 1e-6) / scale).clamp(max=3).mean((1, 2, 3))
    return (error + 0.01).log().mean()


def _length(vectors: Tensor, least: float = 0.0) -> Tensor:
    return (vectors.square().sum(1, keepdim=True) + least**2).sqrt()
