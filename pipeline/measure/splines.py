# SPDX-License-Identifier: Apache-2.0
"""Displacement by least squares on smooth surfaces: what is left of a motion's error once it is roughly known.

An optical flow that looks through a window trusts every pixel alike, takes grey values only, and averages afterwards;
what noise put into flat places stays in the mean. Here the displacement of the whole picture is one cubic B-spline
surface (Rueckert et al., Nonrigid registration using free-form deformations, 1999), and its knots are those that
explain all pixels and colours best, in the sense of least squares: a pixel counts by how much it would change
(Lucas and Kanade, 1981), and where nothing would change the surface bends as little as it can.

* A place counts only by what it shows beyond noise. A flat one has slopes, too, of noise, and would move at will.
* The derivatives are the mean of those of both pictures, so that the noise of neither pulls the result towards zero.
* The normal equations are those of the reference alone, and are factorised once for a clip. A step is then a little
  too short or too long; the following steps see to that, since each measures what is left after the one before.
* What is expected of a surface would make every motion a little too small, as it holds against what pixels say. The
  last step does not hold against what was found, only against what it adds itself (Tukey calls that twicing).
* Noise is measured in three colour axes apart, as video stores them with different precision. A grey clip has one.
* Large pictures are fitted in pieces that overlap, so that knots stay near enough and equations few.
* Light that changes everywhere alike is taken out: the frame gets the reference's mean and contrast, told by the pixels
  that motion explains (`_same_light`).
"""

from __future__ import annotations

import math
import weakref

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .lookup import looked_up, prefiltered
from .surface import surface_of

Array = NDArray[np.float64]
Plane = NDArray[np.float32]

BLUR_PX = 1.0
"""Gaussian before derivatives. Below that noise dominates them, above it fine texture is lost."""
WHITE = 2 * math.sqrt(math.pi) * BLUR_PX
"""White noise before that blur, relative to what is left of it."""
SLOPE_NOISE = 2 / (16 * math.pi * BLUR_PX**4)
"""Mean square of both derivatives of white noise of 1 after that blur, halved as `_Piece._equations` counts them."""
SURE = 2.0
"""How many times noise a place must show to count at all: noise shows more of itself here and less there."""
BORDER_PX = 2
"""A blur at a border invents what it does not see."""
LEAST_KNOWN = 0.01
"""Part of the surroundings that a motion must leave in the picture to be judged by them."""
LEAST_NOISE = 0.002
"""Noise is never taken for less than half a step of 8 bit: pictures are not sampled more finely than that."""
STEPS, STEP_PX = 3, 2.0
"""Steps, and the most by which one moves a knot: the slopes of a picture say nothing about what lies farther away."""
PIECE_PX, OVERLAP_PX = 640, 96
"""Largest side of a piece, and what neighbours share."""
KEPT = 3
"""Factorised equations that are kept of a piece: at most 20 MB each."""
SAMPLES = 20_000
"""Pixels, at least, that tell light and noise."""
OUTLIER, SIGMA = 3.0, 1.4826
"""Standard deviations, and one of them in median absolute deviations."""
AXES = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
"""Grey and two colour differences: a rotation, so that white noise stays white."""


class Fit:
    """Displacements of frames against one reference ``(3, H, W)``, float RGB in [0, 1]."""

    def __init__(self, reference: Tensor) -> None:
        planes = _seen(reference)
        rows, columns = (_spans(length) for length in planes.shape[1:])
        self._pieces = [_Piece(planes, down, across) for down in rows for across in columns]

    def refined(self, frame: Tensor, rough: Plane) -> Plane:
        """``rough`` ``(H, W, 2)`` in px, made exact: as the surface that explains ``frame`` ``(3, H, W)`` best."""
        seen = prefiltered(_seen(frame))
        total, shares = np.zeros_like(rough), np.zeros_like(rough)
        for piece in self._pieces:
            total[piece.place] += piece.share * piece.refined(seen, rough[piece.place])
            shares[piece.place] += piece.share
        return total / shares


class _Piece:
    """A part of the reference that one surface covers."""

    def __init__(self, planes: Plane, down: slice, across: slice) -> None:
        self.place = (down, across)
        self._planes = planes[:, down, across]
        height, width = self._planes.shape[1:]
        self.share = (_ramp(height)[:, None] * _ramp(width))[..., None]
        self._whole = planes.shape[1:]
        self._surface = surface_of((height, width))
        self._slopes = _slopes(self._planes)
        self._ready: dict[tuple[float, ...], tuple[Plane, Tensor]] = {}

    def refined(self, seen: Plane, rough: Plane) -> Plane:
        """The surface near ``rough`` that explains the prefiltered planes of a whole frame best."""
        surface = self._surface
        knots = surface.of(self._likelier(seen, rough))
        field = surface.field(knots)
        for step in range(1, STEPS + 1):
            back, known, noise = self._back(seen, field)
            weights, factor = self._equations(noise)
            slopes = (self._slopes + _slopes(back)) / 2
            left = (self._planes - back) * weights * known
            asked = surface.seen_by(np.einsum("chw,ckhw->khw", left, slopes))
            if step < STEPS:
                asked = asked - surface.resisted(knots)
            knots = knots + np.clip(surface.solved(factor, asked), -STEP_PX, STEP_PX)
            field = surface.field(knots)
        return field

    def _likelier(self, seen: Plane, rough: Plane) -> Plane:
        """``rough`` where it leaves less than half of what no motion leaves unexplained, else 0.

        Steps find small motions without it, and where a picture shows nothing along one axis, as where its border row
        is carried on, a flow may be anything: 120 px on a still clip.
        """
        unlike = []
        for field in (np.zeros_like(rough), rough):
            back, known, _ = self._back(seen, field)
            apart, count = (
                cv2.GaussianBlur(plane, (0, 0), self._surface.spacing, borderType=cv2.BORDER_REFLECT_101)
                for plane in (((self._planes - back) ** 2).sum(axis=0) * known, known)
            )
            unlike.append(np.where(count > LEAST_KNOWN, apart / np.maximum(count, LEAST_KNOWN), np.inf))
        return np.where((unlike[1] < unlike[0] / 2)[..., None], rough, 0).astype(np.float32)

    def _back(self, seen: Plane, field: Plane) -> tuple[Plane, Plane, tuple[float, ...]]:
        """The frame moved back by ``field`` and in the reference's light, what of it is known, and the noise."""
        corner = self.place[0].start, self.place[1].start
        back = looked_up(seen, field, self._planes, corner=corner)
        known = self._known(field)
        back, noise = _same_light(self._planes, back, known)
        return back, known, noise

    def _equations(self, noise: tuple[float, ...]) -> tuple[Plane, Tensor]:
        """What each value counts ``(3, h, w)`` at this noise, and the factorised equations; kept, as noise stays."""
        if noise not in self._ready:
            if len(self._ready) == KEPT:
                self._ready.pop(next(iter(self._ready)))
            shares = np.array([1 / (2 * sigma**2) for sigma in noise], dtype=np.float32)[:, None, None]
            shown = cv2.GaussianBlur(
                (shares * (self._slopes**2).sum(axis=1)).sum(axis=0), (0, 0), self._surface.spacing,
                borderType=cv2.BORDER_REFLECT_101,
            )  # fmt: skip
            # of both derivatives in all axes: what noise alone would show
            of_noise = len(noise) * SLOPE_NOISE
            weights = shares * np.maximum(1 - SURE * of_noise / np.maximum(shown, of_noise), 0)
            known = self._known(np.zeros((*self._planes.shape[1:], 2), np.float32))
            x, y = self._slopes[:, 0], self._slopes[:, 1]
            normal = self._surface.gram(*((weights * known * product).sum(axis=0) for product in (x * x, x * y, y * y)))
            self._ready[noise] = weights, self._surface.factorised(normal)
        return self._ready[noise]

    def _known(self, field: Plane) -> Plane:
        """1 where a pixel and where it went to are in the picture with all that a blur takes, else 0; ``(h, w)``."""
        (down, across), (height, width) = self.place, self._whole
        y, x = np.mgrid[down, across].astype(np.float32)
        known = np.ones(y.shape, bool)
        for a, b in ((x, y), (x + field[..., 0], y + field[..., 1])):
            known &= (a >= BORDER_PX) & (a <= width - 1 - BORDER_PX) & (b >= BORDER_PX) & (b <= height - 1 - BORDER_PX)
        return known.astype(np.float32)


_kept: dict[int, tuple[weakref.ref[Tensor], Tensor, Fit]] = {}
"""By the reference's identity; its content is kept, too, as a tensor can be written to."""


def fit_of(reference: Tensor) -> Fit:
    """`Fit`, kept for as long as the tensor lives: all frames of a clip share it, and clips may take turns."""
    key = id(reference)
    if key in _kept and _kept[key][0]() is reference and torch.equal(_kept[key][1], reference):
        return _kept[key][2]
    fit = Fit(reference)
    _kept[key] = weakref.ref(reference, lambda _: _kept.pop(key, None)), reference.clone(), fit
    return fit


def _seen(picture: Tensor) -> Plane:
    """Grey and colour differences ``(3, H, W)``, blurred."""
    planes = np.tensordot(AXES, picture.detach().float().cpu().numpy(), 1).astype(np.float32)
    return np.stack([cv2.GaussianBlur(p, (0, 0), BLUR_PX, borderType=cv2.BORDER_REFLECT_101) for p in planes])


def _slopes(planes: Plane) -> Array:
    """Derivatives to the right and down, ``(C, 2, H, W)``."""
    return np.stack([np.gradient(planes, axis=2), np.gradient(planes, axis=1)], axis=1)


def _spans(length: int) -> list[slice]:
    """Pieces of a side, as few and as equal as they can be."""
    count = max(1, math.ceil((length - OVERLAP_PX) / (PIECE_PX - OVERLAP_PX)))
    size = math.ceil((length + (count - 1) * OVERLAP_PX) / count)
    return [slice(start, start + size) for start in np.linspace(0, length - size, count).round().astype(int).tolist()]


def _ramp(length: int) -> Plane:
    """How much a piece says along one side: less towards its ends, where its neighbour knows better."""
    steps = np.arange(length, dtype=np.float32)
    return np.minimum(np.minimum(steps + 1, length - steps) / OVERLAP_PX, 1).astype(np.float32)


def _same_light(planes: Plane, back: Plane, known: Plane) -> tuple[Plane, tuple[float, ...]]:
    """``back`` ``(3, h, w)`` in the light of ``planes``, and the noise between them by colour axis."""
    inside = np.flatnonzero(known)
    inside = inside[:: max(1, len(inside) // SAMPLES)] if len(inside) else np.arange(known.size)
    lit, noises = back.copy(), []
    for k, (first, second) in enumerate(zip(planes, back, strict=True)):
        a, b = first.ravel()[inside], second.ravel()[inside]
        apart = np.abs(b - a - np.median(b - a))
        # what motion does not explain, such as a mouth that opens, says nothing about light
        alike = apart <= OUTLIER * SIGMA * np.median(apart) + 1e-6
        wide = float(b[alike].std())
        gain = float(a[alike].std()) / wide if wide > 1e-4 else 1.0
        shift = float(a[alike].mean() - gain * b[alike].mean())
        lit[k] = gain * lit[k] + shift
        noise = SIGMA * float(np.median(np.abs(gain * b + shift - a))) * WHITE / math.sqrt(2)
        # in steps of half an octave, so that equal equations come again from frame to frame
        noises.append(2 ** (round(2 * math.log2(max(noise, LEAST_NOISE))) / 2))
    return lit, tuple(noises)
