"""Boxes from MediaPipe's landmarks as ComfyUI's node gives them."""

import numpy as np
import pytest
from magplus.models.errors import MagPlusError
from magplus.pipeline.face.landmarks import MESH, box_from_landmarks, landmark_faces

SPOTS = {
    "left eye": (-20, -10), "right eye": (20, -10), "left brow": (-20, -22), "right brow": (20, -22),
    "left side": (-45, -5), "right side": (45, -5), "top": (0, -60), "chin": (0, 60), "nose root": (0, -12),
    "nose base": (0, 20), "left mouth corner": (-16, 35), "right mouth corner": (16, 35),
}  # fmt: skip


def mesh(angle_deg=0.0, centre=(150, 120), points=478):
    """A face mesh with the named points where SPOTS has them, turned about its centre."""
    out = np.zeros((points, 2))
    for name, indices in MESH.items():
        out[list(indices)] = SPOTS[name]
    turn = np.radians(angle_deg)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return out @ rotation.T + np.array(centre)


@pytest.mark.parametrize("angle", [0, 20, -35])
def test_the_box_reaches_from_ear_to_ear_and_from_hairline_to_chin(angle):
    box = box_from_landmarks(mesh(angle))
    assert (box.cx, box.cy) == pytest.approx((150, 120))
    assert (box.width, box.height) == pytest.approx((90, 120))
    assert box.angle_deg == pytest.approx(angle)


def test_frames_and_faces_are_kept_and_one_frame_serves_all():
    face = {"landmarks_xy": mesh().astype(np.float32), "score": 1.0}
    frames = landmark_faces({"frames": [[face, face], []], "image_size": (240, 300)}, 2)
    assert [len(faces) for faces in frames] == [2, 0]
    assert len(landmark_faces({"frames": [[face]]}, 5)) == 5


def test_what_are_no_landmarks_is_said():
    for value, words in [
        ("text", "none that are known"),
        ({"frames": [[{"points": 1}]]}, "none that are known"),
        ({"frames": [[{"landmarks_xy": np.zeros((68, 2))}]]}, "468 points"),
        ({"frames": [[]] * 3}, "3 frames"),
    ]:
        with pytest.raises(MagPlusError, match=words):
            landmark_faces(value, 2)
