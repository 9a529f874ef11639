# SPDX-License-Identifier: Apache-2.0
"""669 landmarks for an ordinary face: from a 468-point mesh, or from nothing but the face's box.

The detector that the weights were trained with is not public, and neither is a list of what its points are; only their
connections are. What each chain of lines is was read from those, from the symmetry of the graph, and from the few
points that the released configuration picks for eyes, irises and mouth. The result is an approximation and says so
wherever it is used. It goes in three steps:

1. chains of landmarks that lie on a line of the face (lips, lids, brows, nose, jaw, folds of the cheek) are spread over
   that line at equal distances;
2. what no mesh reaches (skull, ears, neck) comes from a fixed layout, moved by the face's similarity transform;
3. landmarks in between are filled in harmonically: each is the mean of its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MagPlusError
from ..geometry import FaceBox
from .chains import CHAINS, IRIS, Chain, Key
from .controls import FIXED, HALF, IRIS_LEFT, IRIS_RIGHT, MIDLINE
from .topology import EDGES, MIRROR, POINTS

Points = NDArray[np.float64]

MESH_SIZES = (468, 478)
"""Points of a face mesh without and with irises."""

ASPECT = 0.78
"""Width of a plain face by its height."""

IRIS_SIZE = 0.24
"""Radius of an iris in widths of its eye, where nobody says."""


def from_mesh(mesh: Points) -> Points:
    """Landmarks ``(669, 2)`` from a face mesh ``(468, 2)`` or ``(478, 2)``, in its units (x and y alike, e.g. px)."""
    if mesh.shape not in [(size, 2) for size in MESH_SIZES]:
        raise MagPlusError(f"A face mesh has 468 or 478 points (x, y), not shape {mesh.shape}.")
    right: dict[Key, Points] = {key: mesh[key] for key in (*HALF, *MIDLINE)}
    left: dict[Key, Points] = {key: mesh[partner] for key, (partner, *_) in HALF.items()}
    left |= {key: mesh[key] for key in MIDLINE}
    fixed = _fixed_by_similarity(right, left)
    sides = [_Side(right | fixed[0]), _Side(left | fixed[1])]
    if len(mesh) == MESH_SIZES[1]:
        for side, rim in zip(sides, (IRIS_RIGHT, IRIS_LEFT), strict=True):
            side.iris = mesh[rim[0]], float(np.linalg.norm(mesh[rim[1:]] - mesh[rim[0]], axis=1).mean())
    return _assemble(*sides)


def from_box(box: FaceBox) -> Points:
    """Landmarks ``(669, 2)`` in px of a plain, calm face that fills a box."""
    turn = np.radians(box.angle_deg)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    upright = from_layout() * [box.width, box.height]
    return (upright - [0, box.height / 2]) @ rotation.T + [box.cx, box.cy]


@cache
def from_layout() -> Points:
    """Landmarks of the plain face, x in its widths from the midline, y in its heights from the hairline."""
    sides = [_Side({key: np.array([sign * x, y]) for key, (x, y) in _layout().items()}) for sign in (1, -1)]
    return _assemble(*sides)


def _layout() -> dict[Key, tuple[float, float]]:
    """Right half of the plain face."""
    mesh: dict[Key, tuple[float, float]] = {key: (x, y) for key, (_, x, y) in HALF.items()}
    return mesh | {key: (0.0, y) for key, y in MIDLINE.items()} | FIXED


@dataclass
class _Side:
    """One half of a face: where its named places are, and its iris."""

    places: Mapping[Key, Points]
    iris: tuple[Points, float] | None = None

    def curve(self, chain: Chain) -> Points:
        """The line that a chain lies on."""
        through = [self.place(key) for key in chain.through]
        line = np.stack([*through, through[0]] if chain.closed else through)
        middle = (line[0] + line[-1]) / 2
        return middle + chain.scale * (line - middle)

    def place(self, key: Key) -> Points:
        """A named place, or the middle of two."""
        if isinstance(key, tuple):
            return (self.places[key[0]] + self.places[key[1]]) / 2
        return self.places[key]

    def iris_circle(self) -> tuple[Points, float]:
        """Centre and radius."""
        if self.iris is not None:
            return self.iris
        inner, outer, top, bottom = (self.places[key] for key in (362, 263, 386, 374))
        width = float(np.linalg.norm(outer - inner))
        return (inner + outer + top + bottom) / 4, IRIS_SIZE * width


def _assemble(right: _Side, left: _Side) -> Points:
    """All landmarks from both halves."""
    found = np.full((POINTS, 2), np.nan)
    for side, index in ((right, np.arange(POINTS)), (left, MIRROR)):
        for chain in CHAINS:
            found[index[list(chain.points)]] = _spread(side.curve(chain), len(chain.points), closed=chain.closed)
        centre, radius = side.iris_circle()
        # On each side the ring starts at the bottom and goes outwards, whichever way that is.
        outwards = np.sign((right.places[263] - left.places[263]) @ (side.places[263] - side.places[362])) or 1.0
        across, down = _axes(right, left)
        for number, point in enumerate(IRIS):
            turn = 2 * np.pi * number / len(IRIS)
            found[index[point]] = centre + radius * (np.cos(turn) * down + outwards * np.sin(turn) * across)
    return _filled(found)


def _axes(right: _Side, left: _Side) -> tuple[Points, Points]:
    """Unit vectors across the face, to the right of the picture, and down."""
    across = right.places[263] - left.places[263]
    across = across / max(float(np.linalg.norm(across)), 1e-9)
    return across, np.array([-across[1], across[0]])


def _spread(line: Points, count: int, *, closed: bool) -> Points:
    """``count`` points at equal distances along a line; on a closed one the last is one step before the first."""
    along = np.concatenate([[0.0], np.linalg.norm(np.diff(line, axis=0), axis=1).cumsum()])
    at = np.linspace(0, along[-1], count, endpoint=not closed)
    return np.stack([np.interp(at, along, line[:, axis]) for axis in (0, 1)], axis=1)


def _filled(found: Points) -> Points:
    """The rest, harmonically. Points that no line touches are never seen, and are put on the tip of the nose."""
    known = ~np.isnan(found[:, 0])
    weights, free, loose = _harmonic(known.tobytes())
    found[free] = weights @ found[known]
    found[loose] = found[654]
    return found


@cache
def _harmonic(known_bytes: bytes) -> tuple[Points, NDArray[Any], NDArray[Any]]:
    """Weights of the known points for each free one; the free ones; those without any neighbour."""
    known = np.frombuffer(known_bytes, bool)
    adjacency = np.zeros((POINTS, POINTS))
    adjacency[EDGES[:, 0], EDGES[:, 1]] = adjacency[EDGES[:, 1], EDGES[:, 0]] = 1
    degree = adjacency.sum(1)
    free, loose = np.flatnonzero(~known & (degree > 0)), np.flatnonzero(~known & (degree == 0))
    laplacian = np.diag(degree) - adjacency
    weights = np.linalg.solve(laplacian[np.ix_(free, free)], adjacency[np.ix_(free, np.flatnonzero(known))])
    return weights.astype(np.float64), free, loose


def _fixed_by_similarity(
    right: Mapping[Key, Points], left: Mapping[Key, Points]
) -> tuple[dict[Key, Points], dict[Key, Points]]:
    """The fixed layout of both halves, moved as the plain face must be to lie on this one."""
    layout = _layout()
    plain = np.array([[sign * layout[key][0] * ASPECT, layout[key][1]] for sign in (1, -1) for key in right])
    moved = np.stack([half[key] for half in (right, left) for key in right])
    move = _similarity(plain, moved)
    sides = [{key: move(np.array([sign * x * ASPECT, y])) for key, (x, y) in FIXED.items()} for sign in (1, -1)]
    return sides[0], sides[1]  # type: ignore[return-value]


def _similarity(start: Points, end: Points) -> Callable[[Points], Points]:
    """Turn, scale and shift that bring points nearest to others, in the least-squares sense."""
    a, b = start - start.mean(0), end - end.mean(0)
    cos = (a * b).sum() / (a * a).sum()
    sin = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / (a * a).sum()
    linear = np.array([[cos, -sin], [sin, cos]])
    return lambda point: linear @ (point - start.mean(0)) + end.mean(0)
