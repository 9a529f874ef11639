# SPDX-License-Identifier: Apache-2.0
"""Pairs of pictures of one drawn face, for the training of a generator: macro motion alone, with its exact truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..proof.faces import ACTIONS, ANCHORS, BOX_HEIGHT, Face, Pose, State, View

Rng = np.random.Generator

LEAST_PCT_FACE = 2.0
"""Peak motion of a pair, in percent of the face width: the generator never sees less, as no released one did."""
MOST_PCT_FACE = 9.0
FRAMES = 4
"""Of each identity; all ordered pairs of them are used."""


@dataclass(frozen=True, kw_only=True)
class FacePairs:
    """N pairs; places in units of [-1, 1] that reach the centres of the outermost pixels."""

    source: Tensor
    """``(N, 3, H, W)``."""
    driving: Tensor
    origin: Tensor
    """``(N, 2, H, W)``: where each pixel of ``driving`` is found in ``source``; outside the head its own place."""
    arrival: Tensor
    """``(N, 2, H, W)``: where each pixel of ``source`` is found in ``driving``."""
    known: Tensor
    """``(N, 1, H, W)``: 1 where the head or, in both pictures, the background is seen in ``driving``."""
    anchors: Tensor
    """``(N, 2, K, 2)``: places of `ANCHORS` in source and driving picture."""

    def __getitem__(self, index: Tensor) -> FacePairs:
        return FacePairs(**{name: values[index] for name, values in vars(self).items()})


def render_pairs(seed: tuple[int, ...], identities: int, size_px: int, *, framing_scale: float) -> FacePairs:
    """All pairs of `FRAMES` pictures of each of ``identities`` faces; the same seed gives the same ones."""
    parts = [_of_one((*seed, k), size_px, framing_scale) for k in range(identities)]
    return FacePairs(**{name: torch.cat([getattr(p, name) for p in parts]) for name in vars(parts[0])})


def _of_one(seed: tuple[int, ...], size: int, framing_scale: float) -> FacePairs:
    rng = np.random.default_rng(seed)
    face = Face((*seed, 1))
    width = size / (framing_scale * BOX_HEIGHT) * rng.uniform(0.93, 1.07)
    middle = (size - 1) / 2 + rng.uniform(-0.03, 0.03, 2) * size
    view = View(size=(size, size), centre=(float(middle[0]), float(middle[1])), width_px=float(width))
    takes = [_Take.of(face, view, random_state(rng)) for _ in range(FRAMES)]
    pairs = [_pair(face, view, a, b) for a in takes for b in takes if a is not b]
    kept = [p for p, peak in pairs if peak >= LEAST_PCT_FACE] or [p for p, _ in pairs[:1]]
    return FacePairs(**{name: torch.stack([getattr(p, name) for p in kept]) for name in vars(kept[0])})


@dataclass(frozen=True, kw_only=True)
class _Take:
    """One picture of a face."""

    state: State
    picture: Tensor
    points: Tensor
    """Of the face, at each pixel ``(P, 2)``."""
    matte: Tensor
    """``(P, 1)``."""

    @classmethod
    def of(cls, face: Face, view: View, state: State) -> _Take:
        points = face.origin(view.grid(), state)
        matte = face.paint(points.float())[1].double()
        return cls(state=state, picture=face.render(view, state, finer=2), points=points, matte=matte)


def _pair(face: Face, view: View, first: _Take, second: _Take) -> tuple[FacePairs, float]:
    """One pair, without the dimension of the batch, and its peak motion in percent of the face width."""
    grid, size = view.grid(), view.size[0]

    def unit(at: Tensor) -> Tensor:
        px = at * view.width_px + at.new_tensor(view.centre)
        return (2 * px / (size - 1) - 1).float()

    origin = torch.where(second.matte > 0.5, face.moved(second.points, first.state), grid)
    arrival = torch.where(first.matte > 0.5, face.moved(first.points, second.state), grid)
    behind = (first.matte < 0.1) & (second.matte < 0.1)
    places = torch.cat([face.place(name) for name in ANCHORS])
    pair = FacePairs(
        source=first.picture,
        driving=second.picture,
        origin=unit(origin).T.reshape(2, size, size),
        arrival=unit(arrival).T.reshape(2, size, size),
        known=((second.matte > 0.9) | behind).float().view(1, size, size),
        anchors=torch.stack([unit(face.moved(places, take.state)) for take in (first, second)]),
    )
    return pair, 100 * float((arrival - grid).norm(dim=1).max())


def random_state(rng: Rng) -> State:
    """A macro expression, and at times another pose."""
    names = list(ACTIONS)
    count = int(rng.integers(0, 5))
    actions = {
        name: float(rng.uniform(LEAST_PCT_FACE, MOST_PCT_FACE) * rng.choice([-0.7, 1.0]))
        for name in rng.choice(names, count, replace=False)
    }
    if "eyes" in actions:
        actions["eyes"] = min(max(actions["eyes"], -4.0), 4.0)
    spread = 1.0 if rng.uniform() < 0.5 else 0.15
    turn = rng.normal(size=6) * spread
    pose = Pose(
        shift=(float(0.03 * turn[0]), float(0.03 * turn[1])),
        roll_deg=float(4 * turn[2]),
        yaw_deg=float(np.clip(6 * turn[3], -15, 15)),
        pitch_deg=float(np.clip(3 * turn[4], -8, 8)),
        scale=float(np.exp(0.03 * turn[5])),
    )
    return State(actions=actions, pose=pose)
