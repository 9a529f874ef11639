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
from ...models.lkmag.levels import WINDOWS_PX, reference_level, rounding_noise
from ...models.lkmag.prior import moments_of, window_step
from .scenes import Batch

BORDER_PX = 4
"""Left out of the picture's error: what moves in from outside cannot be known."""
LEAST_PX = 0.02
"""Motions below count as if they were this large."""
PATCH_PX = 24
LEAST_SQUARE = 1e-8
"""Squared errors below, of 80 dB, count as if they were this large."""
PLACE_PX = 4.8
"""Window in which places are told."""
TEXTURE = 3e-6
"""Squared slope (per px, summed over colours) below which places cannot be told and count less and less."""
LEAST_OFF_PX = 0.005
"""Differences of places below count as if they were this large."""


def flow_loss(found: Sequence[Tensor], truth: Tensor) -> Tensor:
    """Mean end-point error in parts of the motion, over pyramid levels ``found`` (finest first, own px)."""
    total = truth.new_zeros(())
    for index, estimate in enumerate(found):
        scale = (0.5 * _length(truth).mean((1, 2, 3), keepdim=True) + 0.5 * _length(truth)) + LEAST_PX / 2**index
        error = (_length(estimate - truth, 1e-6) / scale).mean((1, 2, 3))
        total = total + (error + 0.001).log().mean() / 2**index
        truth = halve(truth) / 2
    return total / sum(2.0**-k for k in range(len(found)))


def gain_loss(found: Tensor, truth: Tensor, windows: Tensor) -> Tensor:
    """How far the slope of measured on true displacement is from 1, in patches and in whole pictures.

    The end-point error alone prefers motions that are too small: what is uncertain costs less when it is shrunk. That
    is right below the noise floor and wrong above, so a patch counts as far as its motion exceeds three times the error
    of what the ``windows`` alone say. By the error of ``found`` a motion that is shrunk to nothing would not count.
    """
    sums = torch.stack([(found * truth).sum(1), truth.square().sum(1), (windows - truth).square().sum(1)], 1)
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
    return 0.5 * ((colours + LEAST_SQUARE).log() + 0.25 * (slopes + LEAST_SQUARE).log()).mean()


def motion_loss(picture: Tensor, batch: Batch) -> Tensor:
    """Flow of the output against alpha times the flow of the input (Pan et al., "Self-Supervised Motion Magnification
    by Backpropagating Through Optical Flow", 2023).

    The flow of the input is the renderer's, and so is where it takes every point: in a picture that shows alpha times
    as much, nothing moves from the truth. What does is read by one step of Lucas and Kanade's with the slopes of the
    truth, which have no noise, where there are any.
    """
    level = reference_level(batch.truth, damping=TEXTURE, least_noise=rounding_noise(batch.truth))
    step = window_step(level, WINDOWS_PX.index(PLACE_PX), moments_of(level, batch.truth - picture))
    off = step[..., BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
    return (_length(off, 1e-6).clamp(max=3).mean((1, 2, 3)) + LEAST_OFF_PX).log().mean()


def _length(vectors: Tensor, least: float = 0.0) -> Tensor:
    return (vectors.square().sum(1, keepdim=True) + least**2).sqrt()
