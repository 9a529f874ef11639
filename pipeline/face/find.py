# SPDX-License-Identifier: Apache-2.0
"""Where a face is in every frame of a clip: as it was given, else as a detector finds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...models.geometry import FaceBox
from ..clip import Clip, TensorClip
from ..log import log
from ..progress import Progress, silent, ticking
from .detect import FaceDetector, find_detector
from .given import NO_NUMBERS, Numbers, given_faces
from .landmarks import box_from_landmarks, landmark_faces
from .track import FaceChoice, Faces, MissingFace, Track, follow, name_frames, with_missing

LOOKS = 5
"""Frames in which a steady face is looked for."""


@dataclass(frozen=True, kw_only=True)
class GivenFaces:
    """What a user connected or typed; the first of these that is there counts, in this order."""

    box: Any = None
    landmarks: Any = None
    mask: Tensor | None = None
    numbers: Numbers = NO_NUMBERS

    def faces(self, count: int) -> tuple[str, Faces]:
        """Who says so, and all faces of each of ``count`` frames; nobody, and an empty list."""
        if self.box is None and self.landmarks is not None:
            meshes = landmark_faces(self.landmarks, count)
            return "landmarks", [[box_from_landmarks(mesh) for mesh in frame] for frame in meshes]
        faces = given_faces(self.box, self.mask, self.numbers, count=count)
        source = "bounding box" if self.box is not None else "numbers" if self.mask is None else "mask"
        return source, faces * count if len(faces) == 1 else faces


@dataclass(frozen=True, kw_only=True)
class FoundTrack:
    """One face through a clip: with gaps as seen, and after the policy for them; all faces; in words."""

    track: Track
    seen: Track
    faces: Faces
    report: str


def track_clip(
    clip: Clip,
    given: GivenFaces,
    choice: FaceChoice,
    missing: MissingFace = "hold",
    *,
    start: int = 0,
    detector: str = "auto",
    yunet_files: Sequence[Path] = (),
    progress: Progress = silent,
) -> FoundTrack:
    """The chosen face in every frame of a clip of known length, see `follow` and `with_missing`."""
    count = clip.info.count or sum(len(chunk) for chunk in clip.chunks())
    source, faces = given.faces(count)
    if not faces:
        finder = find_detector(detector, yunet_files)
        source, faces = finder.name, detect_faces(clip, finder, progress)
    seen = follow(faces, choice, start=start)
    track = with_missing(seen, missing)
    gaps = [frame for frame, box in enumerate(seen) if box is None]
    report = f"{source}: face in {count - len(gaps)} of {count} frames"
    report += f"; {missing} in {name_frames(gaps)}" if gaps else ""
    return FoundTrack(track=track, seen=seen, faces=faces, report=report)


def steady_face(clip: Clip, *, detector: str = "auto", yunet_files: Sequence[Path] = ()) -> FaceBox:
    """The largest face of a clip, found by a detector in up to `LOOKS` of its frames: the median of the boxes."""
    count = clip.info.count
    frames = range(LOOKS) if count is None else np.linspace(0, count - 1, min(LOOKS, count)).round().astype(int)
    looked = TensorClip(torch.stack([clip.frame(int(index)) for index in frames]), name=clip.info.name)
    found = track_clip(looked, GivenFaces(), FaceChoice(), detector=detector, yunet_files=yunet_files)
    numbers = np.median([[b.cx, b.cy, b.width, b.height, b.angle_deg] for b in found.track if b is not None], axis=0)
    cx, cy, width, height, angle = (float(value) for value in numbers)
    log.info("%s: %s: %.0f x %.0f px around (%.0f, %.0f)", clip.info.name, found.report, width, height, cx, cy)
    return FaceBox(cx=cx, cy=cy, width=width, height=height, angle_deg=angle)


def detect_faces(clip: Clip, detector: FaceDetector, progress: Progress = silent) -> list[list[FaceBox]]:
    """The faces of every frame."""
    return [[one.box for one in detector(frame)] for chunk in ticking(clip, "track", progress) for frame in chunk]
