# SPDX-License-Identifier: Apache-2.0
"""The motion of each part of a face, as one signed curve each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...models.geometry import FaceBox
from ..clip import Clip
from ..face.anatomy import REGIONS, FaceMap, region_mask
from ..progress import Progress, silent
from .arc import CI95
from .curve import CurveBuilder, MotionCurve, Watch, noise_floor, view_clip
from .flow import DisplacementEstimator, dense_displacement
from .grid import mask_grid

Values = NDArray[np.float64]

FACE = "face"
"""Name of the whole face box among the regions."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RegionShift:
    """The mean displacement of a region along its main direction.

    A direction is two numbers, a pattern two thousand: where a motion hardly rises above the noise, its own pattern is
    noise and this is not. It sees nothing of parts that move against each other, and is smaller than the curve, as it
    counts what stands still, too.
    """

    values_pct_face: Values
    direction: tuple[float, float]
    """Unit vector at a positive value, in the axes of the face."""
    noise_floor_pct_face: float | None

    @classmethod
    def of(cls, means: Values, *, like: RegionShift | None = None, along: RegionShift | None = None) -> RegionShift:
        """From mean displacements ``(T, 2)``: the direction of the largest change, with a positive peak.

        With ``like`` the sign is that of another shift, with ``along`` the direction.
        """
        if along is not None:
            axis = np.array(along.direction)
        else:
            axis = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)[2][0]
            values = means @ axis
            wanted = values[np.abs(values).argmax()] if like is None else axis @ np.array(like.direction)
            axis = -axis if wanted < 0 else axis
        values, sideways = means @ axis, means @ np.array([-axis[1], axis[0]])
        return cls(
            values_pct_face=values,
            direction=(float(axis[0]), float(axis[1])),
            noise_floor_pct_face=noise_floor(values, sideways),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class RegionMotion:
    """The motion of one region.

    ``curve`` is signed, along the region's own dominant pattern. ``direction`` is the mean direction of that pattern
    at a positive value, in the axes of the face (x along its width, y down): its length is 1 where all of it goes one
    way, and near 0 where it parts, as lips do. ``magnitude_pct_face`` has no sign (`CurveBuilder.magnitude_pct_face`).
    ``shift`` is the motion of the region as a whole. ``inter_ocular_px`` is the distance of the eyes where landmarks
    tell it, else None. ``along`` is the curve along the pattern of a clip that shows the same motion larger, where
    there is one: gains are truer so, but what magnified the clip magnified its noise, too, and makes a weak peak too
    large.
    """

    curve: MotionCurve
    magnitude_pct_face: Values
    direction: tuple[float, float]
    shift: RegionShift
    inter_ocular_px: float | None = None
    along: MotionCurve | None = None

    @property
    def compared(self) -> MotionCurve:
        """The curve that comparisons take."""
        return self.along or self.curve

    @property
    def direction_deg(self) -> float:
        """0 to the picture's right of an upright face, 90 down."""
        return math.degrees(math.atan2(self.direction[1], self.direction[0]))

    @property
    def values_pct_inter_ocular(self) -> Values | None:
        """Values in percent of the distance between the eyes' centres; None without landmarks."""
        return None if self.inter_ocular_px is None else self.curve.values_px * (100 / self.inter_ocular_px)

    @property
    def interval_pct_face(self) -> float | None:
        """Half the 95 % interval of a value, from its frame-to-frame noise.

        What the noise of the reference frame adds to all values alike is not in it.
        """
        floor = self.curve.noise_floor_pct_face
        return None if floor is None else CI95 * floor


def measure_regions(
    clip: Clip,
    box: FaceBox,
    face: FaceMap | None,
    *,
    reference: int = 0,
    estimator: DisplacementEstimator = dense_displacement,
    regions: Sequence[str] = tuple(REGIONS),
    like: Mapping[str, RegionMotion] | None = None,
    along: Mapping[str, RegionMotion] | None = None,
    watch: Watch | None = None,
    progress: Progress = silent,
) -> dict[str, RegionMotion]:
    """`FACE` and, where ``face`` tells where they are, each of ``regions``, of one pass over the clip.

    ``like`` as in `CurveBuilder.finish`, ``along`` as in `RegionMotion`, both by region; ``watch`` as in `view_clip`.
    Ticks as `measure_clip`.
    """
    found: dict[str, RegionMotion] = {}
    eyes_px = face.inter_ocular_px if face is not None and face.measured else None
    with CurveBuilder(box=box, rate=clip.info.rate, reference=reference) as builder:
        view_clip(clip, box, builder, reference=reference, estimator=estimator, watch=watch, progress=progress)
        for name, region in _grids(clip, box, face, regions).items():
            stronger = _of(along, name)
            curve = builder.finish(like=_of(like, name) or stronger, region=region)
            found[name] = RegionMotion(
                curve=curve,
                along=None if stronger is None else builder.along(stronger, curve),
                magnitude_pct_face=builder.magnitude_pct_face(region),
                shift=RegionShift.of(
                    builder.mean_pct_face(region), like=_shift_of(like, name), along=_shift_of(along, name)
                ),
                direction=(float(curve.weights[0].sum()), float(curve.weights[1].sum())),
                inter_ocular_px=eyes_px,
            )
    return found


def _of(others: Mapping[str, RegionMotion] | None, name: str) -> MotionCurve | None:
    return others[name].curve if others is not None and name in others else None


def _shift_of(others: Mapping[str, RegionMotion] | None, name: str) -> RegionShift | None:
    return others[name].shift if others is not None and name in others else None


def _grids(clip: Clip, box: FaceBox, face: FaceMap | None, regions: Sequence[str]) -> dict[str, Values | None]:
    """Where each region lies on the grid; None is everywhere. One that the box does not show is left out."""
    size = (clip.info.height, clip.info.width)
    grids: dict[str, Values | None] = {FACE: None}
    if face is None:
        return grids
    for name in regions:
        grid = mask_grid(region_mask(face, name, size), box)
        if grid.max() > 0.5:
            grids[name] = grid
    return grids


def curves_of(motions: Mapping[str, RegionMotion]) -> dict[str, MotionCurve]:
    """The curves alone."""
    return {name: motion.curve for name, motion in motions.items()}
