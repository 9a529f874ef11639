# SPDX-License-Identifier: Apache-2.0
"""Track Face: where a face is in every frame."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..pipeline.face.detect import DETECTORS
from ..pipeline.face.find import GivenFaces, track_clip
from ..pipeline.face.given import track_wire
from ..pipeline.face.track import MISSING_FACE, WHICH, FaceChoice, MissingFace, Which
from ..pipeline.render.overlay import track_picture
from . import convert, host
from .host import io
from .wires import (
    MAX_PX,
    BoundingBox,
    Landmarks,
    box_inputs,
    box_sockets,
    numbers_of,
    reference_input,
)


class TrackFace(io.ComfyNode):  # type: ignore[misc]
    """Clip to one face box per frame."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusTrackFace",
            display_name="Track Face (MagPlus)",
            category="MagPlus/Face",
            description="Tells where a face is in every frame: from what is connected, else from a face detector that "
            "is on this machine. The number of frames never changes.",
            search_aliases=["face detection", "face box", "find face", "yunet", "bounding box", "face tracking"],
            inputs=[
                io.Image.Input("images", tooltip="The clip, or one picture."),
                io.Combo.Input(
                    "detector",
                    options=["auto", *DETECTORS],
                    default="auto",
                    tooltip="Used while no box, landmarks, mask or numbers are given. auto: the first that is there, "
                    "of YuNet (its .onnx file in models/magplus), OpenCV 4's cascade, scikit-image's cascade.",
                ),
                io.Combo.Input(
                    "which_face",
                    options=list(WHICH),
                    default=WHICH[0],
                    tooltip="Which of several faces, in the reference frame. From there on it is the same face, even "
                    "when others become larger.",
                ),
                io.Int.Input(
                    "face_index",
                    default=0,
                    min=0,
                    max=99,
                    tooltip="For 'from left': which one, counted from 0 at the left edge.",
                ),
                io.Int.Input("point_x", default=0, min=0, max=MAX_PX, tooltip="For 'nearest to point': px from left."),
                io.Int.Input("point_y", default=0, min=0, max=MAX_PX, tooltip="For 'nearest to point': px from top."),
                io.Combo.Input(
                    "missing_face",
                    options=list(MISSING_FACE),
                    default=MISSING_FACE[0],
                    tooltip="Frames without the face. hold: the last box. interpolate: between both neighbours. pass: "
                    "no box, and Paste Back leaves the frame as it is. stop: an error that names the frames.",
                ),
                reference_input(),
                *box_inputs("face", "clip"),
                *box_sockets("face", "clip", per_frame=True),
                Landmarks.Input(
                    "landmarks",
                    optional=True,
                    tooltip="From ComfyUI's MediaPipe node: boxes with the roll of the head. They win over mask and "
                    "numbers, a box wins over them.",
                ),
            ],
            outputs=[
                BoundingBox.Output(
                    "face_box", tooltip="One box per frame: for Crop Face, Magnify, Animate, Stabilise."
                ),
                io.Image.Output("preview", tooltip="Up to eight frames with the box drawn; other faces in white."),
                io.String.Output("report", tooltip="Who found the face, and in which frames it was missing."),
            ],
        )

    @classmethod
    def execute(
        cls,
        *,
        images: Tensor,
        detector: str,
        which_face: Which,
        face_index: int = 0,
        point_x: int = 0,
        point_y: int = 0,
        missing_face: MissingFace = "hold",
        reference_index: int = 0,
        face_box: Any = None,
        face_mask: Tensor | None = None,
        landmarks: Any = None,
        **numbers: float,
    ) -> Any:
        """Collect or detect, follow one face, fill gaps, show."""
        clip = convert.to_clip(images, name="images")
        given = GivenFaces(box=face_box, landmarks=landmarks, mask=face_mask, numbers=numbers_of(numbers, "face"))
        choice = FaceChoice(which=which_face, index=face_index, point=(point_x, point_y))
        with host.running() as progress:
            found = track_clip(
                clip, given, choice, missing_face, start=reference_index, detector=detector,
                yunet_files=host.detector_paths(), progress=progress,
            )  # fmt: skip
            sheet = track_picture(clip, found.faces, found.seen, found.track)
            progress.show(sheet)  # it stays in the node
        return io.NodeOutput(track_wire(found.track), convert.to_picture(sheet), found.report)
