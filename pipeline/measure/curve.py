# SPDX-License-Identifier: Apache-2.0
"""The motion of a clip as one signed curve: how far the face moved along its own dominant pattern, frame by frame.

A displacement field says more than a report can show. It is reduced in two steps. Fields are averaged on a grid of
``GRID`` x ``GRID`` cells laid over the face box, in the axes of the face and in percent of the box width, so that two
faces of any size and roll are comparable. Then the dominant mode ``u`` of all frames (a unit vector of GRID x GRID
displacements) weighs the cells: with ``w`` = ``|u|^2`` less what noise put there, scaled to a sum of 1, the value of a
frame is the sum of ``w * (d . u / |u|)``, the mean displacement along the mode, weighted by the mode's energy. A clip
that moves by ``s(t)`` times one field gives ``s(t)`` times a constant, and ``alpha`` times that field gives ``alpha``
times the curve.

The mode is that of the changes over time (each cell's mean over all frames is taken away): the noise of the reference
frame is a part of every displacement that is measured against it, the same in all frames, and without that step it is
found as the mode of a still clip. The values themselves keep the reference as their zero.

The mode of a weak motion is known badly. A clip can be measured ``along`` another one, in which the same face was
seen to move more strongly; the strong clip should be one of its own, as what a magnifier makes of noise is drawn by the
same noise. Measured: a bump of 0.5 px peak at noise 0.01 on a face of 96 px against a clip of 8 times that gives a gain
of 7.9 +- 0.4 along the pattern of that clip, 8.0 +- 0.4 along its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.errors import MagPlusError
from ...models.geometry import FaceBox
from ..clip import CHUNK, Clip, ClipInfo, check_index
from ..log import log
from ..progress import Progress, silent
from .broken import Looks, jumps
from .flow import MIN_SIDE, DisplacementEstimator, dense_displacement
from .grid import GRID, face_grid
from .modes import FieldSpool, Vectors, Weighted, dominant_mode, noise_variance

Values = NDArray[np.float64]
Watch = Callable[[Tensor, Tensor, Tensor, FaceBox], None]

SAME_PATTERN = 0.2
"""Cosine of two modes from which on the sign of one says something about the sign of the other."""
SHORT_FRAMES, FLOOR_FRAMES, FEWEST_FRAMES = 16, 5, 3
"""Clip lengths at which the noise floor is found in another way, see `noise_floor`."""
WORK_WIDTH_PX = 384
"""Faces wider than this are measured on a picture reduced by a whole factor: the curve needs GRID cells, not pixels."""
AT_ONCE_PIXELS = 2**16
"""Of the pictures that the estimator is given together. Small ones take less time so, of 40 x 40 px under half, and a
cancelled run stops as soon as with one of 256 x 256 px."""
MARGIN = 0.25
"""Surroundings of the face box that the estimator sees, as a part of the box's larger side."""
SELECTION = 3.0
"""How much larger noise is along a mode that was fitted to it than across: 2 to 5 times on 9 to 12 frames."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MotionCurve:
    """Signed motion per frame, zero at the reference frame.

    ``values_pct_face`` are in percent of the face-box width, ``values_px`` the same in px of the clip. The noise floor
    is one standard deviation of a value's frame-to-frame noise (see `noise_floor`); None below three frames. ``mode``
    ``(2, GRID, GRID)`` has length 1 (or 0, if nothing moved at all), ``explained`` is the fraction of the energy of
    all changes that lies in it, in [0, 1]. ``weights`` ``(2, GRID, GRID)`` is what fields are multiplied with to give
    the values, taken from another curve where this one was measured along that. ``left_out`` are broken frames (see
    `broken`): nothing was taken from them, their values lie on a line between those of the frames around them.
    """

    values_pct_face: Values
    noise_floor_pct_face: float | None
    rate: Fraction
    reference: int
    box: FaceBox
    mode: Values
    weights: Values
    explained: float
    left_out: tuple[int, ...] = ()

    @property
    def values_px(self) -> Values:
        """Values in px of the clip that was measured."""
        return self.values_pct_face * (self.box.width / 100)

    @property
    def noise_floor_px(self) -> float | None:
        """Noise floor in px of the clip that was measured."""
        return None if self.noise_floor_pct_face is None else self.noise_floor_pct_face * self.box.width / 100

    @property
    def peak_frame(self) -> int:
        """Frame of the largest motion, of either sign."""
        return int(np.abs(self.values_pct_face).argmax())

    @property
    def peak_pct_face(self) -> float:
        """Value at the peak frame, with its sign, in percent of the face-box width."""
        return float(self.values_pct_face[self.peak_frame])

    @property
    def peak_px(self) -> float:
        """Value at the peak frame, with its sign, in px."""
        return float(self.values_px[self.peak_frame])

    @property
    def times_ms(self) -> Values:
        """Time of each frame from the first one, in ms."""
        return np.arange(len(self.values_pct_face), dtype=np.float64) * float(1000 / self.rate)

    def pattern_similarity(self, other: MotionCurve) -> float:
        """Cosine of the two modes, -1 to 1: the same pattern, whatever its strength and the size of the face."""
        return float(np.clip((self.mode * other.mode).sum(), -1, 1))

    def reversed(self) -> MotionCurve:
        """The same motion with the opposite sign convention."""
        return replace(self, values_pct_face=-self.values_pct_face, mode=-self.mode, weights=-self.weights)

    def signed_like(self, other: MotionCurve) -> MotionCurve:
        """With the sign in which the modes agree; as it is where they have too little in common to tell."""
        return self.reversed() if self.pattern_similarity(other) < -SAME_PATTERN else self


class CurveBuilder:
    """Collects displacement fields in chunks and reduces them to a `MotionCurve`.

    A frame keeps 8 kB (its grid), in memory for a short clip and in an unnamed temporary file for a long one. Use it
    in a ``with`` statement, which releases the file.
    """

    def __init__(self, *, box: FaceBox, rate: Fraction, reference: int = 0) -> None:
        self._box, self._rate, self._reference = box, rate, reference
        self._spool = FieldSpool(2 * GRID * GRID)
        self._left_out: list[int] = []

    def __enter__(self) -> CurveBuilder:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def append(self, fields_px: Tensor, *, fields_box: FaceBox | None = None) -> None:
        """Add displacement fields ``(N, 2, H, W)`` in px of the reference.

        ``fields_box`` is the face on the grid of the fields, where they show a cropped or resized clip.
        """
        grids = face_grid(fields_px, fields_box or self._box)
        self._spool.append(grids.reshape(len(grids), -1))

    def around(self, run: Sequence[int]) -> tuple[Values, Values]:
        """The grids ``(2, GRID, GRID)`` before and after neighbouring frames; at an end of the clip twice the same."""
        before, after = self._spool.around(run)
        return before.reshape(2, GRID, GRID), after.reshape(2, GRID, GRID)

    def grid(self, index: int) -> Values:
        """The grid ``(2, GRID, GRID)`` of a frame, in percent of the face width."""
        return self._spool.row(index).reshape(2, GRID, GRID)

    def leave_out(self, run: Sequence[int]) -> None:
        """Take nothing from these neighbouring frames: their fields become what lies between those around them."""
        self._spool.bridge(run)
        self._left_out.extend(run)

    def finish(
        self,
        *,
        like: MotionCurve | None = None,
        along: MotionCurve | None = None,
        region: Values | None = None,
    ) -> MotionCurve:
        """The curve of all fields so far; may be asked for again, with another ``region``.

        Its peak is positive; with ``like`` its sign is that of another curve (see `MotionCurve.signed_like`); with
        ``along`` sign and weights are those of another curve, and ``mode`` still shows what this clip does itself.
        ``region`` ``(GRID, GRID)`` in [0, 1] says where to look (`grid.mask_grid`); not given, everywhere in the box.
        """
        if len(self._spool) == 0:
            raise MagPlusError("The motion of a clip without frames cannot be measured. Give at least one frame.")
        check_index(self._reference, len(self._spool), "The clip to measure")
        looked_at: Vectors = self._spool
        if region is not None:
            looked_at = Weighted(self._spool, np.broadcast_to(region, (2, GRID, GRID)).reshape(-1))
        found = dominant_mode(looked_at)
        mode = found.vector.reshape(2, GRID, GRID)
        if along is not None:
            return self._along(along, mode, found.explained)
        weights = _weights(mode, found.noise.reshape(2, GRID, GRID))
        curve = self._curve(mode, weights, found.explained, selection=SELECTION)
        if curve.peak_pct_face < 0:
            curve = curve.reversed()
        return curve if like is None else curve.signed_like(like)

    def along(self, other: MotionCurve, own: MotionCurve) -> MotionCurve:
        """``own``, which `finish` gave, with sign and weights of another curve; its ``mode`` is what it was."""
        return self._along(other, own.mode, own.explained)

    def _along(self, other: MotionCurve, mode: Values, explained: float) -> MotionCurve:
        mode = -mode if (mode * other.mode).sum() < 0 else mode
        return self._curve(mode, other.weights, explained, selection=1.0)

    def _curve(self, mode: Values, weights: Values, explained: float, *, selection: float) -> MotionCurve:
        # the same weights a quarter turn aside see equal noise and none of a motion along the mode
        pair = np.stack([weights.reshape(-1), np.stack([-weights[1], weights[0]]).reshape(-1)], axis=1)
        values, sideways = np.concatenate([rows @ pair for rows in self._spool.chunks()]).T
        return MotionCurve(
            values_pct_face=values,
            noise_floor_pct_face=noise_floor(values, sideways * selection),
            rate=self._rate,
            reference=self._reference,
            box=self._box,
            mode=mode,
            weights=weights,
            explained=explained,
            left_out=tuple(self._left_out),
        )

    def mean_pct_face(self, region: Values | None = None) -> Values:
        """Mean displacement of each frame over the region or the box, ``(T, 2)``."""
        share = np.ones((GRID, GRID)) if region is None else region
        weights = (share / max(float(share.sum()), 1e-12)).reshape(-1)
        return np.concatenate([rows.reshape(len(rows), 2, -1) @ weights for rows in self._spool.chunks()])

    def magnitude_pct_face(self, region: Values | None = None) -> Values:
        """Length of the motion of each frame, whatever its direction: root mean square over the region or the box.

        Noise makes lengths longer, never shorter. What it adds on average, that of a frame and that of the reference,
        is taken away from the mean squares.
        """
        share = np.ones((GRID, GRID)) if region is None else region
        weights = np.broadcast_to(share / max(float(share.sum()), 1e-12), (2, GRID, GRID)).reshape(-1)
        squares = np.concatenate([rows**2 @ weights for rows in self._spool.chunks()])
        noise = 2 * float(weights @ np.broadcast_to(noise_variance(self._spool), weights.shape))
        found = np.sqrt(np.maximum(squares - noise, 0))
        found[self._reference] = 0.0
        return found


def _weights(mode: Values, noise: Values) -> Values:
    """``w u / |u|`` ``(2, GRID, GRID)`` with w proportional to ``|u|^2`` less its expectation from noise alone."""
    energy = (mode**2).sum(axis=0)
    share = np.maximum(energy - noise.sum(axis=0), 0)
    if not share.any():
        share = energy
    direction = mode / np.sqrt(np.maximum(energy, 1e-30))
    return direction * share / max(float(share.sum()), 1e-30)


def noise_floor(values: Values, sideways: Values | None = None) -> float | None:
    """Standard deviation of the frame-to-frame noise of a curve, in its unit.

    From 16 frames on it comes from second differences: 1.4826 x their median absolute value / sqrt(6), which neither a
    slow motion nor a few fast frames touch. A shorter clip may move in most of its frames, which would pass for noise;
    there ``sideways``, the same measure across the mode, may lower the floor to its standard deviation. From 3 to 4
    frames that alone counts. None below, or where ``sideways`` would be needed and is not given.
    """
    count = len(values)
    across = float(np.std(sideways, ddof=1)) if sideways is not None and count >= FEWEST_FRAMES else None
    if count < FLOOR_FRAMES:
        return across
    floor = float(1.4826 * np.median(np.abs(np.diff(values, n=2))) / np.sqrt(6))
    return floor if across is None or count >= SHORT_FRAMES else min(floor, across)


def measure_fields(
    chunks: Iterable[Tensor],
    *,
    box: FaceBox,
    rate: Fraction,
    reference: int = 0,
    like: MotionCurve | None = None,
    along: MotionCurve | None = None,
) -> MotionCurve:
    """Curve of displacement fields ``(N, 2, H, W)`` in px, on the pixels of the reference frame.

    ``like`` and ``along`` as in `CurveBuilder.finish`.
    """
    with CurveBuilder(box=box, rate=rate, reference=reference) as builder:
        for fields in chunks:
            builder.append(fields)
        return builder.finish(like=like, along=along)


def measure_clip(
    clip: Clip,
    box: FaceBox,
    *,
    reference: int = 0,
    estimator: DisplacementEstimator = dense_displacement,
    like: MotionCurve | None = None,
    along: MotionCurve | None = None,
    progress: Progress = silent,
) -> MotionCurve:
    """Motion of ``clip`` against its frame ``reference`` inside ``box``, which is the face in that frame.

    Only the surroundings of the box are looked at. ``like`` and ``along`` as in `CurveBuilder.finish`. Ticks once per
    frame as the stage "measure".
    """
    with CurveBuilder(box=box, rate=clip.info.rate, reference=reference) as builder:
        view_clip(clip, box, builder, reference=reference, estimator=estimator, progress=progress)
        return builder.finish(like=like, along=along)


def view_clip(
    clip: Clip,
    box: FaceBox,
    builder: CurveBuilder,
    *,
    reference: int,
    estimator: DisplacementEstimator,
    watch: Watch | None = None,
    progress: Progress = silent,
) -> None:
    """Give ``builder`` the displacement of every frame around ``box`` but broken ones; ticks as `measure_clip`.

    ``watch`` is shown everything: reference and frame ``(3, h, w)``, displacement ``(1, 2, h, w)``, the box in them.
    """
    view = _View.around(box, clip.info)
    first = view.of(clip.frame(reference)[None])[0]
    looks = Looks(first, view.box)
    done = 0
    together = max(1, AT_ONCE_PIXELS // first[0].numel())
    for frames in (few for chunk in clip.chunks(CHUNK) for few in chunk.split(together)):
        seen = view.of(frames)
        fields = estimator(first, seen)
        builder.append(fields, fields_box=view.box)
        for frame, look, field in zip(frames, seen, fields.split(1), strict=True):
            looks.see(look)
            if watch is not None:
                watch(first, look, field, view.box)
            done += 1
            progress("measure", done, clip.info.count, frame)
    for run in looks.suspects():
        around = builder.around(run)
        for index in run:
            seen = view.of(clip.frame(index)[None])
            if looks.is_explained(seen[0], estimator(first, seen)[0]) and not jumps(builder.grid(index), *around):
                break
        else:
            builder.leave_out(run)
            log.warning("%s: left out of the motion, as they look broken: frames %s", clip.info.name, run)


def whole_frame_box(info: ClipInfo) -> FaceBox:
    """The whole picture as a face box, for clips in which no face is tracked."""
    return FaceBox.from_corner(0, 0, info.width, info.height)


@dataclass(frozen=True, kw_only=True)
class _View:
    """The part of a picture around a face box, reduced by a whole factor; ``box`` is the face in it."""

    rows: slice
    columns: slice
    factor: int
    box: FaceBox

    @classmethod
    def around(cls, box: FaceBox, info: ClipInfo) -> _View:
        factor = max(1, -(-round(box.width) // WORK_WIDTH_PX))
        turn = np.deg2rad(box.angle_deg)
        cos, sin = abs(np.cos(turn)), abs(np.sin(turn))
        margin = max(MARGIN * max(box.width, box.height), 2 * MIN_SIDE)
        columns = _span(box.cx, (cos * box.width + sin * box.height) / 2 + margin, info.width, factor)
        rows = _span(box.cy, (sin * box.width + cos * box.height) / 2 + margin, info.height, factor)
        # pixel centres: the middle of the first `factor` pixels becomes 0
        cx, cy = ((c - s.start - (factor - 1) / 2) / factor for c, s in ((box.cx, columns), (box.cy, rows)))
        local = FaceBox(cx=cx, cy=cy, width=box.width / factor, height=box.height / factor, angle_deg=box.angle_deg)
        return cls(rows=rows, columns=columns, factor=factor, box=local)

    def of(self, frames: Tensor) -> Tensor:
        """That part of ``frames`` ``(N, 3, H, W)``."""
        part = frames[..., self.rows, self.columns]
        return torch.nn.functional.avg_pool2d(part, self.factor) if self.factor > 1 else part


def _span(centre: float, reach: float, size: int, factor: int) -> slice:
    """Pixels within ``reach`` of ``centre``, inside the picture, a multiple of ``factor``."""
    start = int(np.clip(np.floor(centre - reach), 0, size))
    stop = int(np.clip(np.ceil(centre + reach) + 1, 0, size))
    stop -= (stop - start) % factor
    if stop - start < MIN_SIDE * factor:
        raise MagPlusError(
            f"The face box around ({centre:.0f}) lies outside the picture or leaves only {stop - start} of its {size} "
            f"px to measure. Give a box inside the picture; {MIN_SIDE * factor} px a side are needed."
        )
    return slice(start, stop)
