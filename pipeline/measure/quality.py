# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a clip apart from the size of its motion: changed looks, a moving background, a moving head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.errors import MagPlusError
from ...models.geometry import FaceBox
from ...models.warp import box_window
from ..face.anatomy import FaceMap, rigid_mask
from ..face.depth import depth, leak_per_degree
from .grid import face_grid, mask_grid
from .lookup import moved_back

Values = NDArray[np.float64]

LEVELS = 255.0
LUMA = (0.299, 0.587, 0.114)
FADE = 0.2
"""How far from the box, in its half sides, a place counts as surroundings."""
ODD, LEAST_LEVELS = 6.0, 1.0
"""A frame looks wrong whose residual is so many robust deviations, and at least so many levels, above the median."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Still:
    """What depends on the reference frame alone: its levels, and where face, surroundings and skull are.

    ``deep`` is what a turn by 1 degree moves by the depth of an average head, in percent of the face width.
    """

    luma: NDArray[np.float32]
    face: Values
    around: Values
    rigid: Values
    deep: Values

    @classmethod
    def of(cls, first: Tensor, box: FaceBox) -> _Still:
        size = (first.shape[-2], first.shape[-1])
        face = FaceMap.from_box(box)
        towards = torch.from_numpy(depth(face, face.grid(*size)))
        window = box_window(box, torch.zeros(1, 1, *size), FADE)[0, 0].double().numpy()
        return cls(
            luma=_luma(first),
            face=(window >= 1 - 1e-3).astype(np.float64),
            around=(window <= 1e-3).astype(np.float64),
            rigid=mask_grid(rigid_mask(face, box, size), box),
            deep=mask_grid(towards, box) * (math.radians(1) * 100 * face.inter_ocular_px / box.width),
        )


@dataclass
class QualityWatch:
    """Collects what `curve.view_clip` sees: frame, displacement and the face in both."""

    residual: list[float] = field(default_factory=list)
    surroundings: list[float] = field(default_factory=list)
    pose: list[tuple[float, ...]] = field(default_factory=list)
    _still: _Still | None = None
    _box: FaceBox | None = None

    def __call__(self, first: Tensor, frame: Tensor, displacement: Tensor, box: FaceBox) -> None:
        still = self._still = self._still or _Still.of(first, box)
        self._box = box
        after = _luma(frame)
        flow = displacement[0].permute(1, 2, 0).contiguous().cpu().float().numpy()
        self.residual.append(_rms(moved_back(after, flow, still.luma) - still.luma, still.face))
        self.surroundings.append(_rms(after - still.luma, still.around))
        grid = face_grid(displacement, box)[0].astype(np.float64)
        self.pose.append((*_pose(grid, still.rigid), *_turn(grid, still)))

    def finish(self, left_out: Sequence[int] = ()) -> Quality:
        """What was seen; frames that are ``left_out`` (see `broken`) show no head that could have moved."""
        if self._box is None:
            raise MagPlusError("The quality of a clip without frames cannot be told. Give at least one frame.")
        shift, roll, yaw, pitch = np.array(self.pose).T.copy()
        for values in (shift, roll, yaw, pitch):
            values[list(left_out)] = 0.0
        face = FaceMap.from_box(self._box)
        return Quality(
            residual_levels=np.array(self.residual),
            surroundings_levels=np.array(self.surroundings),
            pose_pct_face=shift,
            roll_deg=roll,
            yaw_deg=yaw,
            pitch_deg=pitch,
            leak_px=np.hypot(*(leak_per_degree(face) @ np.stack([yaw, pitch]))),
            face=face,
            width_px=self._box.width,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Quality:
    """Per frame, against the reference; levels of 255.

    ``residual_levels`` is the root mean square of what is left of the difference inside the face once its motion is
    taken away: changed looks, and noise. ``surroundings_levels`` is that of the plain difference around the face, where
    nothing should move (NaN where the picture shows no surroundings). ``pose_pct_face`` and ``roll_deg`` are the motion
    of what moves with the skull. ``yaw_deg`` and ``pitch_deg`` are turns out of the picture plane, by the depth of an
    average head: estimates. ``leak_px`` is what these turns move at the tip of the nose of ``face``, whose box is
    ``width_px`` wide, against the rest: no shift and no roll takes that away, so that it passes for an expression.
    """

    residual_levels: Values
    surroundings_levels: Values
    pose_pct_face: Values
    roll_deg: Values
    yaw_deg: Values
    pitch_deg: Values

    leak_px: Values
    face: FaceMap
    width_px: float

    @property
    def odd_frames(self) -> list[int]:
        """Frames that look wrong."""
        values = np.nan_to_num(self.residual_levels, nan=np.inf)
        middle = float(np.median(values))
        spread = 1.4826 * float(np.median(np.abs(values - middle)))
        return np.flatnonzero(values > middle + max(ODD * spread, LEAST_LEVELS)).tolist()

    def numbers(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "appearance_residual_levels": float(np.mean(self.residual_levels)),
            "appearance_residual_worst_levels": float(np.max(self.residual_levels)),
            "appearance_residual_worst_frame": int(np.argmax(self.residual_levels)),
            "static_error_levels": float(np.mean(self.surroundings_levels)),
            "pose_peak_pct_face": float(np.max(self.pose_pct_face)),
            "roll_peak_deg": float(np.max(np.abs(self.roll_deg))),
            "yaw_peak_deg": float(np.max(np.abs(self.yaw_deg))),
            "pitch_peak_deg": float(np.max(np.abs(self.pitch_deg))),
            "pose_leak_pct_face": float(100 * np.max(self.leak_px) / self.width_px),
            "pose_leak_pct_inter_ocular": float(100 * np.max(self.leak_px) / self.face.inter_ocular_px),
            "odd_frames": self.odd_frames,
        }


def psnr_db(pictures: Tensor, others: Tensor) -> float:
    """Peak signal to noise ratio of pictures ``(..., 3, H, W)`` in [0, 1], the mean of all; at most 120 dB each."""
    error = (pictures.float().cpu() - others.float().cpu()).square().mean((-3, -2, -1))
    return float((-10 * error.clamp(min=1e-12).log10()).mean())


def _luma(frame: Tensor) -> NDArray[np.float32]:
    weights = torch.tensor(LUMA, device=frame.device).view(3, 1, 1)
    return (frame.detach().float() * weights).sum(0).mul(LEVELS).cpu().contiguous().numpy()


def _rms(values: NDArray[np.float32], where: Values) -> float:
    total = float(where.sum())
    return float(np.sqrt((values.astype(np.float64) ** 2 * where).sum() / total)) if total else float("nan")


def _turn(grid: Values, still: _Still) -> tuple[float, float]:
    """Yaw and pitch in degrees that fit a field ``(2, GRID, GRID)`` best, beside shift, size and roll."""
    x, y, one = *_places(grid.shape[-1]), np.ones(still.deep.size)
    none, deep = np.zeros_like(one), still.deep.reshape(-1)
    columns = ((one, none), (none, one), (x, y), (-y, x), (deep, none), (none, deep))
    found = _fit(grid, still.rigid, columns)
    return float(found[4]), float(found[5])


def _pose(grid: Values, rigid: Values) -> tuple[float, float]:
    """Shift in percent of the face width, and roll in degrees, that fit a field ``(2, GRID, GRID)`` best."""
    x, y = _places(grid.shape[-1])
    one, none = np.ones_like(x), np.zeros_like(x)
    right, down, _, turn = _fit(grid, rigid, ((one, none), (none, one), (x, y), (-y, x)))
    return float(np.hypot(right, down)), float(np.degrees(turn))


def _places(size: int) -> tuple[Values, Values]:
    """The cells' x and y from the middle of the box, in percent of its sides."""
    steps = (np.arange(size) + 0.5) / size * 100 - 50
    x, y = np.meshgrid(steps, steps)
    return x.reshape(-1), y.reshape(-1)


def _fit(grid: Values, where: Values, columns: Sequence[tuple[Values, Values]]) -> Values:
    """Least squares of a field ``(2, GRID, GRID)`` in motions given by their x and y; NaN where nothing is seen."""
    weight = np.sqrt(where).reshape(-1)
    if not weight.any():
        return np.full(len(columns), np.nan)
    parts = np.stack([np.concatenate([u * weight, v * weight]) for u, v in columns], axis=1)
    found: Values = np.linalg.lstsq(parts, (grid.reshape(2, -1) * weight).reshape(-1), rcond=None)[0]
    return found
