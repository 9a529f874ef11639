"""What MetaPortrait needs beyond pixels: landmarks and an identity, for Animate Portrait."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models.errors import MagPlusError
from ..models.guides import Given, read_guides
from ..models.registry import BACKBONES
from ..pipeline.face.landmarks import landmark_faces
from ..pipeline.media import read_array
from . import convert, host
from .host import io
from .wires import Guides, Landmarks

NO_FILE = "none"


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
                _file("identity_file", "256 numbers of the portrait's identity, .npy in the input folder."),
                _file("driving_file", "Landmarks of the driving clip, .npy (frames, 669 or 468 or 478, 2) in fractions "
                      "of its pictures."),
                _file("source_file", "The same of the portrait, (1, points, 2) or (points, 2)."),
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
        files = [name for name in (identity_file, driving_file, source_file) if name != NO_FILE]
        return " ".join(convert.fingerprint(host.input_path(name)) for name in files)

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
            given["source_identity"] = _array(identity_file, "identity 'file' needs identity_file")
        sides = {"driving": (driving_landmarks, driving_file), "source": (source_landmarks, source_file)}
        for side, (wire, name) in sides.items():
            if wire is not None:
                given[f"{side}_landmarks"] = mesh_of(wire, f"{side}_landmarks")
            elif name != NO_FILE:
                given[f"{side}_landmarks"] = _array(name)
        guides = read_guides(BACKBONES["metaportrait"].guides, given, of="MetaPortrait")
        if driving_frames == "reference" and "driving_landmarks" in guides:
            guides["driving_landmarks"] = guides["driving_landmarks"].of_reference_alone()
        return io.NodeOutput(guides)


def _file(id: str, what: str) -> Any:
    arrays = [name for name in host.input_files() if name.endswith(".npy")]
    return io.Combo.Input(id, options=[NO_FILE, *arrays], default=NO_FILE, tooltip=f"{what} 'none' leaves it open.")


def _array(name: str, complaint: str = "") -> NDArray[Any]:
    if name == NO_FILE:
        raise MagPlusError(f"{complaint}. Choose one, or another identity.")
    return read_array(host.input_path(name))


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
