# SPDX-License-Identifier: Apache-2.0
"""Face detectors that may be on a user's machine, from the best to the simplest. None comes with the pack."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...models.errors import MagPlusError
from ...models.geometry import FaceBox

WORK_PX = 640
"""Longer side at which faces are looked for; a face of a portrait is then some 100 px wide, enough for all of these."""

YUNET_SCORE = 0.6
"""Confidence from which YuNet's finds count, of 0 to 1; below, hands and patterns are among them."""

CASCADE_TO_FACE = (0.85, 1.12, 0.04)
"""Width, height and downward shift of a face, ear to ear and hairline to chin, in sides of a cascade's square. The
Haar and LBP cascades agree on these within 5 % on two painted portraits."""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """A face that was found, and how sure the detector is, in its own unit."""

    box: FaceBox
    score: float = 1.0


class FaceDetector(Protocol):
    """Finds faces in one picture ``(3, H, W)``."""

    name: str

    def __call__(self, picture: Tensor) -> list[Detection]:
        """All faces, in any order."""
        ...


class UnavailableError(Exception):
    """Why a detector cannot be used here."""


def find_detector(choice: str, yunet_files: Sequence[Path] = ()) -> FaceDetector:
    """The detector of that name, or for ``auto`` the first of `DETECTORS` that can be used here.

    ``yunet_files`` are ONNX files among which YuNet's may be. Raises `MagPlusError` that says what to do without one.
    """
    reasons = []
    for name in DETECTORS if choice == "auto" else (choice,):
        try:
            return _MAKERS[name](yunet_files)
        except UnavailableError as reason:
            reasons.append(f"{name}: {reason}")
    raise MagPlusError(
        f"No face detector is available ({'; '.join(reasons)}). Say where the face is instead: give x, y, width and "
        "height, a mask of the face, or a bounding box from another node."
    )


class YuNet:
    """YuNet (Wu, Peng, Yu, 2023) through OpenCV. Of its five landmarks the eyes tell the head's roll."""

    name = "yunet"

    def __init__(self, file: Path) -> None:
        self._net = cv2.FaceDetectorYN.create(str(file), "", (WORK_PX, WORK_PX), YUNET_SCORE)
        self._net.setInputSize((64, 64))
        self._net.detect(np.zeros((64, 64, 3), np.uint8))

    def __call__(self, picture: Tensor) -> list[Detection]:
        pixels, scale = _reduced(picture)
        self._net.setInputSize((pixels.shape[1], pixels.shape[0]))
        found = self._net.detect(pixels)[1]
        return [] if found is None else [_from_yunet(row, scale) for row in found.astype(float)]


def _from_yunet(row: NDArray[np.float64], scale: float) -> Detection:
    """Of x, y, width, height, the points of right eye, left eye, nose, both mouth corners, and score, in reduced px."""
    right_eye, left_eye = row[4:6], row[6:8]
    roll = math.degrees(math.atan2(left_eye[1] - right_eye[1], left_eye[0] - right_eye[0]))
    return Detection(box=_restored(row[:4], scale, roll), score=float(row[14]))


class _OpenCVCascade:
    name = "opencv cascade"

    def __init__(self, classifier: Any) -> None:
        self._classifier = classifier

    def __call__(self, picture: Tensor) -> list[Detection]:
        pixels, scale = _reduced(picture)
        grey, least = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), max(24, min(pixels.shape[:2]) // 10)
        squares, _, weights = self._classifier.detectMultiScale3(
            grey, 1.1, 5, minSize=(least, least), outputRejectLevels=True
        )
        pairs = zip(np.reshape(squares, (-1, 4)).astype(float), np.ravel(weights), strict=True)
        return [Detection(box=_face_in(square, scale), score=float(weight)) for square, weight in pairs]


class _ScikitCascade:
    name = "scikit-image cascade"

    def __init__(self, cascade: Any) -> None:
        self._cascade = cascade

    def __call__(self, picture: Tensor) -> list[Detection]:
        pixels, scale = _reduced(picture)
        grey, side = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), min(pixels.shape[:2])
        least = max(24, side // 10)
        found = self._cascade.detect_multi_scale(
            img=grey, scale_factor=1.15, step_ratio=1, min_size=(least, least), max_size=(side, side)
        )
        squares = [np.array([one["c"], one["r"], one["width"], one["height"]], float) for one in found]
        return [Detection(box=_face_in(square, scale)) for square in squares]


def _make_yunet(files: Sequence[Path]) -> FaceDetector:
    if not hasattr(cv2, "FaceDetectorYN"):
        raise UnavailableError("this OpenCV cannot run it")
    for file in files:
        try:
            return YuNet(file)
        except cv2.error:
            continue
    raise UnavailableError(
        "no file of it (face_detection_yunet_2026may.onnx from OpenCV's model zoo; for OpenCV 4 the older 2023mar does "
        "as well) in models/magplus"
    )


def _make_opencv(_: Sequence[Path]) -> FaceDetector:
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    file = Path(folder) / "haarcascade_frontalface_alt2.xml"
    if not hasattr(cv2, "CascadeClassifier") or not file.is_file():
        raise UnavailableError("this OpenCV has none, only OpenCV 4 does")
    return _OpenCVCascade(cv2.CascadeClassifier(str(file)))


def _make_scikit(_: Sequence[Path]) -> FaceDetector:
    if importlib.util.find_spec("skimage") is None:
        raise UnavailableError("scikit-image is not installed")
    skimage = importlib.import_module("skimage")
    # Asked for by its function, a file that some builds leave out would be downloaded.
    file = Path(str(skimage.__file__)).parent / "data" / "lbpcascade_frontalface_opencv.xml"
    if not file.is_file():
        raise UnavailableError("this scikit-image comes without its file")
    return _ScikitCascade(importlib.import_module("skimage.feature").Cascade(str(file)))


_MAKERS: dict[str, Callable[[Sequence[Path]], FaceDetector]] = {
    "yunet": _make_yunet,
    "opencv cascade": _make_opencv,
    "scikit-image cascade": _make_scikit,
}
DETECTORS = tuple(_MAKERS)


def _reduced(picture: Tensor) -> tuple[NDArray[np.uint8], float]:
    """8-bit BGR pixels ``(h, w, 3)``, at most WORK_PX large, and how many px of the picture one of them is."""
    scale = max(1.0, max(picture.shape[-2:]) / WORK_PX)
    pixels = picture.detach().cpu().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()[..., ::-1]
    if scale > 1:
        size = (round(picture.shape[-1] / scale), round(picture.shape[-2] / scale))
        pixels = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(pixels), scale


def _restored(corner_and_size: NDArray[np.float64], scale: float, angle_deg: float = 0.0) -> FaceBox:
    """A box in px of the picture, of one in reduced px whose numbers are edges, not pixel centres."""
    x, y, width, height = (float(value) * scale for value in corner_and_size)
    cx, cy = x + width / 2 - 0.5, y + height / 2 - 0.5
    return FaceBox(cx=cx, cy=cy, width=width, height=height, angle_deg=angle_deg)


def _face_in(square: NDArray[np.float64], scale: float) -> FaceBox:
    """The face in a cascade's square."""
    wide, high, down = CASCADE_TO_FACE
    box = _restored(square, scale)
    return FaceBox(cx=box.cx, cy=box.cy + down * box.height, width=wide * box.width, height=high * box.height)
