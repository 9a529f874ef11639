"""One face through a clip with several, and with gaps."""

import pytest
from magplus.models.errors import MagPlusError
from magplus.models.geometry import FaceBox
from magplus.pipeline.face.track import FaceChoice, follow, name_frames, with_missing


def face(cx, width=40.0, cy=50.0, angle=0.0):
    return FaceBox(cx=cx, cy=cy, width=width, height=1.2 * width, angle_deg=angle)


LEFT, MIDDLE, RIGHT = face(50), face(150, 60), face(250, 50)
THREE = [RIGHT, LEFT, MIDDLE]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (FaceChoice(), MIDDLE),
        (FaceChoice(which="from left", index=0), LEFT),
        (FaceChoice(which="from left", index=2), RIGHT),
        (FaceChoice(which="nearest to point", point=(260, 40)), RIGHT),
    ],
)
def test_the_choice_of_a_face(choice, expected):
    assert choice.of(THREE) is expected
    assert follow([THREE] * 3, choice) == [expected] * 3


def test_another_face_does_not_take_the_place_of_a_hidden_one():
    frames = [THREE, [LEFT, RIGHT], [LEFT], THREE]
    assert follow(frames, FaceChoice()) == [MIDDLE, None, None, MIDDLE]


def test_index_two_may_be_missing_in_some_frames():
    frames = [[LEFT], THREE, [LEFT, MIDDLE], THREE]
    assert follow(frames, FaceChoice(which="from left", index=2)) == [None, RIGHT, None, RIGHT]


def test_it_stays_the_same_face_when_another_one_grows():
    growing = [[face(50, 40), face(200, 20 + 10 * k)] for k in range(6)]
    assert [box.cx for box in follow(growing, FaceChoice())] == [50] * 6
    assert [box.cx for box in follow(growing, FaceChoice(), start=5)] == [200] * 6


def test_a_walking_face_is_followed_and_found_again_after_a_gap():
    frames = [[face(50 + 9 * k)] if not 4 <= k <= 7 else [] for k in range(12)]
    track = follow(frames, FaceChoice(), start=9)
    assert [box and box.cx for box in track] == [50 + 9 * k if not 4 <= k <= 7 else None for k in range(12)]


GAPS = [None, face(10), None, None, face(40, angle=170), None]


def test_hold_takes_the_last_box_and_at_the_beginning_the_first():
    assert [box.cx for box in with_missing(GAPS, "hold")] == [10, 10, 10, 10, 40, 40]


def test_interpolate_goes_straight_and_turns_the_short_way():
    track = with_missing([None, face(10, angle=-170), None, None, face(40, angle=160), None], "interpolate")
    assert [box.cx for box in track] == pytest.approx([10, 10, 20, 30, 40, 40])
    assert [box.angle_deg for box in track[1:4]] == pytest.approx([-170, -180, -190])


def test_pass_leaves_the_gaps_and_stop_names_them():
    assert with_missing(GAPS, "pass") == GAPS
    with pytest.raises(MagPlusError, match=r"No face in frames 0, 2-3, 5 of 6\. .*missing_face to 'hold'"):
        with_missing(GAPS, "stop")
    whole = [face(1), face(2)]
    assert with_missing(whole, "stop") == whole


@pytest.mark.parametrize("policy", ["hold", "interpolate", "pass", "stop"])
def test_a_clip_without_any_face_is_an_error(policy):
    with pytest.raises(MagPlusError, match="No face in any of the 3 frames"):
        with_missing([None] * 3, policy)


def test_frames_in_words():
    assert name_frames([7]) == "frame 7"
    assert name_frames([1, 2, 3, 9]) == "frames 1-3, 9"
