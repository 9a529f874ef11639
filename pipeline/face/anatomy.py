# SPDX-License-Identifier: Apache-2.0
"""Where the parts of a face are: anchor points from landmarks, else from the face box, and soft regions around them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.geometry import FaceBox, Similarity
from ...models.warp import smooth_step
from .landmarks import Points, named_points

CANONICAL: Mapping[str, tuple[float, float]] = {
    "left eye": (-0.235, -0.13),
    "right eye": (0.235, -0.13),
    "left brow": (-0.235, -0.215),
    "right brow": (0.235, -0.215),
    "left side": (-0.5, -0.08),
    "right side": (0.5, -0.08),
    "top": (0.0, -0.5),
    "chin": (0.0, 0.49),
    "nose root": (0.0, -0.14),
    "nose base": (0.0, 0.13),
    "left mouth corner": (-0.19, 0.25),
    "right mouth corner": (0.19, 0.25),
}
"""The points of `landmarks.MESH` in a face box from ear to ear and from hairline to chin, in widths and heights from
its centre. Read off two painted portraits; eyes 0.47 widths apart agree with anthropometry (63 of 137 mm)."""


@dataclass(frozen=True, kw_only=True)
class FaceMap:
    """Named points of a face in px, and the axes of the face."""

    points: Mapping[str, NDArray[np.float64]]
    measured: bool
    """From landmarks; False: from the canonical places in a box."""

    @classmethod
    def from_box(cls, box: FaceBox) -> FaceMap:
        """Canonical places in a box."""
        turn = math.radians(box.angle_deg)
        rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        centre, size = np.array([box.cx, box.cy]), np.array([box.width, box.height])
        return cls(
            points={name: centre + rotation @ (size * np.array(at)) for name, at in CANONICAL.items()}, measured=False
        )

    @classmethod
    def from_landmarks(cls, mesh: Points) -> FaceMap:
        """As MediaPipe's face mesh tells."""
        return cls(points=named_points(mesh), measured=True)

    def moved_by(self, transform: Similarity) -> FaceMap:
        """The same face after a similarity was applied to its picture."""
        return FaceMap(
            points={name: transform[:, :2] @ at + transform[:, 2] for name, at in self.points.items()},
            measured=self.measured,
        )

    @property
    def inter_ocular_px(self) -> float:
        """Distance between the eyes' centres."""
        return float(np.linalg.norm(self.points["right eye"] - self.points["left eye"]))

    @property
    def axes(self) -> NDArray[np.float64]:
        """Unit vectors ``(2, 2)`` along the line of the eyes, and down the face."""
        across = (self.points["right eye"] - self.points["left eye"]) / self.inter_ocular_px
        return np.stack([across, np.array([-across[1], across[0]])])

    def local(self, points: Mapping[str, NDArray[np.float64]] | None = None) -> dict[str, NDArray[np.float64]]:
        """The points along these axes, in inter-ocular distances from the middle between the eyes."""
        middle = (self.points["right eye"] + self.points["left eye"]) / 2
        return {n: self.axes @ (at - middle) / self.inter_ocular_px for n, at in (points or self.points).items()}

    def grid(self, height: int, width: int) -> NDArray[np.float64]:
        """The pixels of a picture ``(2, H, W)`` in the same coordinates."""
        x, y = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
        middle = ((self.points["right eye"] + self.points["left eye"]) / 2).reshape(2, 1, 1)
        return np.einsum("ij,jhw->ihw", self.axes, np.stack([x, y]) - middle) / self.inter_ocular_px


SOFT_PARTS = ("brows", "eyes", "mouth")
"""Regions that move against the skull."""

Ellipse = tuple[float, float, float, float]
"""Centre and half axes, in inter-ocular distances along the axes of the face."""


def _brows(at: Mapping[str, NDArray[np.float64]]) -> list[Ellipse]:
    left, right = at["left brow"], at["right brow"]
    # Between the brows is where a frown shows.
    middle = (left + right) / 2
    return [(left[0], left[1], 0.4, 0.17), (right[0], right[1], 0.4, 0.17), (middle[0], middle[1], 0.2, 0.17)]


def _eyes(at: Mapping[str, NDArray[np.float64]]) -> list[Ellipse]:
    return [(at[name][0], at[name][1], 0.33, 0.17) for name in ("left eye", "right eye")]


def _nose(at: Mapping[str, NDArray[np.float64]]) -> list[Ellipse]:
    root, base = at["nose root"], at["nose base"]
    middle = (root + base) / 2 + np.array([0, 0.06])
    return [(middle[0], middle[1], 0.3, abs(base[1] - root[1]) / 2 + 0.1)]


def _cheeks(at: Mapping[str, NDArray[np.float64]]) -> list[Ellipse]:
    out = []
    for side, outward in (("left", -1), ("right", 1)):
        eye, corner = at[f"{side} eye"], at[f"{side} mouth corner"]
        middle = (eye + corner) / 2
        out.append((middle[0] + outward * 0.16, middle[1], 0.3, abs(corner[1] - eye[1]) * 0.36))
    return out


def _mouth(at: Mapping[str, NDArray[np.float64]]) -> list[Ellipse]:
    left, right = at["left mouth corner"], at["right mouth corner"]
    middle = (left + right) / 2
    return [(middle[0], middle[1], abs(right[0] - left[0]) / 2 + 0.2, 0.3)]


def _chin(at: Mapping[str, NDArray[np.float64]]) -> list[Ellipse]:
    lips, chin = (at["left mouth corner"] + at["right mouth corner"]) / 2, at["chin"]
    middle = lips + 0.72 * (chin - lips)
    return [(middle[0], middle[1], 0.42, abs(chin[1] - lips[1]) * 0.36)]


REGIONS: Mapping[str, Callable[[Mapping[str, NDArray[np.float64]]], list[Ellipse]]] = {
    "brows": _brows,
    "eyes": _eyes,
    "nose": _nose,
    "cheeks": _cheeks,
    "mouth": _mouth,
    "chin": _chin,
}


def region_mask(face: FaceMap, region: str, size: tuple[int, int], *, softness: float = 0.6) -> Tensor:
    """Soft mask ``(H, W)`` of one of `REGIONS`: 1 inside, 0 outside, one half on the outline.

    ``softness`` is the width of the edge in half axes, above 0 and at most 2.
    """
    x, y = face.grid(*size)
    mask = np.zeros(size)
    for cx, cy, across, down in REGIONS[region](face.local()):
        away = np.hypot((x - cx) / across, (y - cy) / down)
        mask = np.maximum(mask, 0.5 + (1 - away) / softness)
    return smooth_step(torch.from_numpy(mask).float()).clamp(0, 1)


def rigid_mask(face: FaceMap, box: FaceBox, size: tuple[int, int]) -> Tensor:
    """Soft mask ``(H, W)`` of what moves with the skull: forehead, nose, temples, upper cheeks, inside the face."""
    x, y = np.meshgrid(np.arange(size[1], dtype=np.float64), np.arange(size[0], dtype=np.float64))
    cos, sin = math.cos(math.radians(box.angle_deg)), math.sin(math.radians(box.angle_deg))
    across = (cos * (x - box.cx) + sin * (y - box.cy)) / (box.width / 2)
    along = (cos * (y - box.cy) - sin * (x - box.cx)) / (box.height / 2)
    mask = smooth_step(torch.from_numpy((1 - np.hypot(across, along)) / 0.15).float())
    for region in SOFT_PARTS:
        mask = mask * (1 - region_mask(face, region, size))
    # The jaw moves below the mouth, whether its chin does or not.
    lips = face.local()["left mouth corner"][1] - 0.25
    return mask * smooth_step(torch.from_numpy((lips - face.grid(*size)[1]) / 0.15).float())
