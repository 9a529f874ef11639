# SPDX-License-Identifier: Apache-2.0
"""Landmarks as the networks see them: coloured lines, gaze points, the mouth's box."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .base import SIZE, Drawing
from .lines import paint_line
from .topology import COLOURS, EDGES, GAZE, MOUTH_X, MOUTH_Y

MOUTH_MARGIN_PX = 5
LIMIT_PX = 4 * SIZE
"""Points further away than this are taken as this far, or OpenCV's fixed-point numbers would overflow."""


def draw(points: Tensor, *, subpixel: bool) -> Drawing:
    """Drawings of landmarks ``(N, 669, 2)``, (x, y) as fractions of the crop's sides: 0 its left and top edge.

    Official drawing (``subpixel`` false) cuts line ends down to whole pixels, which erases motion of less than a pixel
    and turns some of it into jumps of a whole one. Ours puts them where they are: a point in the middle of a pixel is
    drawn at the same place either way, so on average nothing is shifted.
    """
    where = points.detach().cpu().double().numpy()
    lines = np.stack([(_fine_lines if subpixel else _official_lines)(face) for face in where])
    mouth = np.stack([_mouth(face) for face in where])
    return Drawing(
        lines=torch.from_numpy(lines).permute(0, 3, 1, 2).to(points.device),
        gaze=2 * points[:, GAZE].float() - 1,
        mouth=torch.from_numpy(mouth)[:, None].to(points.device),
    )


def _official_lines(face: NDArray[np.float64]) -> NDArray[np.float32]:
    """``(256, 256, 3)`` in [0, 1]: every edge, anti-aliased, one pixel wide."""
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    ends = np.trunc(np.clip(face * SIZE, -LIMIT_PX, LIMIT_PX)).astype(int).tolist()
    for (first, second), colour in zip(EDGES.tolist(), COLOURS.tolist(), strict=True):
        cv2.line(picture, ends[first], ends[second], colour, 1, cv2.LINE_AA)
    return picture.astype(np.float32) / np.float32(255)


def _fine_lines(face: NDArray[np.float64]) -> NDArray[np.float32]:
    """The same at the places where the points are."""
    picture = np.zeros((SIZE, SIZE, 3), np.float32)
    # Pixel centres lie at whole numbers here, half a pixel inside the pixel's edges.
    ends = np.clip(face * SIZE - 0.5, -LIMIT_PX, LIMIT_PX)
    for (first, second), colour in zip(EDGES, COLOURS.astype(np.float32) / 255, strict=True):
        paint_line(picture, ends[first], ends[second], colour)
    return picture


def _mouth(face: NDArray[np.float64]) -> NDArray[np.float32]:
    """``(256, 256)``: 1 in the box, its margin included; nothing where the box is empty."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    # Official numbers, computed from coordinates in [-1, 1] in single precision: (p + 1) * 128, cut down.
    normed = (2 * face.astype(np.float32) - 1 + 1) * np.float32(SIZE / 2)
    left, right = (int(x) for x in normed[MOUTH_X, 0])
    top, bottom = (int(y) for y in normed[MOUTH_Y, 1])
    rows = slice(max(top - MOUTH_MARGIN_PX, 0), max(bottom + MOUTH_MARGIN_PX + 1, 0))
    columns = slice(max(left - MOUTH_MARGIN_PX, 0), max(right + MOUTH_MARGIN_PX + 1, 0))
    mask[rows, columns] = 1
    return mask
