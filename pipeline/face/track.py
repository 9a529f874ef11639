# SPDX-License-Identifier: Apache-2.0
"""One face through a clip: which of several, and what to do where it is not found."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ...models.errors import MagPlusError
from ...models.geometry import FaceBox
from ..log import log

Which = Literal["largest", "from left", "nearest to point"]
WHICH: tuple[Which, ...] = ("largest", "from left", "nearest to point")
MissingFace = Literal["hold", "interpolate", "pass", "stop"]
MISSING_FACE: tuple[MissingFace, ...] = ("hold", "interpolate", "pass", "stop")

Faces = Sequence[Sequence[FaceBox]]
"""The faces of each frame, none or several."""
Track = list[FaceBox | None]

STRIDE, STRIDE_PER_FRAME = 1.0, 0.1
"""How far a face may be from where it was last seen, in its widths, and how much farther for each frame in between:
beyond that it is another one."""


@dataclass(frozen=True, kw_only=True)
class FaceChoice:
    """Which face of a picture with several: the largest, number ``index`` from the left, or the one at ``point``."""

    which: Which = "largest"
    index: int = 0
    point: tuple[float, float] = (0.0, 0.0)

    def of(self, faces: Sequence[FaceBox]) -> FaceBox | None:
        """The chosen face; None where there are too few."""
        if self.which == "from left":
            ordered = sorted(faces, key=lambda face: face.cx)
            return ordered[self.index] if self.index < len(ordered) else None
        distance: Callable[[FaceBox], float] = lambda face: math.dist((face.cx, face.cy), self.point)  # noqa: E731
        size: Callable[[FaceBox], float] = lambda face: -face.width * face.height  # noqa: E731
        return min(faces, key=size if self.which == "largest" else distance, default=None)


def follow(faces: Faces, choice: FaceChoice, *, start: int = 0) -> Track:
    """One face through all frames, None where it is not found.

    It is chosen in frame ``start``, or in the nearest frame in which the choice can be made, and from there it is the
    face nearest to where it was last: another face does not take its place when it is hidden for a while.
    """
    order = sorted(range(len(faces)), key=lambda frame: abs(frame - start))
    first = next((frame for frame in order if choice.of(faces[frame]) is not None), None)
    track: Track = [None] * len(faces)
    if first is None:
        return track
    for frames in (range(first, len(faces)), range(first, -1, -1)):
        last, unseen = choice.of(faces[first]), 0
        for frame in frames:
            track[frame] = None if last is None else _nearest(faces[frame], last, unseen)
            last, unseen = (last, unseen + 1) if track[frame] is None else (track[frame], 0)
    return track


def _nearest(faces: Sequence[FaceBox], last: FaceBox, unseen: int) -> FaceBox | None:
    """The face nearest to where it was ``unseen`` frames ago; None where all are too far away."""

    def distance(face: FaceBox) -> float:
        return math.dist((face.cx, face.cy), (last.cx, last.cy))

    reach = STRIDE + STRIDE_PER_FRAME * unseen
    near = [face for face in faces if distance(face) <= reach * max(face.width, last.width)]
    return min(near, key=distance, default=None)


def with_missing(track: Track, policy: MissingFace) -> Track:
    """The track after the policy for frames without a face; its length never changes.

    ``hold`` takes the last box (at the beginning the first), ``interpolate`` a straight line between both neighbours,
    ``pass`` leaves None, which Paste Back reads as "leave this frame alone", ``stop`` is an error that names them.
    """
    gaps = [frame for frame, box in enumerate(track) if box is None]
    if len(gaps) == len(track):
        raise MagPlusError(
            f"No face in any of the {len(track)} frames. Say where it is: give x, y, width and height, a mask, or a "
            "bounding box from another node."
        )
    if not gaps:
        return track
    told = f"No face in {name_frames(gaps)} of {len(track)}"
    if policy == "stop":
        raise MagPlusError(f"{told}. Draw a mask, or set missing_face to 'hold'.")
    log.info("%s: missing_face is '%s'", told, policy)
    if policy == "pass":
        return track
    known = [frame for frame, box in enumerate(track) if box is not None]
    return [box or _between(track, known, frame, policy) for frame, box in enumerate(track)]


def _between(track: Track, known: list[int], frame: int, policy: MissingFace) -> FaceBox | None:
    before = max((k for k in known if k < frame), default=None)
    after = min((k for k in known if k > frame), default=None)
    if before is None or after is None or policy == "hold":
        return track[after if before is None else before]  # type: ignore[index]
    return _mixed(track[before], track[after], (frame - before) / (after - before))


def _mixed(one: FaceBox | None, other: FaceBox | None, share: float) -> FaceBox | None:
    if one is None or other is None:
        return one or other
    turn = (other.angle_deg - one.angle_deg + 180) % 360 - 180

    def mix(a: float, b: float) -> float:
        return a + share * (b - a)

    return FaceBox(
        cx=mix(one.cx, other.cx),
        cy=mix(one.cy, other.cy),
        width=mix(one.width, other.width),
        height=mix(one.height, other.height),
        angle_deg=one.angle_deg + share * turn,
    )


def name_frames(frames: Sequence[int]) -> str:
    """Frame numbers in words: "frame 7", "frames 3, 12-17"."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame == runs[-1][-1] + 1:
            runs[-1].append(frame)
        else:
            runs.append([frame])
    words = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return f"frame{'s' if len(frames) > 1 else ''} {', '.join(words)}"
