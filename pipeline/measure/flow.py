# SPDX-License-Identifier: Apache-2.0
"""The estimator of reports: dense displacement by OpenCV and least squares, on float pictures.

It is deliberately not the estimator of the magnifier, and must never close a loop with it: a report that measured the
motion with the code which made it would agree with its own mistakes.

Farneback's polynomial expansion (two-frame motion estimation based on polynomial expansion, 2003) reads the motion
from how local quadratic fits differ. OpenCV's version takes float pictures without rounding them, unlike DIS, which
is 8-bit only. It finds motions of many px, smooths them over its window, and suffers two to three times the noise that
any estimator must. So it only says roughly where everything went; `splines.Fit` makes it exact.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.contracts import FlowEstimator
from ...models.errors import MagPlusError
from .splines import fit_of

DisplacementEstimator = Callable[[Tensor, Tensor], Tensor]
"""``(reference (3, H, W), frames (N, 3, H, W)) -> (N, 2, H, W)``: px from each pixel of the reference to each frame."""

Plane = NDArray[np.float32]

MIN_SIDE = 16
LUMA = (0.299, 0.587, 0.114)
"""BT.601: video stores this at full resolution, the colour differences at half of it."""
GREY_LEVELS = 255.0 * 16.0
"""Farneback adds a constant to its determinants: at 0..255 that halves weak motion, at 0..1 it leaves nothing."""
WORK_SIDE = 64
"""Smaller pictures are enlarged: the window and the borders of the polynomial fit would take up most of them."""
PADDING_PX = 16
"""OpenCV compares the outermost row and column with nothing, and the window carries that inwards: two equal pictures
were up to 1.5 px apart at a border. Replicated padding keeps it outside."""
WINDOW_PX = 25
LEVELS = 4
ITERATIONS = 3
POLY_N, POLY_SIGMA = 7, 1.5


def dense_displacement(reference: Tensor, frames: Tensor) -> Tensor:
    """Displacement in px of each pixel of ``reference`` ``(3, H, W)`` to each of ``frames`` ``(N, 3, H, W)``.

    Pictures are float RGB in [0, 1] with H, W >= 16; the result is ``(N, 2, H, W)`` float32 on the device of the
    frames, x to the right and y downwards. Each frame is measured against the reference alone.

    Measured on textures of wavelengths 5 to 80 px in 128 x 128 px (error of the displacement projected on the true
    field, worst of six): without noise 0.3 % for pushes of sigma 20 px, 0.6 % for sigma 12, 1.5 % for sigma 8 and for
    shifts, all from 0.1 to 8 px. White noise of 0.01 per channel adds, per frame, a standard deviation of 0.011 px
    (sigma 20), 0.025 px (sigma 12), 0.037 px (sigma 8) and 0.003 px (shift), from 3 px up more; Farneback's flow alone
    has two to three times that. A motion is followed as far as surfaces can bend (`surface.KNOTS`). Where a shift
    brings in what the reference does not show, the border is what the surface carries on there.
    """
    height, width = reference.shape[-2:]
    if frames.shape[-2:] != reference.shape[-2:]:
        raise MagPlusError(
            f"Motion cannot be measured between pictures of {width}x{height} and "
            f"{frames.shape[-1]}x{frames.shape[-2]} px. Give frames of one size."
        )
    if min(height, width) < MIN_SIDE:
        raise MagPlusError(
            f"Motion cannot be measured in a picture of {width}x{height} px. It needs at least {MIN_SIDE} px a side."
        )
    if not len(frames):
        return frames.new_zeros((0, 2, height, width))
    first, fit = _grey(reference), fit_of(reference)
    found = [torch.from_numpy(fit.refined(frame, _between(first, _grey(frame)))) for frame in frames]
    return torch.stack(found).permute(0, 3, 1, 2).contiguous().to(frames.device)


class SplineFit:
    """`dense_displacement` as a flow estimator (`models.contracts.FlowEstimator`) that no gradient passes through."""

    name = "spline fit"

    def flow(self, first: Tensor, second: Tensor, *, quick: bool = False) -> Tensor:
        """Flow in px ``(N, 2, H, W)`` of pictures ``(N, 3, H, W)``; ``quick`` changes nothing."""
        return torch.cat([dense_displacement(a, b[None]) for a, b in zip(first, second, strict=True)])


SPLINE_FIT = SplineFit()
"""What reports measure with unless another estimator is given."""


def displacement_by(estimator: FlowEstimator) -> DisplacementEstimator:
    """A flow estimator in the form that curves are measured with."""
    if isinstance(estimator, SplineFit):
        return dense_displacement

    @torch.no_grad()
    def displacement(reference: Tensor, frames: Tensor) -> Tensor:
        return estimator.flow(reference.expand_as(frames), frames)

    return displacement


def _grey(frame: Tensor) -> Plane:
    """Luma ``(H, W)`` in Farneback's units."""
    weights = torch.tensor(LUMA, device=frame.device).view(3, 1, 1)
    luma = (frame.detach().float() * weights).sum(0) * GREY_LEVELS
    return luma.cpu().contiguous().numpy()


def _between(first: Plane, second: Plane) -> Plane:
    """Displacement ``(H, W, 2)`` between two grey pictures of any size."""
    factor = -(-WORK_SIDE // min(first.shape))
    if factor <= 1:
        return _farneback(first, second)
    size = (first.shape[1] * factor, first.shape[0] * factor)
    first, second = (cv2.resize(picture, size, interpolation=cv2.INTER_LANCZOS4) for picture in (first, second))
    flow = _farneback(first, second)
    return cv2.resize(flow, (size[0] // factor, size[1] // factor), interpolation=cv2.INTER_AREA) / factor


def _farneback(first: Plane, second: Plane) -> Plane:
    pad, inner = PADDING_PX, slice(PADDING_PX, -PADDING_PX)
    first, second = (cv2.copyMakeBorder(p, pad, pad, pad, pad, cv2.BORDER_REPLICATE) for p in (first, second))
    gaussian = cv2.OPTFLOW_FARNEBACK_GAUSSIAN
    flow = cv2.calcOpticalFlowFarneback(
        first, second, None, 0.5, LEVELS, WINDOW_PX, ITERATIONS, POLY_N, POLY_SIGMA, gaussian
    )
    return np.ascontiguousarray(flow[inner, inner])
