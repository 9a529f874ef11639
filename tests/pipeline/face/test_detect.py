"""Which detector is taken, what it is told, and what is said where there is none.

No detector comes with the pack or with OpenCV 5, so the libraries themselves are stood in for; that the cascades find
the faces of real portraits is checked where OpenCV 4 or scikit-image is there.
"""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from magplus.models.errors import MagPlusError
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.face import detect
from magplus.pipeline.face.detect import find_detector
from magplus.pipeline.face.find import GivenFaces, track_clip
from magplus.pipeline.face.track import FaceChoice
from magplus.pipeline.media import open_clip, read_image

REAL_CASCADES = [
    name
    for name, there in (
        ("opencv cascade", hasattr(cv2, "CascadeClassifier")),
        ("scikit-image cascade", detect.importlib.util.find_spec("skimage") is not None),
    )
    if there
]


class FakeYuNet:
    """OpenCV's class: create(model, config, size, score threshold), setInputSize((w, h)), detect(8-bit BGR)."""

    made = ()

    def __init__(self):
        self.size, self.seen = None, []

    @classmethod
    def create(cls, model, config, size, score):
        if "yunet" not in model:
            raise cv2.error("not a network")
        cls.made += (cls(),)
        return cls.made[-1]

    def setInputSize(self, size):
        self.size = size

    def detect(self, pixels):
        assert pixels.dtype == np.uint8 and pixels.shape == (self.size[1], self.size[0], 3)
        self.seen.append(pixels)
        if pixels.max() == 0:
            return 1, None
        # The face is 10 px wide at (20, 30), its eyes roll by 45 degrees.
        row = [20, 30, 10, 14, 22, 34, 26, 38, 25, 38, 23, 41, 27, 41, 0.9]
        return 1, np.array([row], np.float32)


@pytest.fixture
def bare(monkeypatch):
    """No detector at all."""
    monkeypatch.setattr(FakeYuNet, "made", ())
    for name in ("CascadeClassifier", "FaceDetectorYN"):
        monkeypatch.delattr(detect.cv2, name, raising=False)
    monkeypatch.setattr(detect.importlib.util, "find_spec", lambda name: None)
    return monkeypatch


def with_yunet(bare, tmp_path):
    bare.setattr(detect.cv2, "FaceDetectorYN", FakeYuNet, raising=False)
    return [tmp_path / "other.onnx", tmp_path / "yunet_2023mar.onnx"]


def with_cascade(bare, tmp_path, squares=(), weights=()):
    (tmp_path / "haarcascade_frontalface_alt2.xml").write_text("<xml/>")
    bare.setattr(detect.cv2, "data", SimpleNamespace(haarcascades=f"{tmp_path}/"), raising=False)
    classifier = SimpleNamespace(
        detectMultiScale3=lambda grey, *_, **__: (np.array(squares, np.int32) if len(squares) else (), 0, weights)
    )
    bare.setattr(detect.cv2, "CascadeClassifier", lambda file: classifier, raising=False)


def test_without_any_the_message_says_how_to_give_a_box(bare, tmp_path):
    with_yunet(bare, tmp_path)
    with pytest.raises(MagPlusError) as error:
        find_detector("auto")
    for words in ("yunet", "models/magplus", "only OpenCV 4", "scikit-image is not installed", "x, y, width", "mask"):
        assert words in str(error.value)


def test_the_best_one_that_is_there_is_taken(bare, tmp_path):
    with_cascade(bare, tmp_path)
    assert find_detector("auto").name == "opencv cascade"
    files = with_yunet(bare, tmp_path)
    assert find_detector("auto").name == "opencv cascade", "no file of it was given"
    assert find_detector("auto", files).name == "yunet"
    assert find_detector("opencv cascade", files).name == "opencv cascade"
    with pytest.raises(MagPlusError, match="scikit-image is not installed"):
        find_detector("scikit-image cascade", files)


def test_a_file_that_is_no_network_is_passed_over():
    if not hasattr(cv2, "FaceDetectorYN"):
        pytest.skip("this OpenCV cannot run YuNet")
    with pytest.raises(MagPlusError, match="no file of it"):
        find_detector("yunet", [detect.Path(__file__)])


@pytest.mark.parametrize("size", [(480, 640), (960, 1280)])
def test_yunet_sees_a_reduced_bgr_picture_and_its_box_comes_back_in_px(bare, tmp_path, size):
    files = with_yunet(bare, tmp_path)
    picture = torch.zeros(3, *size)
    picture[0] = 1.0
    (found,) = find_detector("yunet", files)(picture)
    seen = FakeYuNet.made[-1].seen[-1]
    assert seen.shape == (480, 640, 3) and (seen[..., 2] == 255).all() and seen[..., 0].max() == 0
    scale = size[1] / 640
    assert (found.box.cx, found.box.cy) == pytest.approx((25 * scale - 0.5, 37 * scale - 0.5))
    assert (found.box.width, found.box.height) == pytest.approx((10 * scale, 14 * scale))
    assert found.box.angle_deg == pytest.approx(45)
    assert found.score == pytest.approx(0.9)
    assert find_detector("yunet", files)(torch.zeros(3, *size)) == []


def test_a_cascades_square_becomes_a_face_from_ear_to_ear(bare, tmp_path):
    with_cascade(bare, tmp_path, [[100, 60, 80, 80], [10, 10, 30, 30]], [5.0, 2.0])
    first, second = find_detector("auto")(torch.rand(3, 300, 400))
    assert first.box.cx == pytest.approx(139.5)
    assert first.box.height > first.box.width
    assert (first.score, second.score) == (5.0, 2.0)
    with_cascade(bare, tmp_path)
    assert find_detector("auto")(torch.rand(3, 300, 400)) == []


def test_a_clip_is_tracked_by_the_detector_only_where_nothing_was_given(bare, tmp_path):
    files = with_yunet(bare, tmp_path)
    frames = torch.rand(4, 3, 120, 160)
    frames[2] = 0
    clip = TensorClip(frames)
    about = {"choice": FaceChoice(), "yunet_files": files}
    found = track_clip(clip, GivenFaces(), missing="pass", **about)
    assert [box is None for box in found.track] == [False, False, True, False]
    assert found.report == "yunet: face in 3 of 4 frames; pass in frame 2"
    count = len(FakeYuNet.made)
    given = track_clip(clip, GivenFaces(numbers=(20, 30, 40, 50, 0)), **about)
    assert given.report == "numbers: face in 4 of 4 frames" and len(FakeYuNet.made) == count
    wire = [[{"x": 1, "y": 2, "width": 30, "height": 40}], [], [{"x": 5, "y": 2, "width": 30, "height": 40}], []]
    boxed = track_clip(clip, GivenFaces(box=wire, numbers=(20, 30, 40, 50, 0)), missing="interpolate", **about)
    assert [box.cx for box in boxed.track] == [15.5, 17.5, 19.5, 19.5]
    mask = torch.zeros(4, 120, 160)
    mask[1:, 30:60, 20:40] = 1
    masked = track_clip(clip, GivenFaces(mask=mask), missing="pass", **about)
    assert masked.track[0] is None and masked.track[3].cx == pytest.approx(29.5)


@pytest.mark.parametrize("name", REAL_CASCADES)
def test_a_real_cascade_finds_the_faces_of_the_samples(name, root):
    for file, box in (("portrait.jpg", (175, 134, 182, 230)), ("driver.mkv", (61, 42, 120, 152))):
        path = root / "samples" / file
        picture = read_image(path) if path.suffix == ".jpg" else open_clip(path).frame(0)
        found = max(find_detector(name)(picture), key=lambda one: one.box.width).box
        truth = detect.FaceBox.from_corner(*box)
        assert abs(found.cx - truth.cx) < 0.12 * truth.width
        assert abs(found.cy - truth.cy) < 0.18 * truth.height
        assert found.width == pytest.approx(truth.width, rel=0.25)
    assert find_detector(name)(torch.full((3, 240, 320), 0.5)) == []
