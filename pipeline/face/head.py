# SPDX-License-Identifier: Apache-2.0
"""Taking the head's motion out of a clip, and putting the same motion back.

Magnification makes head sway as much larger as an expression. Where the head is held still first, only what the face
does by itself is left to magnify; afterwards the head moves again as it did.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.errors import MagPlusError
from ...models.geometry import FaceBox, Similarity, between, compose, inverse, similarity, similarity_scale
from ..clip import CHUNK, Clip, ClipInfo
from ..log import log
from ..progress import Progress, silent, ticking
from .align import HeadAligner, HeadPose
from .anatomy import FaceMap
from .crop import resampled
from .depth import leak_per_degree
from .paste import patch_for, put
from .smooth import low_pass

Remove = Literal["all", "slow", "fast"]
REMOVE: tuple[Remove, ...] = ("all", "slow", "fast")

EDGE = 0.02
"""Soft edge of a restored picture, as a part of its smaller side: what a frame did not show cannot have changed."""
NOTABLE_PCT_FACE = 0.1
"""Leak of a turn of the head, in percent of the face width, from which on it is worth a warning: half a typical
micro-expression's motion."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadMotion:
    """What was taken out of a clip, frame by frame.

    ``removed`` holds similarities that map the stabilised picture's px to the frame's; that of the reference frame is
    the identity. ``poses`` are the head as it was measured, ``box`` is the face in the reference frame.
    """

    removed: tuple[Similarity, ...]
    poses: tuple[HeadPose, ...]
    box: FaceBox
    face: FaceMap
    picture: tuple[int, int]
    reference: int

    def report(self) -> dict[str, Any]:
        """Numbers about what was removed, and about what could not be."""
        moved = np.array([_parameters(one, self.box) for one in self.removed])
        yaw, pitch = (np.array([getattr(one, name) for one in self.poses]) for name in ("yaw_deg", "pitch_deg"))
        leak_px = np.hypot(*(leak_per_degree(self.face) @ np.stack([yaw, pitch])))
        return {
            "frames": len(self.removed),
            "reference_index": self.reference,
            "removed_peak_px": float(np.hypot(moved[:, 2], moved[:, 3]).max()),
            "removed_peak_deg": float(np.degrees(np.abs(moved[:, 1])).max()),
            "removed_peak_scale_pct": float(100 * np.expm1(np.abs(moved[:, 0])).max()),
            "yaw_peak_deg": float(np.abs(yaw).max()),
            "pitch_peak_deg": float(np.abs(pitch).max()),
            "leak_peak_px": float(leak_px.max()),
            "leak_peak_pct_face": float(100 * leak_px.max() / self.box.width),
            "leak_peak_pct_inter_ocular": float(100 * leak_px.max() / self.face.inter_ocular_px),
            "inter_ocular_px": self.face.inter_ocular_px,
            "inter_ocular_from": "landmarks" if self.face.measured else "canonical place in the face box",
            "residual_of_1": float(np.median([one.residual for one in self.poses])),
        }


def measure_head(
    clip: Clip,
    box: FaceBox,
    *,
    remove: Remove = "all",
    split_hz: float = 1.0,
    reference: int = 0,
    rigid: Tensor | None = None,
    progress: Progress = silent,
) -> HeadMotion:
    """The head's motion against the reference frame, whose face is ``box``.

    ``slow`` takes out what is slower than ``split_hz`` (sway), ``fast`` what is faster (shaking), ``all`` everything.
    ``rigid`` ``(H, W)`` in [0, 1] says what moves with the skull.
    """
    info, face = clip.info, FaceMap.from_box(box)
    still = clip.frame(reference)
    if rigid is not None and tuple(rigid.shape) != (info.height, info.width):
        raise MagPlusError(
            f"rigid_mask has {rigid.shape[1]} x {rigid.shape[0]} px, the clip {info.width} x {info.height} px. "
            "Give one of the clip's size."
        )
    aligner = HeadAligner(still, box, face=face, rigid=rigid)
    poses: list[HeadPose] = []
    for chunk in ticking(clip, "head", progress):
        for frame in chunk:
            same = len(poses) == reference
            near = poses[-1].transform if poses else None
            poses.append(HeadPose(transform=np.eye(2, 3)) if same else aligner.pose(frame, near))
    path = [pose.transform for pose in poses]
    removed = path
    if remove != "all":
        removed = _split(path, box, fast=remove == "fast", split_hz=split_hz, rate=info.rate, reference=reference)
    motion = HeadMotion(
        removed=tuple(removed),
        poses=tuple(poses),
        box=box,
        face=face,
        picture=(info.height, info.width),
        reference=reference,
    )
    _warn_of_turns(motion)
    return motion


def _warn_of_turns(motion: HeadMotion) -> None:
    told = motion.report()
    if told["leak_peak_pct_face"] > NOTABLE_PCT_FACE:
        log.warning(
            "The head turns out of the picture plane (yaw %.2f, pitch %.2f degrees at most). That cannot be removed: "
            "about %.2f %% of the face width are left at the nose.",
            told["yaw_peak_deg"],
            told["pitch_peak_deg"],
            told["leak_peak_pct_face"],
        )


def _split(
    path: list[Similarity], box: FaceBox, *, fast: bool, split_hz: float, rate: Fraction, reference: int
) -> list[Similarity]:
    """The fast or the slow part of a path, as maps from the stabilised picture to the frame."""
    numbers = np.array([_parameters(one, box) for one in path])
    numbers[:, 1] = np.unwrap(numbers[:, 1])
    low = low_pass(numbers, split_hz, rate)
    slow = [_from_parameters(row, box) for row in low - low[reference]]
    if not fast:
        return slow
    out = [compose(one, inverse(other)) for one, other in zip(path, slow, strict=True)]
    out[reference] = np.eye(2, 3)
    return out


def _parameters(transform: Similarity, box: FaceBox) -> NDArray[np.float64]:
    """Log-scale, angle in radians, and shift of the face's centre in px."""
    centre = np.array([box.cx, box.cy])
    shift = transform[:, :2] @ centre + transform[:, 2] - centre
    return np.array(
        [math.log(similarity_scale(transform)), math.atan2(transform[1, 0], transform[0, 0]), shift[0], shift[1]]
    )


def _from_parameters(row: NDArray[np.float64], box: FaceBox) -> Similarity:
    log_scale, angle, dx, dy = (float(value) for value in row)
    return similarity(math.exp(log_scale), math.degrees(angle), (box.cx, box.cy), (box.cx + dx, box.cy + dy))


@dataclass(frozen=True)
class StillClip:
    """A clip seen without the motion of its head. The reference frame keeps its bits."""

    clip: Clip
    motion: HeadMotion

    def __post_init__(self) -> None:
        info = self.clip.info
        _check_size((info.height, info.width), self.motion, f"clip '{info.name}'")
        _check_count(info.count, self.motion, f"clip '{info.name}'")

    @property
    def info(self) -> ClipInfo:
        return self.clip.info

    def chunks(self, size: int = CHUNK) -> Iterator[Tensor]:
        done = 0
        for chunk in self.clip.chunks(size):
            yield torch.stack([_held(frame, self.motion.removed[done + k]) for k, frame in enumerate(chunk)])
            done += len(chunk)

    def frame(self, index: int) -> Tensor:
        return _held(self.clip.frame(index), self.motion.removed[index])


def _held(frame: Tensor, removed: Similarity) -> Tensor:
    return resampled(frame, inverse(removed), (frame.shape[-2], frame.shape[-1]), limits=(0, 1))


def restored(
    processed: Iterable[Tensor],
    motion: HeadMotion,
    *,
    original: Clip | None = None,
    box: FaceBox | None = None,
    progress: Progress = silent,
) -> Iterator[Tensor]:
    """Chunks ``(n, 3, H, W)`` of processed chunks, with a head that moves again.

    With the ``original``, the clip before it was stabilised, what changed since is added to its own frames: an
    untouched clip is bit-exact. Without it the processed frames themselves are moved. With a ``box``, the face in the
    processed clip, the motion is carried over to that other face, at its size, place and roll.
    """
    if original is not None and box is not None:
        raise MagPlusError("'original' is of the face that was stabilised. For another face leave it out.")
    if original is not None:
        _check_size((original.info.height, original.info.width), motion, "original")
        _check_count(original.info.count, motion, "original")
    done, before = 0, None if original is None else (frame for chunk in original.chunks() for frame in chunk)
    for chunk in processed:
        _check_count(max(done + len(chunk), len(motion.removed)), motion, "processed clip")
        if box is None:
            _check_size((chunk.shape[-2], chunk.shape[-1]), motion, "processed clip")
        out = []
        for frame in chunk:
            out.append(
                _moved(frame, motion, done, box) if before is None else _added(frame, next(before), motion, done)
            )
            done += 1
            progress("restore head", done, len(motion.removed), out[-1])
        yield torch.stack(out)
    _check_count(done, motion, "processed clip")


def _moved(frame: Tensor, motion: HeadMotion, index: int, box: FaceBox | None) -> Tensor:
    """A frame under the motion, of this face or carried to another one."""
    if index == motion.reference:
        return frame
    carry = np.eye(2, 3) if box is None else between(motion.box, box)
    move = compose(carry, compose(motion.removed[index], inverse(carry)))
    return resampled(frame, move, (frame.shape[-2], frame.shape[-1]), limits=(0, 1))


def _added(frame: Tensor, original: Tensor, motion: HeadMotion, index: int) -> Tensor:
    """An original frame, and what was changed on it while it was held."""
    removed, size = motion.removed[index], motion.picture
    # The reference frame did not move: it has no edge that it did not show.
    patch = patch_for(inverse(removed), size, size, feather=0.0 if index == motion.reference else EDGE)
    return put(original, frame, _held(original, removed), patch)


def _check_size(size: tuple[int, int], motion: HeadMotion, what: str) -> None:
    if size != motion.picture:
        height, width = motion.picture
        raise MagPlusError(
            f"The {what} has {size[1]} x {size[0]} px, the stabilised one {width} x {height} px. Connect a clip of "
            "that size, or for another face its face box."
        )


def _check_count(count: int | None, motion: HeadMotion, what: str) -> None:
    if count not in (None, len(motion.removed)):
        raise MagPlusError(
            f"The {what} has {count} frames, the stabilised one {len(motion.removed)}. Connect the same frames."
        )
