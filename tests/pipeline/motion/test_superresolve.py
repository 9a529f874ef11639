"""Windows, overlaps and blending, around a resolver that says which frames it saw together."""

from fractions import Fraction

import pytest
import torch
from magplus.models.errors import MagPlusError
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.motion.superresolve import superresolve


class Spy:
    """Each picture is its frame plus 0.1 for every window before."""

    def __init__(self):
        self.seen = []

    def __call__(self, frames):
        window = len(self.seen)
        self.seen.append([round(float(frame.mean()) * 100) for frame in frames])
        for frame in frames:
            yield frame[None] + 0.1 * window


def clip(count):
    return TensorClip((torch.arange(count) / 100).view(-1, 1, 1, 1).expand(-1, 3, 4, 4), rate=Fraction(25))


def run(count, **how):
    spy = Spy()
    pictures = list(superresolve(clip(count), spy, **how))
    assert all(picture.shape == (1, 3, 4, 4) for picture in pictures)
    return spy.seen, [float(picture.mean()) for picture in pictures]


@pytest.mark.parametrize(
    ("count", "windows"),
    [(5, [[0, 1], [2, 3], [4]]), (4, [[0, 1], [2, 3]]), (1, [[0]])],
)
def test_upstreams_windows(count, windows):
    seen, made = run(count, window=2)
    assert seen == windows
    assert made == pytest.approx([t / 100 + 0.1 * (t // 2) for t in range(count)])


@pytest.mark.parametrize("count", [4, 5, 6, 7, 8, 9])
def test_overlapping_windows_hand_over_step_by_step(count):
    seen, made = run(count, window=4, overlap=2)
    assert all(len(window) <= 4 for window in seen)
    assert sorted({frame for window in seen for frame in window}) == list(range(count))
    assert len(made) == count, "every frame once"
    if count > 5:
        assert seen[1][:2] == [2, 3]
        assert made[2] == pytest.approx(0.02 + 0.1 / 3)
        assert made[3] == pytest.approx(0.03 + 0.2 / 3)


def test_ticks_and_bad_numbers():
    ticks = []
    list(superresolve(clip(3), Spy(), window=2, progress=lambda *tick: ticks.append(tick[:3])))
    assert ticks == [("superresolve", done, 3) for done in (1, 2, 3)]
    for how in ({"window": 4, "overlap": 3}, {"window": 0}, {"overlap": -1}):
        with pytest.raises(MagPlusError, match="at most half"):
            list(superresolve(clip(3), Spy(), **how))
