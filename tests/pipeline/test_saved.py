"""A clip saved twice, and what is measured of the preview."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import synth
import torch
from magplus.models.errors import MagPlusError
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.media import open_clip
from magplus.pipeline.saved import MASTERS, SAMPLED_PX, _busiest, save_clip


@pytest.fixture(scope="module")
def clip():
    field = synth.bump(34, 30, 12, 0.8, -0.6)
    return TensorClip(synth.clip(field, synth.micro_motion(20), (60, 64)), Fraction(50))


def test_a_lossless_preview_would_keep_all_motion(clip, tmp_path, monkeypatch):
    """The measurement itself takes nothing away: written without loss, the gain is 1."""
    monkeypatch.setattr("magplus.pipeline.saved.H264", MASTERS["h264_444"])
    saved = save_clip(clip, tmp_path / "clip_", master=MASTERS["ffv1"], reference=0)
    assert saved.survival.gain == pytest.approx(1, abs=0.03)
    assert saved.survival.psnr_db > 55


def test_the_reference_need_not_be_the_first_frame(clip, tmp_path):
    saved = save_clip(clip, tmp_path / "clip_", master=MASTERS["ffv1"], reference=7)
    assert 0.3 < saved.survival.gain < 1.2
    with pytest.raises(MagPlusError, match="no frame 20"):
        save_clip(clip, tmp_path / "other_", master=MASTERS["ffv1"], reference=20)


def test_stills_have_no_motion_to_lose(tmp_path):
    still = TensorClip(torch.rand(1, 3, 32, 32).expand(3, -1, -1, -1))
    saved = save_clip(still, tmp_path / "still_", master=MASTERS["h264"], reference=0)
    assert math.isnan(saved.survival.gain)
    assert saved.preview == saved.master
    assert sorted(path.name for path in tmp_path.iterdir()) == ["still_.mp4", "still_.mp4.json"]


def test_nothing_is_replaced(clip, tmp_path):
    (tmp_path / "clip_preview.mp4").write_bytes(b"mine")
    with pytest.raises(MagPlusError, match=r"clip_preview\.mp4 exists"):
        save_clip(clip, tmp_path / "clip_", master=MASTERS["ffv1"])
    assert (tmp_path / "clip_preview.mp4").read_bytes() == b"mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_clip_that_breaks_leaves_nothing(clip, tmp_path):
    class Broken(TensorClip):
        def chunks(self, size=4):
            yield self.frames[:4]
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        save_clip(Broken(clip.frames), tmp_path / "clip_", master=MASTERS["ffv1"])
    assert list(tmp_path.iterdir()) == []


def test_both_files_hold_the_same_frames(clip, tmp_path):
    saved = save_clip(clip, tmp_path / "clip_", master=MASTERS["ffv1"])
    for path, error in ((saved.master, 1e-4), (saved.preview, 0.03)):
        back = open_clip(path)
        assert back.info.count == 20
        assert back.info.rate == 50
        frames = torch.cat(list(back.chunks()))
        assert (frames - clip.frames.clamp(0, 1)).abs().mean() < error


def test_the_window_lies_where_most_changes():
    frames = torch.zeros(3, 3, 40, 3 * SAMPLED_PX)
    frames[1:, :, 10:20, 2 * SAMPLED_PX + 100 : 2 * SAMPLED_PX + 300] = 1
    top, left, height, width = _busiest(TensorClip(frames), [0, 1, 2], 0)
    assert (top, height, width) == (0, 40, SAMPLED_PX)
    assert left <= 2 * SAMPLED_PX + 100
    assert left + width >= 2 * SAMPLED_PX + 300
