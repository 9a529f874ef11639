# SPDX-License-Identifier: Apache-2.0
"""The dominant mode of a long sequence of vectors, in bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

ROWS = 64
"""Vectors read at once."""
EXACT_ROWS = 256
"""Up to here the mode comes from the matrix of inner products of all vectors, beyond it from power iteration."""
IN_MEMORY_BYTES = 1 << 20
TOLERANCE = 1e-10
ITERATIONS = 200


class FieldSpool:
    """Float32 vectors of one length, in memory up to 1 MB and beyond that in an unnamed temporary file."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._count = 0
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 - closed by close()

    def __len__(self) -> int:
        return self._count

    def append(self, rows: NDArray[np.float32]) -> None:
        """Add vectors ``(n, length)``."""
        self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(rows, dtype="<f4").tobytes())
        self._count += len(rows)

    def row(self, index: int) -> Vector:
        """One vector ``(length,)``."""
        self._file.seek(index * self._length * 4)
        return np.frombuffer(self._file.read(self._length * 4), dtype="<f4").astype(np.float64)

    def around(self, run: Sequence[int]) -> tuple[Vector, Vector]:
        """The vectors before and after neighbouring ones; at an end twice the same."""
        ends = [index for index in (run[0] - 1, run[-1] + 1) if 0 <= index < self._count]
        return self.row(ends[0]), self.row(ends[-1])

    def bridge(self, run: Sequence[int]) -> None:
        """Put in the place of neighbouring vectors what lies between those around them."""
        before, after = self.around(run)
        for k, index in enumerate(run, 1):
            part = k / (len(run) + 1)
            self._file.seek(index * self._length * 4)
            self._file.write(np.ascontiguousarray((1 - part) * before + part * after, dtype="<f4").tobytes())

    def chunks(self) -> Iterator[Vector]:
        """All vectors in order, ``(n, length)`` float64 with n <= ROWS."""
        for start in range(0, self._count, ROWS):
            self._file.seek(start * self._length * 4)
            data = self._file.read(min(ROWS, self._count - start) * self._length * 4)
            yield np.frombuffer(data, dtype="<f4").reshape(-1, self._length).astype(np.float64)

    def close(self) -> None:
        """Release the file."""
        self._file.close()


class Vectors(Protocol):
    """A long sequence of vectors that can be read any number of times."""

    def __len__(self) -> int: ...

    def chunks(self) -> Iterator[Vector]:
        """All vectors in order, ``(n, length)``."""
        ...


@dataclass(frozen=True)
class Weighted:
    """Vectors whose entries are each multiplied by a number of their own."""

    vectors: Vectors
    weights: Vector

    def __len__(self) -> int:
        return len(self.vectors)

    def chunks(self) -> Iterator[Vector]:
        """All vectors in order."""
        return (rows * self.weights for rows in self.vectors.chunks())


@dataclass(frozen=True, kw_only=True)
class Mode:
    """Unit vector of the largest variance over time (zero if there is none) and its share of the variance.

    ``noise`` is the variance of each of the vector's entries that comes from white noise in the data.
    """

    vector: Vector
    explained: float
    noise: Vector


def dominant_mode(spool: Vectors, *, exact_rows: int = EXACT_ROWS) -> Mode:
    """First right singular vector of the vectors in ``spool`` less their mean.

    Exact up to ``exact_rows`` vectors. Longer sequences take power iteration, which reads the spool once a step and
    starts from the vector farthest from the mean, so that equal input gives equal output. Its error falls by the
    ratio of the second variance to the first at every step; after 200 steps it stops where it is, which only matters
    where two patterns are equally strong and either is a fair answer.
    """
    mean = sum((rows.sum(axis=0) for rows in spool.chunks()), np.zeros(1)) / len(spool)
    energy, farthest = _energy(spool, mean)
    if energy <= 1e-20 * len(spool) * float((mean**2).sum()):  # nothing changes, up to rounding of the mean
        return Mode(vector=np.zeros_like(farthest), explained=0.0, noise=np.zeros_like(farthest))
    if len(spool) <= exact_rows:
        vector = _exact(np.concatenate(list(spool.chunks())) - mean)
    else:
        vector = _by_power_iteration(spool, mean, farthest)
    along = sum(float((((rows - mean) @ vector) ** 2).sum()) for rows in spool.chunks())
    # vector = (sum of s(t) x data(t)) / along with sum of s^2 = along: white noise arrives divided by sqrt(along)
    return Mode(vector=vector, explained=min(along / energy, 1.0), noise=noise_variance(spool) / along)


def _energy(spool: Vectors, mean: Vector) -> tuple[float, Vector]:
    """Sum of squares about the mean, and the vector with the largest share of it."""
    total, largest, farthest = 0.0, -1.0, mean
    for rows in spool.chunks():
        apart = rows - mean
        squares = (apart**2).sum(axis=1)
        total += float(squares.sum())
        if squares.max() > largest:
            largest, farthest = float(squares.max()), apart[squares.argmax()]
    return total, farthest


def noise_variance(spool: Vectors) -> Vector:
    """Variance of each entry's white noise over time, from second differences, which have 6 times that."""
    total, count = np.zeros(1), 0
    tail = np.zeros((0, 1))
    for rows in spool.chunks():
        joined = np.concatenate([tail, rows]) if len(tail) else rows
        second = np.diff(joined, n=2, axis=0)
        total, count = total + (second**2).sum(axis=0), count + len(second)
        tail = joined[-2:]
    return total / (6 * max(count, 1))


def _exact(matrix: Vector) -> Vector:
    """First right singular vector of ``(T, D)`` by the (T, T) matrix of inner products, as T is far below D."""
    _, left = np.linalg.eigh(matrix @ matrix.T)
    return _unit(left[:, -1] @ matrix)


def _by_power_iteration(spool: Vectors, mean: Vector, start: Vector) -> Vector:
    vector = _unit(start)
    for _ in range(ITERATIONS):
        product = np.zeros_like(vector)
        for rows in spool.chunks():
            apart = rows - mean
            product += (apart @ vector) @ apart
        following = _unit(product)
        if 1 - abs(float(following @ vector)) < TOLERANCE:
            return following
        vector = following
    return vector


def _unit(vector: Vector) -> Vector:
    return vector / np.linalg.norm(vector)
