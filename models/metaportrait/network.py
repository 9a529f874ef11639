# SPDX-License-Identifier: Apache-2.0
"""MetaPortrait as a backbone."""

from __future__ import annotations

from dataclasses import dataclass
from logging import getLogger

import numpy as np
import torch
from torch import Tensor

from ..contracts import DriveResult, Framing, Guides
from ..errors import MagPlusError
from ..geometry import FaceBox
from ..keypoints.motion import Keypoints, MotionOptions, movement_scale, transfer
from ..lkmag.arch import builtin
from ..lkmag.network import LKState
from ..precision import check_precision
from ..sampling import sample_linear
from ..warp import border_window
from .base import SIZE, BaseModel, Drawing
from .drawing import draw
from .identity import IdentityFit, check_vector
from .landmarks import MESH_SIZES, from_box, from_mesh
from .spade import IDENTITY
from .topology import POINTS

FRAMING = Framing(scale=1.3, shift_y=-0.2 / 1.3, size=SIZE)
"""The crop of the released preprocessing: 1.3 times the face's box, its centre raised by 0.2 of the box."""

FIT, ZEROS = "fit", "zeros"
"""Words that stand for an identity."""

log = getLogger("magplus")


@dataclass(frozen=True, kw_only=True)
class PortraitSource:
    """What depends on the portrait alone."""

    portrait: Tensor
    points: Tensor
    """Landmarks ``(669, 2)`` as fractions of the crop."""
    drawing: Drawing
    taps: list[Tensor]
    identity: Tensor


@dataclass(frozen=True, kw_only=True)
class PortraitDrive:
    """The portrait, and the driver's reference: its landmarks, and itself, ready for measuring motion."""

    source: PortraitSource
    points: Tensor
    reference: LKState
    scale: float


class MetaPortrait:
    """Backbone (`models.contracts.AnimationBackbone`, `models.contracts.FitsSource`) with frozen weights.

    Guides: ``source_landmarks`` ``(P, 2)`` and ``driving_landmarks`` ``(P, 2)`` of the reference or ``(n, P, 2)`` of
    every frame, in px of the crops, P = 669, or 468 or 478 of a face mesh; without them ``source_box`` and
    ``driving_box`` stand for a plain face. ``source_identity``: 256 numbers, ``fit`` or ``zeros``.
    ``motion_strength``. Landmarks of later frames are taken from the guide only where it has 669 of every frame; else
    they are those of the reference, moved by the measured dense displacement, which keeps motion far below a pixel.
    """

    name = "metaportrait"
    framing = FRAMING
    max_sources = 1
    frames_at_once = 1
    guide_names = frozenset(
        {"source_box", "driving_box", "source_landmarks", "driving_landmarks", "source_identity", "motion_strength"}
    )

    def __init__(self, network: BaseModel, motion: MotionOptions, *, subpixel_lines: bool, identity_steps: int) -> None:
        self.network, self._motion = network, motion
        self._subpixel, self._steps = subpixel_lines, identity_steps
        self._estimator = builtin()

    def fit(self, sources: Tensor, guides: Guides) -> IdentityFit | None:
        """The identity, where it is to be fitted."""
        if isinstance(guides.get("source_identity"), Tensor) or guides.get("source_identity", FIT) != FIT:
            return None
        _check_source(sources, self.network)
        drawing = self._drawn(_landmarks(guides, "source").to(sources.device)[None])
        with torch.no_grad():
            warp = self.network.warp(sources, drawing, drawing)
            modulations = self.network.modulations(self.network.encode(sources), warp, drawing, drawing)
        decoder = self.network.SPDAE_G
        return IdentityFit(guide="source_identity", network=decoder, values=(modulations, sources), steps=self._steps)

    @torch.no_grad()
    def encode_source(self, sources: Tensor, guides: Guides) -> PortraitSource:
        """Features, landmarks, drawing and identity of the portrait ``(1, 3, 256, 256)``."""
        _check_source(sources, self.network)
        points = _landmarks(guides, "source").to(sources.device)
        return PortraitSource(
            portrait=sources,
            points=points,
            drawing=self._drawn(points[None]),
            taps=self.network.encode(sources),
            identity=_identity(guides).to(sources.device),
        )

    @torch.no_grad()
    def set_reference(self, source_state: PortraitSource, frame: Tensor, guides: Guides) -> PortraitDrive:
        """Landmarks of the driver's reference ``(3, 256, 256)``, and what its motion is measured against."""
        points = _landmarks(guides, "driving").to(frame.device)
        scale = 1.0
        if self._motion.adapt_movement_scale:
            scale = movement_scale(Keypoints(value=source_state.points[None]), Keypoints(value=points[None]))
        return PortraitDrive(source=source_state, points=points, reference=self._estimator.prepare(frame), scale=scale)

    @torch.no_grad()
    def drive(self, drive_state: PortraitDrive, frames: Tensor, guides: Guides) -> DriveResult:
        """One picture per frame ``(N, 3, 256, 256)``."""
        points = self.driving_points(drive_state, frames, guides)
        drawings = self._drawn(self._goal(drive_state, points, float(guides.get("motion_strength", 1.0))))
        # One by one: the features of a frame are half a gigabyte.
        made = [self._picture(drive_state.source, drawings[i : i + 1]) for i in range(len(frames))]
        return DriveResult(frames=torch.cat(made))

    def driving_points(self, state: PortraitDrive, frames: Tensor, guides: Guides) -> Tensor:
        """Landmarks ``(N, 669, 2)`` of driving frames, as fractions of the crop."""
        given = guides.get("driving_landmarks")
        if isinstance(given, Tensor) and given.ndim == 3 and given.shape[1] == POINTS:
            return _fractions(given).to(frames.device)
        displacement = self._estimator.displacement(state.reference, frames)
        # Beyond its own picture the driver says nothing.
        displacement = displacement * border_window(displacement)
        at = (state.points.float() * SIZE - 0.5).T[None, :, None].expand(len(frames), -1, -1, -1)
        moved = sample_linear(displacement, at)[:, :, 0].transpose(1, 2)
        return state.points + moved.double() / SIZE

    def _goal(self, state: PortraitDrive, points: Tensor, strength: float) -> Tensor:
        """Landmarks that the portrait is to have."""
        own, reference, driving = (
            Keypoints(value=value) for value in (state.source.points[None], state.points[None], points)
        )
        return transfer(own, reference, driving, self._motion, scale=state.scale, strength=strength).value

    def _drawn(self, points: Tensor) -> Drawing:
        return draw(points, subpixel=self._subpixel)

    def _picture(self, source: PortraitSource, driving: Drawing) -> Tensor:
        warp = self.network.warp(source.portrait, source.drawing, driving)
        made = self.network.refine(source.taps, warp, source.drawing, driving, source.identity)
        # The network ends in tanh, yet was trained for [0, 1]: what is below is cut, not shifted.
        return made.clamp(0, 1)


def _check_source(sources: Tensor, network: BaseModel) -> None:
    if len(sources) != 1:
        raise MagPlusError(f"MetaPortrait takes one source picture, not {len(sources)}.")
    if sources.shape[-2:] != (SIZE, SIZE):
        height, width = sources.shape[-2:]
        raise MagPlusError(f"MetaPortrait cannot take {width} x {height} px: give a crop of {SIZE} x {SIZE} px.")
    check_precision(network.dtype, sources.device)


def _landmarks(guides: Guides, side: str) -> Tensor:
    """Landmarks ``(669, 2)`` of one side as fractions of the crop, double precision: a micro-motion is 1e-4 of them."""
    given = guides.get(f"{side}_landmarks")
    if given is not None:
        return _fractions(_as_669(given, side))
    box = guides.get(f"{side}_box")
    if not isinstance(box, FaceBox):
        raise MagPlusError(f"MetaPortrait needs landmarks or a face box of the {side} side. Give a box or a mask.")
    log.warning(
        "MetaPortrait: no landmarks for the %s side; a plain face fitted to its box stands in (approximate).", side
    )
    return _fractions(torch.from_numpy(from_box(box)))


def _as_669(given: Tensor, side: str) -> Tensor:
    points = given.detach().cpu().double().numpy()
    if points.shape == (POINTS, 2):
        return torch.from_numpy(points)
    if points.shape not in [(size, 2) for size in MESH_SIZES]:
        raise MagPlusError(
            f"{side}_landmarks has the shape {points.shape}: give {POINTS}, or 468 or 478 of a face mesh, (x, y) each."
        )
    if not np.isfinite(points).all():
        raise MagPlusError(f"{side}_landmarks: no face was found in the frame that counts. Choose another reference.")
    log.warning("MetaPortrait: the %s side's %d landmarks are mapped to %d (approximate).", side, len(points), POINTS)
    return torch.from_numpy(from_mesh(points))


def _fractions(points: Tensor) -> Tensor:
    """Px of the crop, whole numbers at pixel centres, to parts of its side from its edge."""
    return (points.double() + 0.5) / SIZE


def _identity(guides: Guides) -> Tensor:
    given = guides.get("source_identity")
    if isinstance(given, Tensor):
        return check_vector(given)
    if given != ZEROS:
        raise ValueError("source_identity must have been fitted before the portrait is encoded")
    log.warning("MetaPortrait: the identity is left at zeros (approximate).")
    return torch.zeros(1, IDENTITY)
