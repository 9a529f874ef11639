# SPDX-License-Identifier: Apache-2.0
"""Turns of the head out of the picture plane: what they move, by a coarse depth of a face.

A similarity cannot remove them: the nose, nearer to the camera, moves against the rest. What is left is of the size of
a micro-expression (a yaw of 0.5 degrees moves a nose tip by about 0.4 % of the inter-ocular distance), so it must be
told. The depth is that of an average head and no measurement of this one; angles and leaks are estimates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .anatomy import FaceMap

HEAD = (1.35, 1.9, 1.3)
"""Half axes of an ellipsoid for the front of the head: across, along, towards the camera, in inter-ocular distances."""
NOSE = (0.17, 0.26, 0.32)
"""The nose on it: width and length (sigma) and height of a Gaussian, in inter-ocular distances (20 of 63 mm)."""
CENTRE_Y = 0.25
"""The ellipsoid's middle below the eyes."""


def depth(face: FaceMap, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance towards the camera, in inter-ocular distances, at ``at`` ``(2, ...)`` in the face's own coordinates."""
    x, y = at
    across, along, forward = HEAD
    ball = np.sqrt(np.clip(1 - (x / across) ** 2 - ((y - CENTRE_Y) / along) ** 2, 0.02, None))
    tip = nose_tip(face)
    width, length, height = NOSE
    bump = np.exp(-(((x - tip[0]) / width) ** 2 + ((y - tip[1]) / length) ** 2) / 2)
    return forward * ball + height * bump


def nose_tip(face: FaceMap) -> NDArray[np.float64]:
    """The tip of the nose in the face's own coordinates."""
    points = face.local()
    return points["nose root"] + 0.8 * (points["nose base"] - points["nose root"])


def leak_per_degree(face: FaceMap) -> NDArray[np.float64]:
    """What a similarity leaves of a turn by 1 degree at the tip of the nose, ``(2, 2)`` in px: x, y of yaw, pitch.

    The similarity takes away the motion that the upper face has in common, by least squares.
    """
    points = face.local()
    half = np.array([points["right side"][0] - points["left side"][0], points["chin"][1] - points["top"][1]]) / 2
    disc = np.stack(np.meshgrid(np.linspace(-1, 1, 41), np.linspace(-1, 1, 41))).reshape(2, -1)
    at = (disc * half[:, None] + ((points["top"] + points["chin"]) / 2)[:, None])[:, np.hypot(*disc) <= 1]
    at = at[:, at[1] < points["nose base"][1]]
    tip = nose_tip(face).reshape(2, 1)
    towards, at_tip = depth(face, at), depth(face, tip)
    out = np.zeros((2, 2))
    for turn, nothing in enumerate(np.zeros_like(towards) for _ in range(2)):
        moved = np.stack([towards, nothing] if turn == 0 else [nothing, towards])
        fit = np.linalg.lstsq(_similar(at), moved.ravel(), rcond=None)[0]
        out[:, turn] = face.axes.T @ (np.eye(2)[turn] * at_tip - _similar(tip) @ fit)
    return out * np.radians(1.0) * face.inter_ocular_px


def _similar(at: NDArray[np.float64]) -> NDArray[np.float64]:
    """How scale, rotation and shift move points ``(2, N)``: ``(2 N, 4)``."""
    (x, y), one, none = at, np.ones_like(at[0]), np.zeros_like(at[0])
    return np.stack([np.concatenate(p) for p in ((x, y), (-y, x), (one, none), (none, one))], axis=1)
