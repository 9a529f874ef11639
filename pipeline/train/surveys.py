# SPDX-License-Identifier: Apache-2.0
"""What lkmag's surveyor learns from: scenes seen by several cameras, and what the magnifier knows of them in cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.checkpoint import write_state
from ...models.filters import gaussian_blur
from ...models.lkmag import arch
from ...models.lkmag.cells import CELL_PX, Cells, Sums
from ...models.lkmag.levels import WINDOWS_PX, ReferenceLevel, reference_level
from ...models.lkmag.network import LKMag
from .cameras import taken
from .motion import MAX_STRAIN, Motion, grid, random_motion, strain
from .scenes import OVERLAP, disc
from .textures import Rng, Texture, by_sensor, random_texture

SURVEYS = (0x7EA1, 77)
"""Part of the seeds of these scenes, and of no others."""
SIZE_PX = 160
PIECE, SERIES, APART = 50, 2, 10_000
"""Scenes of a piece, and series of scene numbers so far apart: pieces are taken from each in turn."""

SMALL = 0.7
"""Share of scenes with motions of 0.02 to 1.2 px, the others have 0.8 to 12; and of those that stand still."""
STILL = 0.06
SENSOR, FINER = 0.6, (2, 3)
"""Share of textures seen through a sensor's pixels, and how many times finer they are."""
BLURRED = 0.15
ALWAYS = ("noise", "noise", "h264")
OTHERS = {"noise": 0.4, "clean": 0.15, "8 bit": 0.2, "jpeg": 0.1, "predicted": 0.15}
"""Three cameras see every scene, a fourth one is drawn with these probabilities."""
RISING = 4
"""Fewer pictures than that lie between reference and frame for H.264."""
CODED_PX = 0.25
"""Motion that is lost in a codec's clip: its floor is at least that."""
BORDER_PX = 8
TEXTURE = 2e-6
"""Smallest eigenvalue of the structure tensor (grey, per px) of a place that counts."""


@dataclass(frozen=True, kw_only=True)
class Surveys:
    """N pairs of pictures in cells, and the truth."""

    cells: Cells
    truth: Tensor
    """Displacement ``(N, 2, h, w)`` in px."""
    counted: Tensor
    """Share of a cell whose place can be told, ``(N, 1, h, w)``."""
    products: Tensor
    """Of the noise-free reference's slopes, ``(N, 3, h, w)``."""
    floor: Tensor
    """Displacement in px that the prior finds between two takes of the picture at rest, root mean square, ``(N,)``, but
    no less than `CODED_PX` where H.264 was between."""
    strength: Tensor
    """Root mean square of the motion in px where it moves, ``(N,)``."""
    noisy: Tensor
    """Whether white noise is all that a camera added, ``(N,)``."""
    coded: Tensor
    """Whether it is a clip of H.264, ``(N,)``."""

    def __len__(self) -> int:
        return len(self.floor)

    def __getitem__(self, index: Tensor) -> Surveys:
        return self.each(lambda values: values[index])

    def each(self, change: Callable[[Tensor], Tensor]) -> Surveys:
        """The same with every tensor changed."""
        others = {f.name: change(getattr(self, f.name)) for f in fields(self) if f.name != "cells"}
        return Surveys(cells=self.cells.each(change), **others)

    def state(self) -> dict[str, Tensor]:
        """All tensors by name, for a file."""
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "cells"}
        return {**named, **_flat(self.cells, "cells")}

    @classmethod
    def of_state(cls, state: dict[str, Tensor]) -> Surveys:
        """Back from `state`."""
        parts: dict[str, Any] = {name: Sums(**_below(state, f"cells.{name}.")) for name in ("fine", "coarse")}
        single: dict[str, Any] = {n: v for n, v in _below(state, "cells.").items() if "." not in n}
        return cls(cells=Cells(**parts, **single), **{n: v for n, v in state.items() if "." not in n})

    @classmethod
    def joined(cls, parts: list[Surveys]) -> Surveys:
        """One after the other."""
        states = [part.state() for part in parts]
        return cls.of_state({name: torch.cat([state[name] for state in states]) for name in states[0]})


def _flat(values: Cells | Sums, name: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for field in fields(values):
        value = getattr(values, field.name)
        found |= _flat(value, f"{name}.{field.name}") if isinstance(value, Sums) else {f"{name}.{field.name}": value}
    return found


def _below(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): values for name, values in state.items() if name.startswith(prefix)}


def turned(surveys: Surveys, quarter_turns: int, mirror: bool) -> Surveys:
    """The same pictures mirrored and turned; vectors and products go with them."""

    def change(values: Tensor) -> Tensor:
        if values.ndim < 4 or values.shape[-1] == 1:
            return values
        if mirror:
            values = values.flip(-1) * _signs(values, {2: (-1.0, 1.0), 3: (1.0, -1.0, 1.0)})
        for _ in range(quarter_turns):
            values = torch.rot90(values, 1, (-2, -1))
            # A quarter turn to the left takes (x, y) to (y, -x), y pointing down; xx and yy change places.
            order, signs = {2: ([1, 0], (1.0, -1.0)), 3: ([2, 1, 0], (1.0, -1.0, 1.0))}.get(
                values.shape[1], ([0], (1.0,))
            )
            values = values[:, order] * values.new_tensor(signs).view(1, -1, 1, 1)
        return values

    return surveys.each(change)


def _signs(values: Tensor, per_count: dict[int, tuple[float, ...]]) -> Tensor:
    return values.new_tensor(per_count.get(values.shape[1], (1.0,))).view(1, -1, 1, 1)


def piece(folder: Path, number: int) -> Surveys:
    """Piece ``number`` as the built-in networks know it, from ``folder`` if it is there, else rendered and kept."""
    path = folder / f"{number:05d}.pt"
    if not path.is_file():
        first = APART * (number % SERIES) + PIECE * (number // SERIES)
        network = arch.builtin()
        surveys = Surveys.joined([surveyed(network, first + k) for k in range(PIECE)])
        folder.mkdir(parents=True, exist_ok=True)
        write_state(surveys.state(), path)
    return Surveys.of_state(torch.load(path, map_location="cpu", weights_only=True))


@torch.no_grad()
def surveyed(network: LKMag, number: int) -> Surveys:
    """Scene ``number`` seen by four cameras."""
    rng = np.random.default_rng((*SURVEYS, number))
    pictures, displacement = _rendered(rng)
    names = [*ALWAYS, str(rng.choice(list(OTHERS), p=list(OTHERS.values())))]
    takes = torch.stack([_seen(rng, pictures, name) for name in names])
    state = network.prepare_pairs(takes[:, 0], takes.new_ones(len(names), 1, 1, 1))
    cells = network.cells(state, takes[:, 1])
    at_rest = arch.prior().displacement(state, takes[:, 2])[..., BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
    floor, coded = at_rest.square().sum(1).mean((1, 2)).sqrt(), torch.tensor([name == "h264" for name in names])
    length = displacement.norm(dim=0)
    moving = length > 0.1 * length.max()
    strength = displacement.square().sum(0)[moving].mean().sqrt() if moving.any() else length.new_zeros(())
    everyone = (len(names), -1, -1, -1)
    return Surveys(
        cells=cells,
        truth=F.avg_pool2d(displacement[None], CELL_PX).expand(*everyone).clone(),
        counted=F.avg_pool2d(_counted(pictures[:1]), CELL_PX).expand(*everyone).clone(),
        products=(F.avg_pool2d(_clean(pictures[:1]).products, CELL_PX) * CELL_PX**2).expand(*everyone).clone(),
        floor=torch.where(coded, floor.clamp(min=CODED_PX), floor),
        strength=strength.expand(len(names)).clone(),
        noisy=torch.tensor([name == "noise" for name in names]),
        coded=coded,
    )


def _clean(pictures: Tensor) -> ReferenceLevel:
    return reference_level(pictures, damping=1e-9, least_noise=torch.zeros(1, 1, 1, 1))


def _counted(picture: Tensor) -> Tensor:
    grey = picture.mean(1, keepdim=True).expand(-1, 3, -1, -1) / math.sqrt(3)
    window = WINDOWS_PX.index(4.8)
    return (_clean(grey).eigenvalues[:, window, 1:] > TEXTURE).float()


def _seen(rng: Rng, clip: Tensor, camera: str) -> Tensor:
    """Reference, frame and the reference once more ``(3, 3, S, S)``, from the clean clip."""
    if camera != "h264":
        return taken(rng, clip[[0, -1, 0]], camera)
    # A clip in which the reference is the first picture, or the last one at rest.
    seen = taken(rng, torch.cat([clip[:1], clip]), camera)
    reference, rest = rng.permutation(2)
    return seen[[int(reference), -1, int(rest)]]


def _rendered(rng: Rng) -> tuple[Tensor, Tensor]:
    """A clip ``(T, 3, S, S)`` from the reference to the frame in even steps, and the displacement ``(2, S, S)``."""
    small = rng.uniform() < SMALL
    least, most = (0.02, 1.2) if small else (0.8, 12.0)
    largest = math.exp(rng.uniform(math.log(least), math.log(most)))
    if rng.uniform() < STILL:
        largest = 0.0
    motion = _sized(_motion(rng), largest)
    places, parts = grid(SIZE_PX), np.linspace(0, 1, int(rng.integers(2, RISING + 2))).tolist()
    clip, moved = _clip(_texture(rng), motion, places, parts), motion(places)
    if rng.uniform() < OVERLAP:
        front = motion
        if largest:
            front = _sized(random_motion(rng, SIZE_PX, local=bool(rng.uniform() < 0.5)), largest)
        matte = disc(rng, SIZE_PX)
        covers = _clip(matte, front, places, parts)
        clip = torch.lerp(clip, _clip(_texture(rng), front, places, parts), covers)
        moved = torch.where(matte(places)[:, :1] > 0.5, front(places), moved)
    square = clip.transpose(1, 2).reshape(len(clip), 3, SIZE_PX, SIZE_PX)
    if rng.uniform() < BLURRED:
        square = gaussian_blur(square, rng.uniform(0.4, 1.2))
    return square.clamp(0, 1), moved.T.reshape(2, SIZE_PX, SIZE_PX)


def _motion(rng: Rng) -> Motion:
    """Up to eight pushes, and a head that moves along or not."""
    motion = random_motion(rng, SIZE_PX)
    if rng.uniform() >= 0.5:
        return motion
    more = random_motion(rng, SIZE_PX)
    motion = Motion(
        centres=torch.cat([motion.centres, more.centres]),
        precision=torch.cat([motion.precision, more.precision]),
        pushes=torch.cat([motion.pushes, more.pushes]),
        linear=motion.linear + more.linear,
        drift=motion.drift + more.drift,
        middle=motion.middle,
    )
    if rng.uniform() < 0.5:
        motion = replace(motion, linear=0 * motion.linear, drift=0 * motion.drift)
    return motion.times(1 / float(motion(grid(SIZE_PX)).norm(dim=1).max()))


def _sized(motion: Motion, largest: float) -> Motion:
    return motion.times(min(largest, MAX_STRAIN / strain(motion, SIZE_PX)))


def _texture(rng: Rng) -> Texture:
    if rng.uniform() >= SENSOR:
        return random_texture(rng, SIZE_PX)
    finer = int(rng.choice(FINER))
    return by_sensor(random_texture(rng, finer * SIZE_PX), finer)


def _clip(texture: Texture, motion: Motion, places: Tensor, parts: Sequence[float]) -> Tensor:
    return torch.stack([texture(motion.times(part).origin(places)) for part in parts])
