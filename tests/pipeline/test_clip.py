"""Clips in memory and on disk."""

from fractions import Fraction

import pytest
import torch
from magplus.models.errors import MagPlusError
from magplus.pipeline.clip import SpooledClip, TensorClip


def test_a_spooled_clip_gives_back_its_frames(tmp_path):
    frames = torch.rand(7, 3, 20, 31)
    clip = SpooledClip.of(frames.split(3), rate=Fraction(200), folder=tmp_path)
    assert (clip.info.count, clip.info.height, clip.info.width, clip.info.rate) == (7, 20, 31, 200)
    for _ in range(2):
        assert (torch.cat(list(clip.chunks(4))) - frames).abs().max() < 1e-5
    assert (clip.frame(5) - frames[5]).abs().max() < 1e-5
    clip.close()


def test_a_spooled_clip_leaves_no_file_behind(tmp_path):
    clip = SpooledClip.of(torch.rand(2, 3, 16, 16).split(1), rate=Fraction(25), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    clip.close()

    def broken():
        yield torch.rand(1, 3, 16, 16)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SpooledClip.of(broken(), rate=Fraction(25), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_mixed_sizes_and_wrong_indices_are_refused(tmp_path):
    with pytest.raises(MagPlusError, match="change size"):
        SpooledClip.of([torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 17)], rate=Fraction(25), folder=tmp_path)
    clip = TensorClip(torch.rand(4, 3, 16, 16), name="walk")
    for index in (-1, 4):
        with pytest.raises(MagPlusError, match="walk has no frame"):
            clip.frame(index)
