"""Scenes for the magnification benchmark: faces of no one, moved by functions, seen by imperfect cameras.

Reference, frame and truth are continuous textures evaluated at exact places (`magplus.pipeline.train.textures`); no
picture is warped to make the truth. Training draws from other seeds, sizes and motions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from magplus.pipeline.train.cameras import through_codec
from magplus.pipeline.train.motion import Motion, grid, strain
from magplus.pipeline.train.textures import random_texture
from torch import Tensor

KINDS = ("skin", "leaves", "layers", "noise", "text")
BENCHMARK = 0xBE9C
"""Part of the seeds of these scenes, and of no others."""

PLACES = ((0.33, 0.68), (0.67, 0.68), (0.3, 0.3), (0.7, 0.3), (0.42, 0.4))
"""Mouth corners, brows, an eyelid, in parts of the picture."""


RISING = (0.2, 0.4, 0.6, 0.8)
"""Frames that a codec sees between reference and frame, in parts of the motion."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """What a line of the table adds to the clean pictures."""

    name: str
    noise: float = 0.0
    eight_bit: bool = False
    h264: bool = False


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Clean pictures ``(3, S, S)`` of one scene at one alpha, and where its points go."""

    name: str
    alpha: float
    reference: Tensor
    frame: Tensor
    truth: Tensor
    motion: Tensor
    """True magnified displacement ``(2, S, S)`` in px, of the points seen in the truth."""
    displacement: Tensor
    """True displacement ``(2, S, S)`` in px of the reference's points to the frame."""
    picture: Callable[[float], Tensor]
    """What is seen at so many times the frame's motion."""

    def shown(self, part: float) -> Tensor:
        """What is seen at so many parts of the truth's motion."""
        return self.picture(part * self.alpha)

    def at_rest(self) -> Scene:
        """The same without any motion."""
        none = torch.zeros_like(self.motion)
        still = self.reference
        return replace(self, frame=still, truth=still, motion=none, displacement=none, picture=lambda _: still)


def scene(seed: int, number: int, alpha: float, size: int) -> Scene:
    """Scene ``number`` of a seed; texture and course are the same for every alpha, the size of the motion is not."""
    rng = np.random.default_rng((BENCHMARK, seed, number))
    kind = KINDS[number % len(KINDS)]
    texture = random_texture(rng, size, "skin" if kind == "layers" else kind)
    front_texture, front, centre = (
        random_texture(rng, size, "leaves"),
        _head(rng, size),
        rng.uniform(0.3, 0.7, 2) * size,
    )
    motion = face(rng, size)
    size_rng = np.random.default_rng((BENCHMARK, seed, number, round(alpha * 32)))
    amount = _amount(size_rng, alpha, size)
    motion, front = (_limited(m, amount, alpha, size) for m in (motion, front))
    places = grid(size)
    disc_radius = 0.22 * size

    def picture(strength: float) -> Tensor:
        colours = texture(motion.times(strength).origin(places))
        if kind == "layers":
            q = front.times(strength).origin(places)
            colours = torch.lerp(colours, front_texture(q), _matte(q, centre, disc_radius))
        return colours.T.reshape(3, size, size).clamp(0, 1)

    seen = motion.times(alpha)
    shown, moved = seen(seen.origin(places)), motion(places)
    if kind == "layers":
        q = front.times(alpha).origin(places)
        shown = torch.where(_matte(q, centre, disc_radius) > 0.5, front.times(alpha)(q), shown)
        moved = torch.where(_matte(places, centre, disc_radius) > 0.5, front(places), moved)
    return Scene(
        name=f"{kind} {number}",
        alpha=alpha,
        reference=picture(0.0),
        frame=picture(1.0),
        truth=picture(alpha),
        motion=shown.T.reshape(2, size, size),
        displacement=moved.T.reshape(2, size, size),
        picture=picture,
    )


def _matte(at: Tensor, centre: np.ndarray, radius: float) -> Tensor:
    return torch.sigmoid((radius - (at - torch.from_numpy(centre).float()).norm(dim=1, keepdim=True)) * 2)


def face(rng: np.random.Generator, size: int) -> Motion:
    """Local pushes at the places of a face, and a little drift and turn of the head."""
    count = len(PLACES)
    sigma = rng.uniform(0.03, 0.1, (count, 2)) * size
    angle, strength = rng.uniform(0, math.tau, count), rng.uniform(0.3, 1, count)
    # In half of the scenes the head is still, so that there are places where nothing moves.
    head = float(rng.uniform() < 0.5)
    turn, scale = rng.normal(size=2) * 0.15 * head / size
    motion = Motion(
        centres=torch.from_numpy((np.array(PLACES) + rng.normal(size=(count, 2)) * 0.03) * size).float(),
        precision=torch.from_numpy(1 / (2 * sigma**2)).float(),
        pushes=torch.from_numpy(np.stack([np.cos(angle), np.sin(angle)], 1) * strength[:, None]).float(),
        linear=torch.tensor([[scale, -turn], [turn, scale]]).float(),
        drift=torch.from_numpy(rng.normal(size=2) * 0.1 * head).float(),
        middle=size / 2,
    )
    return motion.times(1 / float(motion(grid(size)).norm(dim=1).max()))


def _head(rng: np.random.Generator, size: int) -> Motion:
    """A rigid motion of at most 1 px."""
    angle, turn = rng.uniform(0, math.tau), rng.normal() * 0.4 / size
    motion = Motion(
        centres=torch.zeros(1, 2),
        precision=torch.ones(1, 2),
        pushes=torch.zeros(1, 2),
        linear=torch.tensor([[0.0, -turn], [turn, 0.0]]).float(),
        drift=torch.tensor([math.cos(angle), math.sin(angle)]).float(),
        middle=size / 2,
    )
    return motion.times(1 / float(motion(grid(size)).norm(dim=1).max()))


def _amount(rng: np.random.Generator, alpha: float, size: int) -> float:
    """Largest input displacement in px: 0.02 to 1 above alpha 1 with at most 8 in the output, to 20 at 256 px below."""
    if alpha < 1:
        return math.exp(rng.uniform(math.log(2), math.log(20))) * size / 256
    return float(np.clip(math.exp(rng.uniform(math.log(1.0), math.log(8.0))) / alpha, 0.02, 1.0))


def _limited(motion: Motion, amount: float, alpha: float, size: int) -> Motion:
    return motion.times(min(amount, 0.6 / (strain(motion, size) * max(alpha, 1.0))))


def seen(scene: Scene, camera: Camera, *, seed: int, repeats: int = 1, mirrored: bool = False) -> tuple[Tensor, Tensor]:
    """Reference ``(3, S, S)`` and ``repeats`` takes of the frame as a camera gives them, each with its own noise.

    ``mirrored``: the same noise with its sign turned.
    """
    rng = np.random.default_rng((BENCHMARK, seed, 1))
    frames = scene.frame.expand(repeats, -1, -1, -1)
    if camera.h264:
        frames = torch.cat([*(scene.picture(s)[None] for s in RISING), frames])
    pictures = torch.cat([scene.reference[None], frames])
    grain = torch.from_numpy(rng.standard_normal(pictures.shape)).float()
    pictures = taken(pictures, camera, -grain if mirrored else grain)
    return pictures[0], pictures[-repeats:]


def taken(pictures: Tensor, camera: Camera, grain: Tensor) -> Tensor:
    """Clean pictures ``(N, 3, H, W)`` of a clip as a camera gives them; ``grain`` is its noise, of unit variance."""
    pictures = (pictures + camera.noise * grain).clamp(0, 1)
    if camera.eight_bit:
        pictures = (pictures * 255).round() / 255
    return through_codec(pictures) if camera.h264 else pictures
