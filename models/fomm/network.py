# SPDX-License-Identifier: Apache-2.0
"""FOMM as a backbone: what depends on the portrait is computed once, frames go through in batches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..contracts import DriveResult, Framing, Guides
from ..errors import MagPlusError
from ..keypoints.detector import KeypointDetector, check_sides
from ..keypoints.motion import Keypoints, MotionOptions, movement_scale, nearest, transfer
from ..precision import check_precision
from .generator import Generator

FRAMING = Framing(scale=1.2, shift_y=0.0, size=256)
"""VoxCeleb's crops: a square 1.2 times the box of the face, position fixed for the whole clip."""

BATCH = 4
"""Frames on the device at once."""


@dataclass(frozen=True, kw_only=True)
class FommSource:
    """What depends on the portrait alone."""

    features: Tensor
    small: Tensor
    keypoints: Keypoints


@dataclass(frozen=True, kw_only=True)
class FommDrive:
    """The portrait and the driver's reference."""

    source: FommSource
    reference: Keypoints
    scale: float


class Fomm:
    """Backbone (`models.contracts.ChoosesReference`) with frozen weights. Guide: ``motion_strength``.

    In relative mode the picture for the reference frame is the portrait put through the network without any motion.
    """

    name = "fomm"
    framing = FRAMING
    max_sources = 1
    guide_names = frozenset({"motion_strength"})

    def __init__(self, detector: KeypointDetector, generator: Generator, options: MotionOptions) -> None:
        self.detector, self.generator, self._options = detector, generator, options

    @torch.no_grad()
    def encode_source(self, sources: Tensor, guides: Guides) -> FommSource:
        """Features and keypoints of the portrait ``(1, 3, H, W)``."""
        if len(sources) != 1:
            raise MagPlusError(f"FOMM takes one source picture, not {len(sources)}.")
        check_precision(self.generator.dtype, sources.device)
        check_sides(sources, of="FOMM")
        return FommSource(
            features=self.generator.encode(sources),
            small=self.generator.dense_motion_network.down(sources),
            keypoints=self.detector(sources).keypoints,
        )

    @torch.no_grad()
    def set_reference(self, source_state: FommSource, frame: Tensor, guides: Guides) -> FommDrive:
        """Keypoints of the driver's reference ``(3, H, W)``."""
        reference = self.detector(frame[None]).keypoints
        scale = movement_scale(source_state.keypoints, reference) if self._options.adapt_movement_scale else 1.0
        return FommDrive(source=source_state, reference=reference, scale=scale)

    @torch.no_grad()
    def drive(self, drive_state: FommDrive, frames: Tensor, guides: Guides) -> DriveResult:
        """One picture per frame ``(N, 3, H, W)``."""
        strength = float(guides.get("motion_strength", 1.0))
        return DriveResult(frames=torch.cat([self._batch(drive_state, part, strength) for part in frames.split(BATCH)]))

    def _batch(self, state: FommDrive, frames: Tensor, strength: float) -> Tensor:
        source = state.source
        driving = self.detector(frames).keypoints
        goal = transfer(source.keypoints, state.reference, driving, self._options, scale=state.scale, strength=strength)
        motion = self.generator.motion(source.small, source.keypoints, goal)
        return self.generator.render(source.features, motion)

    @torch.no_grad()
    def choose_reference(self, source_state: FommSource, frames: Iterable[Tensor]) -> int:
        """The frame whose keypoints lie nearest to the portrait's, of chunks ``(N, 3, H, W)``."""
        return nearest(source_state.keypoints, (self.detector(chunk).keypoints for chunk in frames))
