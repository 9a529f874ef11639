# SPDX-License-Identifier: Apache-2.0
"""FSRT as a backbone: the scene and its keys and values once, then every pixel of every frame on its own."""

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
from .decoder import Memory, PixelDecoder, Places
from .encoder import ExpressionEncoder, SceneEncoder

FRAMING = Framing(scale=1.2, shift_y=0.0, size=256)
"""VoxCeleb's crops, as for FOMM."""

MAX_SOURCES = 8
"""Trained with one or two; the network takes any number, at a cost that grows with it."""


@dataclass(frozen=True, kw_only=True)
class FsrtOptions:
    """``relative_expression``: the portrait's expression plus the driver's change, instead of the driver's own."""

    motion: MotionOptions
    relative_expression: bool = False
    max_memory_mb: int = 1024


@dataclass(frozen=True, kw_only=True)
class FsrtSource:
    """What depends on the portrait alone. Motion is relative to the first of its pictures."""

    memory: Memory
    places: Places
    keypoints: Keypoints
    expression: Tensor
    size: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class FsrtDrive:
    """The portrait and the driver's reference."""

    source: FsrtSource
    reference: Keypoints
    expression: Tensor
    scale: float


class Fsrt:
    """Backbone (`models.contracts.ChoosesReference`) with frozen weights. Guide: ``motion_strength``.

    It scales keypoints and expression alike, from the portrait's own to those asked for. In relative mode the reference
    frame has the portrait's keypoints, but unless ``relative_expression`` is on, the driver's expression.
    """

    name = "fsrt"
    framing = FRAMING
    max_sources = MAX_SOURCES
    guide_names = frozenset({"motion_strength"})
    frames_at_once = 1

    def __init__(
        self,
        detector: KeypointDetector,
        expressions: ExpressionEncoder,
        encoder: SceneEncoder,
        decoder: PixelDecoder,
        options: FsrtOptions,
    ) -> None:
        self.detector, self.expressions, self.encoder, self.decoder = detector, expressions, encoder, decoder
        self._options = options

    @torch.no_grad()
    def encode_source(self, sources: Tensor, guides: Guides) -> FsrtSource:
        """The scene of pictures ``(S, 3, H, W)`` of one person."""
        if not 1 <= len(sources) <= MAX_SOURCES:
            raise MagPlusError(f"FSRT takes 1 to {MAX_SOURCES} source pictures, not {len(sources)}.")
        check_precision(self.decoder.dtype, sources.device)
        check_sides(sources, of="FSRT")
        height, width = sources.shape[-2:]
        keypoints, expressions = self._face(sources)
        scene = self.encoder(sources, keypoints.value, expressions)
        return FsrtSource(
            memory=self.decoder.remember(scene),
            places=self.decoder.places(height, width, sources.device),
            keypoints=keypoints[:1],
            expression=expressions[:1],
            size=(height, width),
        )

    @torch.no_grad()
    def set_reference(self, source_state: FsrtSource, frame: Tensor, guides: Guides) -> FsrtDrive:
        """Keypoints and expression of the driver's reference ``(3, H, W)``."""
        reference, expression = self._face(frame[None])
        adapt = self._options.motion.adapt_movement_scale
        scale = movement_scale(source_state.keypoints, reference) if adapt else 1.0
        return FsrtDrive(source=source_state, reference=reference, expression=expression, scale=scale)

    @torch.no_grad()
    def drive(self, drive_state: FsrtDrive, frames: Tensor, guides: Guides) -> DriveResult:
        """One picture per frame ``(N, 3, H, W)``."""
        strength = float(guides.get("motion_strength", 1.0))
        return DriveResult(frames=torch.cat([self._frame(drive_state, one, strength) for one in frames.split(1)]))

    def goal(self, state: FsrtDrive, frame: Tensor, strength: float = 1.0) -> tuple[Keypoints, Tensor]:
        """Keypoints ``(1, K, 2)`` and expression ``(1, 256)`` that the picture for a frame ``(1, 3, H, W)`` gets."""
        source, options = state.source, self._options
        driving, expression = self._face(frame)
        goal = transfer(
            source.keypoints, state.reference, driving, options.motion, scale=state.scale, strength=strength
        )
        if options.relative_expression:
            expression = source.expression + (expression - state.expression)
        if strength != 1:
            expression = source.expression + strength * (expression - source.expression)
        return goal, expression

    def _frame(self, state: FsrtDrive, frame: Tensor, strength: float) -> Tensor:
        goal, expression = self.goal(state, frame, strength)
        source = state.source
        colours = self.decoder(
            source.memory, source.places, goal.value, expression, max_memory_mb=self._options.max_memory_mb
        )
        return colours.T.unflatten(1, source.size)[None].clamp(0, 1)

    def _face(self, pictures: Tensor) -> tuple[Keypoints, Tensor]:
        found = self.detector(pictures)
        return found.keypoints, self.expressions(found)

    @torch.no_grad()
    def choose_reference(self, source_state: FsrtSource, frames: Iterable[Tensor]) -> int:
        """The frame whose keypoints lie nearest to the portrait's, of chunks ``(N, 3, H, W)``."""
        return nearest(source_state.keypoints, (self.detector(chunk).keypoints for chunk in frames))
