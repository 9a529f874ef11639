# SPDX-License-Identifier: Apache-2.0
"""What MetaPortrait needs beyond pixels: landmarks and an identity, for Animate Portrait."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models.catalog import BACKBONES
from ..models.errors import MagPlusError
from ..models.guides import Given, read_guides
from ..pipeline.face.landmarks import landmark_faces
from .arrays import NO_FILE, array_input, array_of, fingerprint_arrays
from .host import io
from .wires import Guides, Landmarks


class MetaPortraitGuides(io.ComfyNode):  # type: ignore[misc]
    """Landmarks and identity."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusMetaPortraitGuides",
            display_name="MetaPortrait Guides (MagPlus)",
            category="MagPlus/Face",
            description="Landmarks of both faces and the identity of the portrait, for MetaPortrait. Everything may be "
            "left open: then a plain face fitted to each face box stands in, and the identity is fitted.",
            search_aliases=["landmarks", "face mesh", "identity vector", "mediapipe"],
            inputs=[
                io.Combo.Input(
                    "identity",
                    options=["fit", "zeros", "file"],
                    default="fit",
                    tooltip="fit: found by rendering the portrait from itself, some minutes once per portrait. zeros: "
                    "none, at once, less like the portrait. file: 256 numbers in identity_file.",
                ),
                array_input("identity_file", "256 numbers of the portrait's identity, .npy in the input folder."),
                array_input("driving_file", "Landmarks of the driving clip, .npy (frames, 669 or 468 or 478, 2) in "
                            "fractions of its pictures."),
                array_input("source_file", "The same of the portrait, (1, points, 2) or (points, 2)."),
                io.Combo.Input(
                    "driving_frames",
                    options=["reference", "all"],
                    default="reference",
                    tooltip="reference: landmarks of the reference frame, moved on by the measured motion, which keeps "
                    "motion below a pixel and no detector's jitter. all: each frame's own, as upstream (669 only).",
                ),
                Landmarks.Input(
                    "driving_landmarks", optional=True,
                    tooltip="From MediaPipe Face Landmarker on the driving clip, instead of the file.",
                ),
                Landmarks.Input(
                    "source_landmarks", optional=True,
                    tooltip="From MediaPipe Face Landmarker on the portrait, instead of the file.",
                ),
            ],
            outputs=[Guides.Output("guides", tooltip="For Animate Portrait.")],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, identity_file: str, driving_file: str, source_file: str, **_: Any) -> str:
        """Changes when a file is written anew."""
        return fingerprint_arrays(identity_file, driving_file, source_file)

    @classmethod
    def execute(
        cls,
        *,
        identity: str,
        identity_file: str,
        driving_file: str,
        source_file: str,
        driving_frames: str,
        driving_landmarks: Any = None,
        source_landmarks: Any = None,
    ) -> Any:
        """Read what is given."""
        given: dict[str, Given] = {"source_identity": identity}
        if identity == "file":
            if identity_file == NO_FILE:
                raise MagPlusError("identity 'file' needs identity_file. Choose one, or another identity.")
            given["source_identity"] = array_of(identity_file)
        sides = {"driving": (driving_landmarks, driving_file), "source": (source_landmarks, source_file)}
        for side, (wire, name) in sides.items():
            if wire is not None:
                given[f"{side}_landmarks"] = mesh_of(wire, f"{side}_landmarks")
            elif name != NO_FILE:
                given[f"{side}_landmarks"] = array_of(name)
        guides = read_guides(BACKBONES["metaportrait"].guides, given, of="MetaPortrait")
        if driving_frames == "reference" and "driving_landmarks" in guides:
            guides["driving_landmarks"] = guides["driving_landmarks"].of_reference_alone()
        return io.NodeOutput(guides)


def mesh_of(landmarks: Any, name: str) -> NDArray[np.float64]:
    """ComfyUI's FACE_LANDMARKS as ``(frames, points, 2)`` in fractions of the picture; the largest face of each frame.

    Frames without a face are not-a-number: they matter only if the reference is one of them.
    """
    try:
        (height, width), count = landmarks["image_size"], len(landmarks["frames"])
    except (KeyError, TypeError, ValueError) as error:
        raise MagPlusError(f"'{name}' holds no face landmarks. Connect MediaPipe Face Landmarker.") from error
    found = [max(faces, key=_area) if faces else None for faces in landmark_faces(landmarks, count)]
    sizes = {len(points) for points in found if points is not None}
    if len(sizes) != 1:
        raise MagPlusError(f"'{name}': no face was found in any of {count} frames. Check the picture.")
    nothing = np.full((sizes.pop(), 2), np.nan)
    return np.stack([nothing if points is None else points for points in found]) / [width, height]


def _area(points: NDArray[np.float64]) -> float:
    return float(np.prod(np.ptp(points, axis=0)))
