# SPDX-License-Identifier: Apache-2.0
"""The estimator of reports: dense displacement by OpenCV, on float pictures.

It is deliberately not the estimator of the magnifier, and must never close a loop with it: a report that measured the
motion with the code which made it would agree with its own mistakes.

Farneback's polynomial expansion (two-frame motion estimation based on polynomial expansion, 2003) reads the motion
from how local quadratic fits differ. OpenCV's version takes float pictures without rounding them, unlike DIS, which
is 8-bit only. Two corrections are ours:

* It smooths the motion over its window. Moving the frame back by what was found, measuring what is left, and adding
  it undoes that, because the window acts again on the remainder alone.
* The frame is moved back with cubic B-splines. ``cv2.remap`` rounds coordinates to 1/32 px, and the bicubic kernel of
  ``grid_sample`` (A = -0.75) overstates small displacements of smooth pictures: 25 % of 0.1 px were lost with it.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...models.contracts import FlowEstimator
from ...models.errors import MagPlusError

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
PASSES = 3
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
    field, worst of six): without noise 1 % for pushes of sigma 20 px, 2.5 % for sigma 12, 6 % for sigma 8, and 1.5 %
    for shifts, all from 0.1 to 8 px. White noise of 0.01 per channel adds, per frame, a standard deviation of 0.04 px
    (sigma 20), 0.08 px (sigma 12), 0.08 px (sigma 8, from 3 px up more) and 0.01 px (shift), about two to three times
    what any estimator must suffer there; its bias is below that. Small pictures of 32 px and 16 px give a shift of
    0.1 to 1 px within 4 % and 6 %. Where a shift brings in what the reference does not show, the border is wrong for
    about as many pixels as the shift plus half a window.
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
    first = _grey(reference)
    found = [torch.from_numpy(_between(first, _grey(frame))) for frame in frames]
    if not found:
        return frames.new_zeros((0, 2, height, width))
    return torch.stack(found).permute(0, 3, 1, 2).contiguous().to(frames.device)


class Farneback:
    """`dense_displacement` as a flow estimator (`models.contracts.FlowEstimator`) that no gradient passes through."""

    name = "Farneback's optical flow"

    def flow(self, first: Tensor, second: Tensor, *, quick: bool = False) -> Tensor:
        """Flow in px ``(N, 2, H, W)`` of pictures ``(N, 3, H, W)``; ``quick`` changes nothing."""
        return torch.cat([dense_displacement(a, b[None]) for a, b in zip(first, second, strict=True)])


FARNEBACK = Farneback()
"""What reports measure with unless another estimator is given."""


def displacement_by(estimator: FlowEstimator) -> DisplacementEstimator:
    """A flow estimator in the form that curves are measured with."""
    if isinstance(estimator, Farneback):
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
        return _full_size(first, second)
    size = (first.shape[1] * factor, first.shape[0] * factor)
    first, second = (cv2.resize(picture, size, interpolation=cv2.INTER_LANCZOS4) for picture in (first, second))
    flow = _full_size(first, second)
    return cv2.resize(flow, (size[0] // factor, size[1] // factor), interpolation=cv2.INTER_AREA) / factor


def _full_size(first: Plane, second: Plane) -> Plane:
    """A pyramid for the bulk of the motion, then passes at full size for what its window smoothed away."""
    flow = _farneback(first, second, levels=LEVELS, iterations=ITERATIONS)
    for _ in range(PASSES):
        flow += _farneback(first, moved_back(second, flow, first), levels=1, iterations=1)
    return flow


def _farneback(first: Plane, second: Plane, *, levels: int, iterations: int) -> Plane:
    pad, inner = PADDING_PX, slice(PADDING_PX, -PADDING_PX)
    first, second = (cv2.copyMakeBorder(p, pad, pad, pad, pad, cv2.BORDER_REPLICATE) for p in (first, second))
    gaussian = cv2.OPTFLOW_FARNEBACK_GAUSSIAN
    flow = cv2.calcOpticalFlowFarneback(
        first, second, None, 0.5, levels, WINDOW_PX, iterations, POLY_N, POLY_SIGMA, gaussian
    )
    return np.ascontiguousarray(flow[inner, inner])


def _prefilter() -> Plane:
    """Inverse of the cubic B-spline's samples (1/6, 4/6, 1/6), cut where it falls below float precision."""
    pole = 3**0.5 - 2
    taps = np.array([pole ** abs(k) for k in range(-14, 15)])
    return (taps / taps.sum()).astype(np.float32)


def moved_back(picture: Plane, flow: Plane, first: Plane) -> Plane:
    """``picture`` ``(H, W)`` read at every pixel plus ``flow`` ``(H, W, 2)`` by cubic B-splines.

    Where that lies outside the picture the result is ``first``, so that nothing further is found there. The 4 x 4
    spline weights are taken as 2 x 2 bilinear look-ups (Sigg and Hadwiger, GPU Gems 2, chapter 20).
    """
    height, width = picture.shape
    taps = _prefilter()
    coefficients = cv2.sepFilter2D(picture, cv2.CV_32F, taps, taps, borderType=cv2.BORDER_REFLECT_101)
    plane = torch.from_numpy(coefficients)[None, None]
    move = torch.from_numpy(flow)
    across = torch.arange(width, dtype=torch.float32) + move[..., 0]
    down = torch.arange(height, dtype=torch.float32)[:, None] + move[..., 1]
    moved = torch.zeros(height, width)
    for weight_y, y in _taps(down):
        for weight_x, x in _taps(across):
            # align_corners=True puts -1 and 1 on the centres of the outermost pixels, where our coordinates have them
            grid = torch.stack([x * (2 / (width - 1)) - 1, y * (2 / (height - 1)) - 1], dim=-1)[None]
            look_up = F.grid_sample(plane, grid, mode="bilinear", padding_mode="reflection", align_corners=True)
            moved += weight_y * weight_x * look_up[0, 0]
    outside = (across < 0) | (across > width - 1) | (down < 0) | (down > height - 1)
    return torch.where(outside, torch.from_numpy(first), moved).numpy()


def _taps(position: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The four spline weights along one axis as two: (weight, position of the bilinear look-up) each."""
    whole = position.floor()
    part = position - whole
    first = (1 - part) ** 3 / 6
    second = (4 - 6 * part**2 + 3 * part**3) / 6
    fourth = part**3 / 6
    third = 1 - first - second - fourth
    left, right = first + second, third + fourth
    return (left, whole - 1 + second / left), (right, whole + 1 + fourth / right)
