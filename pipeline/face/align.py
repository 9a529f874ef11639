# SPDX-License-Identifier: Apache-2.0
"""How a head moved between two pictures: a similarity fitted to its rigid parts, to hundredths of a pixel.

Gauss-Newton on grey values, coarse to fine, in inverse-compositional form (Baker and Matthews, 2004): gradients come
from the reference alone. Brightness and contrast are fitted along, pixels that disagree lose their say
(Geman and McClure's weights), pictures are read through cubic splines, and nothing is rounded to 8 bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...models.errors import MagPlusError
from ...models.filters import gaussian_blur, halve
from ...models.geometry import FaceBox, Similarity, compose, inverse, similarity
from ...models.sampling import sample_spline, spline_coefficients, spline_gradient
from .anatomy import FaceMap, rigid_mask
from .depth import depth

LUMA = (0.299, 0.587, 0.114)
"""BT.601: video stores this at full resolution, the colour differences at half of it."""
WORK_PX = 320
"""Faces wider than this are aligned on a picture reduced by a whole factor; hundreds of thousands of pixels say no
more than tens of thousands."""
SMOOTHING_PX = 1.0
"""Blur of both pictures before they are compared. Gradients of noise answer to nothing: with it errors at noise 0.003
to 0.03 were 1.3 to 2 times smaller (benchmarks/stabiliser.py), with 1.5 px no smaller."""
MARGIN = 0.35
"""Surroundings of the face that are looked at, in its size: how far it may move between two frames at once."""
COARSEST_PX = 24
"""Face width on the coarsest level."""
STEPS = 12
"""Gauss-Newton steps per level at most."""
SETTLED_PX = 2e-3
"""Step at which a level is done."""
OUTLIER = 2.5
"""Residual, in robust standard deviations, from which a pixel loses most of its say."""
LEAST_PIXELS = 80

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class HeadPose:
    """The head in a frame against the reference.

    ``transform`` maps the reference's px to the frame's. Yaw and pitch are what a turn out of the plane would have to
    be to explain what the similarity leaves, by the depth of an average head; ``residual`` is the robust standard
    deviation of the grey values that remain, of 1.
    """

    transform: Similarity
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    residual: float = 0.0


@dataclass(frozen=True, kw_only=True)
class _Level:
    """One level of the reference: N pixels of the rigid parts, and how each answers to each parameter."""

    at: Array
    """``(2, N)`` in px of the level, from the face's centre."""
    grey: Array
    weight: Array
    answers: Array
    """``(N, 8)``: log-scale, rotation, shift x, y, yaw, pitch in px per unit; contrast; brightness."""
    centre: Array


class HeadAligner:
    """Aligns frames with one reference ``(3, H, W)`` by what moves with the skull in the face ``box``.

    ``rigid`` ``(H, W)`` in [0, 1] says where that is; without it, forehead, nose, temples and upper cheeks.
    """

    def __init__(
        self, reference: Tensor, box: FaceBox, *, face: FaceMap | None = None, rigid: Tensor | None = None
    ) -> None:
        self._view = _View.around(box, reference.shape[-2], reference.shape[-1])
        inside = box.moved_by(self._view.to_view)
        face = (face or FaceMap.from_box(box)).moved_by(self._view.to_view)
        grey = self._view.of(_luma(reference))
        if rigid is None:
            weight = rigid_mask(face, inside, (grey.shape[-2], grey.shape[-1]))
        else:
            weight = self._view.of(rigid[None].cpu().float())[0, 0]
        self._levels = _levels(grey, weight, inside, face)

    def pose(self, frame: Tensor, near: Similarity | None = None) -> HeadPose:
        """The head in a frame ``(3, H, W)``; ``near`` is where it was in a neighbouring frame, if that is known."""
        view, still = self._view, np.eye(2, 3)
        pyramid = [self._view.of(_luma(frame))]
        while len(pyramid) < len(self._levels):
            pyramid.append(halve(pyramid[-1]))
        coefficients = [spline_coefficients(level) for level in pyramid]
        starts = [still] if near is None else [compose(view.to_view, compose(near, inverse(view.to_view))), still]
        coarsest = len(self._levels) - 1
        found = [self._settle(coarsest, coefficients[coarsest], _at_level(start, coarsest)) for start in starts]
        fit = min(found, key=lambda one: one.residual)
        for index in reversed(range(coarsest)):
            fit = self._settle(index, coefficients[index], _at_level(_at_level(fit.transform, -(index + 1)), index))
        whole = compose(inverse(view.to_view), compose(fit.transform, view.to_view))
        return HeadPose(
            transform=whole,
            yaw_deg=math.degrees(fit.turns[0]),
            pitch_deg=math.degrees(fit.turns[1]),
            residual=fit.residual,
        )

    def _settle(self, index: int, coefficients: Tensor, start: Similarity) -> _Fit:
        level, now = self._levels[index], start
        trust = np.ones_like(level.weight)
        for _ in range(STEPS):
            residual = _seen(coefficients, now, level) - level.grey
            step, left = _solve(level, residual, trust, turns=False)
            trust, spread = _trust(left, level.weight)
            now = compose(now, inverse(_as_similarity(step, level.centre)))
            if np.abs(step[2:4]).max() + level.at.max() * np.abs(step[:2]).max() < SETTLED_PX:
                break
        residual = _seen(coefficients, now, level) - level.grey
        turned, _ = _solve(level, residual, trust, turns=True)
        # A step moves the reference's coordinates onto the frame's content, against the motion of that content.
        return _Fit(transform=now, turns=(-float(turned[4]), -float(turned[5])), residual=spread)


@dataclass(frozen=True, kw_only=True)
class _Fit:
    transform: Similarity
    turns: tuple[float, float]
    residual: float


def _seen(coefficients: Tensor, transform: Similarity, level: _Level) -> Array:
    """Grey values of a frame where the reference's pixels are now."""
    x, y = transform[:, :2] @ (level.at + level.centre[:, None]) + transform[:, 2:]
    at = torch.from_numpy(np.stack([x, y])).to(coefficients)[None, :, None]
    return sample_spline(coefficients, at)[0, 0, 0].double().numpy()


def _solve(level: _Level, residual: Array, trust: Array, *, turns: bool) -> tuple[Array, Array]:
    """Weighted least squares: all 8 parameters (turns 0 if they are left out), and what they do not explain."""
    columns = [0, 1, 2, 3, 4, 5, 6, 7] if turns else [0, 1, 2, 3, 6, 7]
    answers = level.answers[:, columns]
    weighted = answers * (level.weight * trust)[:, None]
    solution = np.linalg.lstsq(weighted.T @ answers, weighted.T @ residual, rcond=1e-12)[0]
    step = np.zeros(8)
    step[columns] = solution
    return step, residual - answers @ solution


def _trust(left: Array, weight: Array) -> tuple[Array, float]:
    """How far each pixel is believed, and the robust standard deviation of what is left."""
    spread = max(1.4826 * float(np.median(np.abs(left[weight > 0.5 * weight.max()]))), 1e-5)
    return 1 / (1 + (left / (OUTLIER * spread)) ** 2) ** 2, spread


def _as_similarity(step: Array, centre: Array) -> Similarity:
    """The similarity of a step about the face's centre."""
    x, y = (float(value) for value in centre)
    scale, angle = math.exp(step[0]), math.degrees(step[1])
    return similarity(scale, angle, (x, y), (x + step[2], y + step[3]))


def _at_level(transform: Similarity, index: int) -> Similarity:
    """A similarity between pictures on level ``index`` of their pyramids, whose coordinates are ``x / 2^index``."""
    return np.concatenate([transform[:, :2], transform[:, 2:] / 2.0**index], axis=1)


def _luma(picture: Tensor) -> Tensor:
    weights = torch.tensor(LUMA, device=picture.device).view(3, 1, 1)
    return (picture.detach().float() * weights).sum(0, keepdim=True).cpu()


def _levels(grey: Tensor, weight: Tensor, box: FaceBox, face: FaceMap) -> list[_Level]:
    """The reference's pyramid, finest first."""
    out: list[_Level] = []
    weight = weight[None, None]
    while True:
        out.append(_level(grey, weight[0, 0].double().numpy(), box, face))
        if box.width < 2 * COARSEST_PX or min(grey.shape[-2:]) < 48:
            break
        grey, weight = halve(grey), halve(weight)
        half = similarity(0.5, 0, (0, 0), (0, 0))
        box, face = box.moved_by(half), face.moved_by(half)
    if len(out[0].grey) < LEAST_PIXELS:
        raise MagPlusError(
            f"Only {len(out[0].grey)} px of the face can tell how the head moves; {LEAST_PIXELS} are needed. Give a "
            "larger face box, or a larger mask of what is rigid."
        )
    return out


def _level(grey: Tensor, weight: Array, box: FaceBox, face: FaceMap) -> _Level:
    chosen = weight > 0.02
    y, x = (values.astype(np.float64) for values in np.nonzero(chosen))
    centre = np.array([box.cx, box.cy])
    at = np.stack([x, y]) - centre[:, None]
    gx = spline_gradient(grey, 3)[0, 0].double().numpy()[chosen]
    gy = spline_gradient(grey, 2)[0, 0].double().numpy()[chosen]
    values = grey[0, 0].double().numpy()[chosen]
    height, width = grey.shape[-2:]
    towards = face.inter_ocular_px * depth(face, face.grid(height, width)[:, chosen])
    towards = towards - np.average(towards, weights=weight[chosen]) if chosen.any() else towards
    (rx, ry), (dx, dy) = face.axes
    columns = [
        gx * at[0] + gy * at[1],
        gy * at[0] - gx * at[1],
        gx,
        gy,
        towards * (gx * rx + gy * ry),
        towards * (gx * dx + gy * dy),
        values - 0.5,
        np.ones_like(values),
    ]
    return _Level(at=at, grey=values, weight=weight[chosen], answers=np.stack(columns, axis=1), centre=centre)


@dataclass(frozen=True, kw_only=True)
class _View:
    """The part of a picture around a face, reduced by a whole factor."""

    rows: slice
    columns: slice
    factor: int

    @classmethod
    def around(cls, box: FaceBox, height: int, width: int) -> _View:
        factor = max(1, -(-round(box.width) // WORK_PX))
        turn = math.radians(box.angle_deg)
        cos, sin = abs(math.cos(turn)), abs(math.sin(turn))
        margin = MARGIN * max(box.width, box.height) + 8
        across = (cos * box.width + sin * box.height) / 2 + margin
        along = (sin * box.width + cos * box.height) / 2 + margin
        return cls(
            rows=_span(box.cy, along, height, factor), columns=_span(box.cx, across, width, factor), factor=factor
        )

    @property
    def to_view(self) -> Similarity:
        """Maps the picture's coordinates to the view's; the middle of the first ``factor`` pixels becomes 0."""
        corner = np.array([self.columns.start, self.rows.start]) + (self.factor - 1) / 2
        return similarity(1 / self.factor, 0, (float(corner[0]), float(corner[1])), (0, 0))

    def of(self, picture: Tensor) -> Tensor:
        """That part of ``(1, H, W)`` as ``(1, 1, h, w)``, smoothed."""
        part = picture[None, :, self.rows, self.columns]
        return gaussian_blur(F.avg_pool2d(part, self.factor) if self.factor > 1 else part, SMOOTHING_PX)


def _span(centre: float, reach: float, size: int, factor: int) -> slice:
    start = int(np.clip(math.floor(centre - reach), 0, size))
    stop = int(np.clip(math.ceil(centre + reach) + 1, 0, size))
    stop -= (stop - start) % factor
    if stop - start < 16 * factor:
        raise MagPlusError(f"The face box around {centre:.0f} px lies outside the picture. Give a box inside it.")
    return slice(start, stop)
