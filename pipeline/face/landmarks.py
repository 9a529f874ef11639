# SPDX-License-Identifier: Apache-2.0
"""Face landmarks of ComfyUI's MediaPipe node (FACE_LANDMARKS), and the points of a face that they tell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...models.errors import MagPlusError
from ...models.geometry import FaceBox

Points = NDArray[np.float64]
"""``(N, 2)`` in px."""

LEAST_POINTS = 468
"""Points of MediaPipe's face mesh; with irises 478."""

MESH = {
    "left eye": (33, 133, 159, 145),
    "right eye": (263, 362, 386, 374),
    "left brow": (46, 53, 52, 65, 55, 70, 63, 105, 66, 107),
    "right brow": (276, 283, 282, 295, 285, 300, 293, 334, 296, 336),
    "left side": (234,),
    "right side": (454,),
    "top": (10,),
    "chin": (152,),
    "nose root": (168,),
    "nose base": (2,),
    "left mouth corner": (61,),
    "right mouth corner": (291,),
}
"""Points of the face mesh whose mean is the named one; left and right are the picture's (MediaPipe's canonical face
model)."""


def landmark_faces(value: Any, count: int) -> list[list[Points]]:
    """The faces of each of ``count`` frames, as points, of a FACE_LANDMARKS value."""
    try:
        frames = [[np.asarray(face["landmarks_xy"], dtype=np.float64) for face in faces] for faces in value["frames"]]
    except (KeyError, TypeError, ValueError) as error:
        raise MagPlusError("'landmarks' are none that are known here. Connect ComfyUI's MediaPipe node.") from error
    for points in (face for faces in frames for face in faces):
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < LEAST_POINTS:
            raise MagPlusError(
                f"'landmarks' have the shape {points.shape}; {LEAST_POINTS} points of MediaPipe's face mesh are needed."
            )
    if len(frames) not in (1, count):
        raise MagPlusError(f"'landmarks' are of {len(frames)} frames, the clip has {count}. Connect the same clip.")
    return frames if len(frames) == count else frames * count


def named_points(mesh: Points) -> Mapping[str, Points]:
    """The points of `MESH`, ``(2,)`` each."""
    return {name: mesh[list(indices)].mean(0) for name, indices in MESH.items()}


def box_from_landmarks(mesh: Points) -> FaceBox:
    """Face from ear to ear and from hairline to chin, with the roll of the line through both eyes."""
    at = named_points(mesh)
    across = at["right eye"] - at["left eye"]
    middle = (at["left side"] + at["right side"]) / 2
    upright = (at["top"] + at["chin"]) / 2
    axis = across / np.linalg.norm(across)
    # The sides tell where the face is across, brow and chin where it is along itself.
    centre = upright + axis * float((middle - upright) @ axis)
    return FaceBox(
        cx=float(centre[0]),
        cy=float(centre[1]),
        width=float(np.linalg.norm(at["right side"] - at["left side"])),
        height=float(np.linalg.norm(at["chin"] - at["top"])),
        angle_deg=math.degrees(math.atan2(across[1], across[0])),
    )


def chosen_mesh(value: Any, count: int, frame: int, near: FaceBox | None) -> Points:
    """The face mesh of one frame that is nearest to a box, else the largest."""
    meshes = landmark_faces(value, count)[frame]
    if not meshes:
        raise MagPlusError(
            f"'landmarks' hold no face in frame {frame}. Choose another reference frame, or leave them out."
        )
    boxes = [box_from_landmarks(mesh) for mesh in meshes]
    if near is None:
        return meshes[max(range(len(meshes)), key=lambda k: boxes[k].scale)]
    return meshes[min(range(len(meshes)), key=lambda k: math.dist((boxes[k].cx, boxes[k].cy), (near.cx, near.cy)))]
