# SPDX-License-Identifier: Apache-2.0
"""Guides that a user can give: what a backbone declares, and what the values are until the clip is framed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .contracts import PerFrame
from .errors import MagPlusError
from .geometry import Similarity

Given = str | NDArray[Any]
"""A word, or an array from a file or another node."""

FARTHEST = 3.0
"""Fractions of a picture's side beyond which numbers are taken for px."""


@dataclass(frozen=True, kw_only=True)
class Guide:
    """A guide as `backbones` lists it. Its name starts with the side it belongs to, ``source`` or ``driving``."""

    name: str
    help: str
    read: Callable[[Given], Any]
    """The value; raises `MagPlusError` that says what is allowed."""

    @classmethod
    def landmarks(cls, name: str, *, sizes: Sequence[int], of: str) -> Guide:
        """Points of a face, as fractions of the picture."""
        counts = " or ".join(str(size) for size in sizes)
        shape = f"(P, 2) or (frames, P, 2) with P = {counts}"

        def read(given: Given) -> Landmarks:
            if (
                isinstance(given, str)
                or given.ndim not in (2, 3)
                or given.shape[-2] not in sizes
                or given.shape[-1] != 2
            ):
                raise MagPlusError(f"{name}: {_shown(given)} are no landmarks of {of}. Give an array {shape}.")
            points = torch.from_numpy(np.asarray(given, np.float64))
            if points[points.isfinite()].abs().max().item() > FARTHEST:
                raise MagPlusError(
                    f"{name}: the values go up to {points[points.isfinite()].abs().max():.4g}. Give fractions of the "
                    "picture's width and height, 0 its left and top edge and 1 the other; divide px by the size."
                )
            return Landmarks(points[0] if points.ndim == 3 and len(points) == 1 else points)

        return cls(name=name, help=f"landmarks of {of}, .npy {shape}, in fractions of the picture", read=read)

    @classmethod
    def vector(cls, name: str, *, size: int, words: tuple[str, ...], of: str) -> Guide:
        """A vector that stands for the whole portrait, or one of some words."""
        choices = " or ".join(words)

        def read(given: Given) -> Any:
            if isinstance(given, str):
                if given in words:
                    return given
            elif given.size == size and np.isfinite(given).all():
                return torch.from_numpy(np.asarray(given, np.float32).reshape(size))
            raise MagPlusError(f"{name} cannot be {_shown(given)}. Give {choices}, or a .npy of {size} numbers.")

        return cls(name=name, help=f"{choices}, or .npy of {size} numbers about {of}", read=read)

    @classmethod
    def poses(cls, name: str, *, of: str, per_frame: bool) -> Guide:
        """Head poses as 4 x 4 matrices, in the coordinates of the crop."""
        shape = "(4, 4) or (frames, 4, 4)" if per_frame else "(4, 4)"

        def read(given: Given) -> Tensor | PerFrame:
            if (
                isinstance(given, str)
                or given.ndim not in (2, 3)
                or given.shape[-2:] != (4, 4)
                or (given.size != 16 and not per_frame)
            ):
                raise MagPlusError(f"{name}: {_shown(given)} is no head pose of {of}. Give an array {shape}.")
            poses = torch.from_numpy(np.asarray(given, np.float32)).reshape(-1, 4, 4)
            if not (poses.isfinite().all() and (poses[:, 3] == torch.tensor([0.0, 0, 0, 1])).all()):
                raise MagPlusError(f"{name}: a head pose is a finite matrix whose last row is 0 0 0 1.")
            if poses[:, :3, :3].det().abs().min() < SMALLEST_DETERMINANT:
                raise MagPlusError(f"{name}: a head pose must be invertible, and one here is not.")
            return poses[0] if len(poses) == 1 else PerFrame(values=poses)

        return cls(name=name, help=f"head pose of {of}, .npy {shape}, in coordinates of the crop", read=read)

    @classmethod
    def mask(cls, name: str, *, of: str) -> Guide:
        """Which part of a picture counts."""

        def read(given: Given) -> Mask:
            if isinstance(given, str) or given.ndim not in (2, 3) or (given.ndim == 3 and len(given) != 1):
                raise MagPlusError(f"{name}: {_shown(given)} is no mask. Give a picture, or an array (H, W) in [0, 1].")
            values = torch.from_numpy(np.asarray(given, np.float32)).reshape(given.shape[-2:])
            if not (values.isfinite().all() and values.min() >= 0 and values.max() <= 1):
                raise MagPlusError(f"{name}: a mask has values from 0 (left out) to 1 (kept).")
            return Mask(values)

        return cls(name=name, help=f"mask of {of}, a picture or .npy (H, W)", read=read)


SMALLEST_DETERMINANT = 1e-3
"""Of the linear part of a head pose. Those of real heads are around 1."""


def _shown(given: Given) -> str:
    return f"'{given}'" if isinstance(given, str) else f"an array of shape {given.shape}"


def read_guides(declared: Sequence[Guide], given: Mapping[str, Given], *, of: str) -> dict[str, Any]:
    """Every given guide as its value; an unknown name is an error."""
    known = {guide.name: guide for guide in declared}
    unknown = sorted(set(given) - set(known))
    if unknown:
        offered = ", ".join(known) or "none"
        raise MagPlusError(f"{of} takes no guide '{unknown[0]}'. It can be given: {offered}.")
    return {name: known[name].read(value) for name, value in given.items()}


@dataclass(frozen=True)
class Mask:
    """Which part of a picture counts, ``(H, W)`` in [0, 1]."""

    values: Tensor


@dataclass(frozen=True)
class Landmarks:
    """Points ``(P, 2)`` of one picture or ``(T, P, 2)`` of every frame, as fractions of its width and height."""

    points: Tensor
    every_frame: bool = True
    """Whether those of later frames are to be used, and not those of the reference alone."""

    def of_reference_alone(self) -> Landmarks:
        """The same, of which only the reference's are to be used."""
        return replace(self, every_frame=False)

    def at(self, reference: int) -> Landmarks:
        """Those of one frame alone."""
        if self.points.ndim == 2:
            return self
        if reference >= len(self.points):
            raise MagPlusError(f"There are landmarks of {len(self.points)} frames, but the reference is {reference}.")
        return Landmarks(self.points[reference])

    def in_crop(self, to_crop: Similarity, size: tuple[int, int], reference: int) -> Tensor | PerFrame:
        """In px of a crop of a picture of ``size`` (height, width); those of every frame wrapped."""
        points = self.points if self.every_frame else self.at(reference).points
        # Edges of the picture are half a pixel outside the centres of its outer pixels.
        picture = points * torch.tensor([size[1], size[0]], dtype=torch.float64) - 0.5
        matrix = torch.from_numpy(np.asarray(to_crop))
        moved = picture @ matrix[:, :2].T + matrix[:, 2]
        return moved if moved.ndim == 2 else PerFrame(values=moved)
