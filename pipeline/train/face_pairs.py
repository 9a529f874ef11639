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

    @property
    def peak_pct_face(self) -> Tensor:
        """Largest motion of each pair ``(N,)``, in percent of 0.7 picture widths, about a face's."""
        still = self.arrival - _units(self.arrival.shape[-1])
        return 100 * still.norm(dim=1).flatten(1).amax(1) / 2 / 0.7


def render_pairs(seed: tuple[int, ...], identities: int, size_px: int, *, framing_scale: float) -> FacePairs:
    """All pairs of `FRAMES` pictures of each of ``identities`` faces; the same seed gives the same ones."""
    parts = [
        _of_one((*seed, k), size_px, framing_scale) for k in range(identities)
    ]
    return FacePairs(**{name: torch.cat([getattr(p, name) for p in parts]) for name in vars(parts[0])})


def _of_one(seed: tuple[int, ...], size: int, framing_scale: float) -> FacePairs:
    rng = np.random.default_rng(seed)
    face = Face((*seed, 1))
    width = size / (framing_scale * BOX_HEIGHT) * rng.uniform(0.93, 1.07)
    middle = (size - 1) / 2 + rng.uniform(-0.03, 0.03, 2) * size
    view = View(size=(size, size), centre=(float(middle[0]), float(middle[1])), width_px=float(width))
    states = [random_state(rng) for _ in range(FRAMES)]
    pictures = torch.stack([face.render(view, state, finer=2) for state in states])
    grid = view.grid()
    points = [face.origin(grid, state) for state in states]
    mattes = [face.paint(q.float())[1].double() for q in points]
    kept = []
    for s in range(FRAMES):
        for d in range(FRAMES):
            if s != d:
                kept.append(_pair(face, view, s, d, states, points, mattes))
    first, second, origin, arrival, known, anchors, peak = (list(part) for part in zip(*kept, strict=True))
    chosen = [k for k, p in enumerate(peak) if p >= LEAST_PCT_FACE]
    pick = lambda values: torch.stack([values[k] for k in chosen])  # noqa: E731
    return FacePairs(
        source=pictures[[first[k] for k in chosen]],
        driving=pictures[[second[k] for k in chosen]],
        origin=pick(origin),
        arrival=pick(arrival),
        known=pick(known),
        anchors=pick(anchors),
    )


def _pair(face: Face, view: View, s: int, d: int, states: list[State], points: list[Tensor], mattes: list[Tensor]):  # type: ignore[no-untyped-def]
    grid = view.grid()
    size = view.size[0]

    def unit(at: Tensor) -> Tensor:
        px = at * view.width_px + at.new_tensor(view.centre)
        return (2 * px / (size - 1) - 1).float()

    def picture(at: Tensor) -> Tensor:
        return unit(at).T.reshape(2, size, size)

    head_s, head_d = mattes[s] > 0.5, mattes[d] > 0.5
    origin = torch.where(head_d, face.moved(points[d], states[s]), grid)
    arrival = torch.where(head_s, face.moved(points[s], states[d]), grid)
    behind = (mattes[s] < 0.1) & (mattes[d] < 0.1)
    known = ((mattes[d] > 0.9) | behind).float().view(1, size, size)
    places = torch.cat([face.place(name) for name in ANCHORS])
    anchors = torch.stack([unit(face.moved(places, states[k])) for k in (s, d)])
    peak = 100 * float((arrival - grid).norm(dim=1).max())
    return s, d, picture(origin), picture(arrival), known, anchors, peak


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


def _units(size: int) -> Tensor:
    line = torch.linspace(-1, 1, size)
    return torch.stack(torch.meshgrid(line, line, indexing="xy"))
