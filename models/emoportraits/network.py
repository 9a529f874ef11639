# SPDX-License-Identifier: Apache-2.0
"""EMOPortraits as a backbone: the portrait becomes a volume once, each frame gives it an expression and a head pose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from logging import getLogger

import torch
from torch import Tensor

from ..contracts import DriveResult, Framing, Guides
from ..errors import MagPlusError
from ..precision import check_precision
from .green import cut_out
from .head_pose import HeadPose
from .parts import Parts
from .pose import canonical, mixed_pose, pose_between

SIZE = 512

FRAMING = Framing(scale=1.5, shift_y=0.0, size=SIZE)
"""Head with hair and neck. Upstream has two ways to crop, 1.2 x the longer side of a RetinaFace box and the sum of the
sides of a mediapipe box, which ends at the brows; this is between them."""

MOMENTUM = 0.5
"""Of upstream's running mean of the head pose."""

log = getLogger("magplus")


@dataclass(frozen=True, kw_only=True)
class EmoOptions:
    """What a user may choose; see `arch.OPTIONS`."""

    head_pose: str = "source"
    mix_pose: str = "driver_size"
    face_crop: str = "fixed"
    expression: str = "relative"
    expression_strength: float = 1.0
    background: str = "removed"


@dataclass(frozen=True, kw_only=True)
class EmoSource:
    """What depends on the portrait alone."""

    theta: Tensor
    identity: Tensor
    expression: Tensor
    volume: Tensor


@dataclass(kw_only=True)
class EmoDrive:
    """The portrait, the driver's reference, and where the smoothed head pose has got to."""

    source: EmoSource
    expression: Tensor
    crop_theta: Tensor
    smooth: Tensor | None = field(default=None)


class EmoPortraits:
    """Backbone (`models.contracts.EncodesInSteps`) with frozen weights.

    Guides: ``source_mask`` ``(512, 512)``, 1 on head, hair and neck; ``source_theta`` ``(4, 4)``; ``driving_theta``
    ``(4, 4)`` of the reference or ``(n, 4, 4)`` of every frame, in the coordinates of the crops (`pose`);
    ``motion_strength``. Without a pose the regressor is asked, without a regressor the head is taken for canonical.
    """

    name = "emoportraits"
    framing = FRAMING
    max_sources = 1
    guide_names = frozenset({"source_mask", "source_theta", "driving_theta", "motion_strength"})

    def __init__(self, parts: Parts, regressor: HeadPose | None, options: EmoOptions) -> None:
        self.parts, self.regressor, self._options = parts, regressor, options

    @torch.no_grad()
    def encode_source(self, sources: Tensor, guides: Guides) -> EmoSource:
        """Identity, expression, head pose and canonical volume of the portrait ``(1, 3, 512, 512)``."""
        if len(sources) != 1:
            raise MagPlusError(f"EMOPortraits takes one source picture, not {len(sources)}.")
        _check_size(sources)
        check_precision(self.parts.precision, sources.device)
        log.info("EMOPortraits: encoding the portrait, once; on a processor as long as five frames")
        pictures = _masked(sources, guides.get("source_mask"))
        theta = self._theta(pictures, guides.get("source_theta"), "source")
        identity = self.parts.idt_embedder_nw(pictures)
        expression = self.parts.expression_embedder_nw(pictures, theta)
        embedding = self.parts.warp_embedding(identity, expression)
        volume = self.parts.canonical_volume(pictures, theta, embedding)
        return EmoSource(theta=theta, identity=identity, expression=expression, volume=volume)

    @property
    def in_order(self) -> bool:
        """Whether a frame depends on those before it (`models.contracts.InOrder`)."""
        return self._options.head_pose == "smoothed"

    def encode_in_steps(self, sources: Tensor, guides: Guides, tick: Callable[[int, int], None]) -> EmoSource:
        """The same (`models.contracts.EncodesInSteps`), with a tick after every block of the large networks."""
        blocks = self.parts.source_blocks()
        done = count(1)
        handles = [block.register_forward_hook(lambda *_: tick(next(done), len(blocks))) for block in blocks]
        try:
            return self.encode_source(sources, guides)
        finally:
            for handle in handles:
                handle.remove()

    @torch.no_grad()
    def set_reference(self, source_state: EmoSource, frame: Tensor, guides: Guides) -> EmoDrive:
        """Expression of the driver's reference ``(3, 512, 512)``, and where its face is cropped."""
        _check_size(frame)
        found = self._theta(frame[None], guides.get("driving_theta"), "driving")
        theta = self._mixed(source_state, found)
        expression = self.parts.expression_embedder_nw(frame[None], theta)
        return EmoDrive(source=source_state, expression=expression, crop_theta=theta)

    @torch.no_grad()
    def drive(self, drive_state: EmoDrive, frames: Tensor, guides: Guides) -> DriveResult:
        """One picture per frame ``(N, 3, 512, 512)``, in the clip's order where the head pose is smoothed."""
        _check_size(frames)
        thetas = self._thetas(drive_state, frames, guides)
        strength = float(guides.get("motion_strength", 1.0))
        # One frame at a time: at full size its features are some hundred MB.
        made = [self._one(drive_state, f[None], t[None], strength) for f, t in zip(frames, thetas, strict=True)]
        if self._options.background == "green":
            return DriveResult(frames=torch.cat(made), mask=torch.cat([cut_out(picture)[1] for picture in made]))
        pictures, masks = zip(*map(cut_out, made), strict=True)
        return DriveResult(frames=torch.cat(pictures), mask=torch.cat(masks))

    def _one(self, state: EmoDrive, frame: Tensor, theta: Tensor, strength: float) -> Tensor:
        source, options = state.source, self._options
        crop_theta = theta if options.face_crop == "follow" else state.crop_theta
        found = self.parts.expression_embedder_nw(frame, crop_theta)
        if options.expression == "relative":
            found = source.expression + options.expression_strength * (found - state.expression)
        expression = source.expression + strength * (found - source.expression) if strength != 1 else found
        if options.head_pose == "source":
            theta = source.theta
        elif strength != 1:
            theta = pose_between(source.theta, theta, strength)
        embedding = self.parts.warp_embedding(source.identity, expression)
        return self.parts.picture(source.volume, embedding, theta).clamp(0, 1)

    def _thetas(self, state: EmoDrive, frames: Tensor, guides: Guides) -> Tensor:
        """The driver's head poses as they are to be used, ``(N, 4, 4)``."""
        options = self._options
        if options.head_pose == "source" and options.face_crop == "fixed":
            return state.crop_theta.expand(len(frames), -1, -1)
        found = self._theta(frames, guides.get("driving_theta"))
        if options.head_pose == "smoothed":
            found = _smoothed(state, found)
        return self._mixed(state.source, found)

    def _mixed(self, source: EmoSource, theta: Tensor) -> Tensor:
        if self._options.mix_pose == "off":
            return theta
        return mixed_pose(source.theta, theta, size=self._options.mix_pose.removesuffix("_size"))

    def _theta(self, pictures: Tensor, given: Tensor | None, warn_of: str = "") -> Tensor:
        """Head poses ``(N, 4, 4)`` of pictures: given, found, or canonical, with a warning about the side named."""
        if given is not None:
            return given.to(pictures.device, torch.float32).expand(len(pictures), -1, -1)
        if self.regressor is not None:
            return self.regressor(pictures)
        if warn_of:
            log.warning(
                "EMOPortraits has neither head_pose_regressor.pth nor %s_theta: the head is taken to look into the "
                "camera from the middle of its crop, and its face is missed where it does not. Give one of them.",
                warn_of,
            )
        return canonical(pictures).expand(len(pictures), -1, -1)


def _smoothed(state: EmoDrive, thetas: Tensor) -> Tensor:
    """Running mean over the clip, carried on in ``state``."""
    made = []
    for theta in thetas:
        state.smooth = theta if state.smooth is None else MOMENTUM * state.smooth + (1 - MOMENTUM) * theta
        made.append(state.smooth)
    return torch.stack(made)


def _masked(sources: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        log.warning(
            "EMOPortraits has no source_mask: what is behind the portrait becomes part of the head and moves with it. "
            "Give a mask of head, hair and neck, or a portrait in front of nothing."
        )
        return sources
    if mask.shape != sources.shape[-2:]:
        raise MagPlusError(f"source_mask has the shape {tuple(mask.shape)}, not {tuple(sources.shape[-2:])}.")
    return sources * mask.to(sources)


def _check_size(pictures: Tensor) -> None:
    height, width = pictures.shape[-2:]
    if (height, width) != (SIZE, SIZE):
        raise MagPlusError(
            f"EMOPortraits cannot take {width} x {height} px: give squares of {SIZE} px around the head."
        )
