# SPDX-License-Identifier: Apache-2.0
"""Coordinates as sines and cosines, always in float32: arguments reach 50000 rad, where half precision is noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor

FIRST_OCTAVE = -1
PIXEL_OCTAVES = 16
KEYPOINT_OCTAVES = 4
PIXEL_CHANNELS = 2 * 2 * PIXEL_OCTAVES


def encode(coordinates: Tensor, octaves: int) -> Tensor:
    """``(..., D)`` to ``(..., 2 * D * octaves)``: all sines, then all cosines, in each the octaves of one coordinate
    after those of the other. Frequencies are pi times powers of two, from pi / 2 on."""
    exponents = torch.arange(FIRST_OCTAVE, FIRST_OCTAVE + octaves, device=coordinates.device)
    phases = (coordinates.float()[..., None] * (math.pi * torch.exp2(exponents.float()))).flatten(-2)
    return torch.cat([phases.sin(), phases.cos()], dim=-1)


def encode_keypoints(value: Tensor) -> Tensor:
    """``(N, K, 2)`` to ``(N, 16 * K)``."""
    return encode(value.flatten(1), KEYPOINT_OCTAVES)


def pixel_centres(size: int, device: torch.device) -> Tensor:
    """Coordinates ``(size,)`` of pixels in [-1, 1], whose ends are the picture's edges: not the keypoints' grid, which
    reaches them at the outermost pixels' centres."""
    return (torch.arange(size, dtype=torch.float32, device=device) + 0.5 - size / 2) / (size / 2)


def encode_pixels(height: int, width: int, device: torch.device) -> Tensor:
    """Channels ``(64, H, W)`` of all pixels."""
    x, y = pixel_centres(width, device), pixel_centres(height, device)
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    return encode(places, PIXEL_OCTAVES).permute(2, 0, 1)
