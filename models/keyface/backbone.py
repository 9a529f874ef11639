# SPDX-License-Identifier: Apache-2.0
"""KeyFace as a backbone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..contracts import DriveResult, Framing, Guides
from ..errors import MagPlusError
from ..keypoints.motion import Keypoints, MotionOptions, movement_scale, nearest, transfer
from .network import SIZE, KeyFaceNetwork

FRAMING = Framing(scale=1.15, shift_y=0.0, size=SIZE)
"""A square 1.15 times the height of the box of the face: what it was trained on."""

STEP = 16
"""Sides must be multiples of it."""


@dataclass(frozen=True, kw_only=True)
class KeyFaceSource:
    """What depends on the portrait alone."""

    portrait: Tensor
    features: Tensor
    keypoints: Keypoints


@dataclass(frozen=True, kw_only=True)
class KeyFaceDrive:
    """The portrait and the driver's reference."""

    source: KeyFaceSource
    reference: Keypoints
    scale: float


class KeyFace:
    """Backbone (`models.contracts.ChoosesReference`) with frozen weights. Guide: ``motion_strength``.

    It knows drawn faces, not photographs: what it makes of those is evidence of nothing.
    """

    name = "keyface"
    framing = FRAMING
    max_sources = 1
    guide_names = frozenset({"motion_strength"})

    def __init__(self, network: KeyFaceNetwork, options: MotionOptions) -> None:
        self.network, self._options = network, options

    @torch.no_grad()
    def encode_source(self, sources: Tensor, guides: Guides) -> KeyFaceSource:
        """Features and keypoints of the portrait ``(1, 3, H, W)``."""
        if len(sources) != 1:
            raise MagPlusError(f"KeyFace takes one source picture, not {len(sources)}.")
        height, width = sources.shape[-2:]
        if height % STEP or width % STEP:
            raise MagPlusError(f"KeyFace cannot take {width} x {height} px: give sides that are multiples of {STEP}.")
        return KeyFaceSource(
            portrait=sources, features=self.network.encode(sources), keypoints=self._keypoints(sources)
        )

    @torch.no_grad()
    def set_reference(self, source_state: KeyFaceSource, frame: Tensor, guides: Guides) -> KeyFaceDrive:
        """Keypoints of the driver's reference ``(3, H, W)``."""
        reference = self._keypoints(frame[None])
        scale = movement_scale(source_state.keypoints, reference) if self._options.adapt_movement_scale else 1.0
        return KeyFaceDrive(source=source_state, reference=reference, scale=scale)

    @torch.no_grad()
    def drive(self, drive_state: KeyFaceDrive, frames: Tensor, guides: Guides) -> DriveResult:
        """One picture per frame ``(N, 3, H, W)``."""
        source, strength = drive_state.source, float(guides.get("motion_strength", 1.0))
        goal = transfer(
            source.keypoints,
            drive_state.reference,
            self._keypoints(frames),
            self._options,
            scale=drive_state.scale,
            strength=strength,
        )
        motion = self.network.motion(source.portrait, source.keypoints.value, goal.value)
        pictures = self.network.render(source.portrait, source.features, motion)
        return DriveResult(frames=pictures.clamp(0, 1))

    @torch.no_grad()
    def choose_reference(self, source_state: KeyFaceSource, frames: Iterable[Tensor]) -> int:
        """The frame whose keypoints lie nearest to the portrait's, of chunks ``(N, 3, H, W)``."""
        return nearest(source_state.keypoints, (self._keypoints(chunk) for chunk in frames))

    def _keypoints(self, pictures: Tensor) -> Keypoints:
        return Keypoints(value=self.network.detector(pictures))
