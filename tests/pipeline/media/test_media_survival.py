"""What every format leaves of a motion of 0.02 and of 0.2 px, by Farneback's flow."""

import cv2
import numpy as np
import pytest
import synth
import torch
from magplus.models.errors import MagPlusError
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.media import FORMATS, ClipWriter, motion_survival, open_clip

SIZE = (128, 160)
BORDER = 16
"""Farneback's flow jumps where it points across the border, by more than the motion measured here."""


def flow(reference, frames):
    def grey(frame):
        return (frame.mean(dim=0) * 255).numpy()

    fields = [
        cv2.calcOpticalFlowFarneback(grey(reference), grey(frame), None, 0.5, 4, 21, 10, 7, 1.5, 0) for frame in frames
    ]
    return torch.from_numpy(np.stack(fields)).permute(0, 3, 1, 2)[..., BORDER:-BORDER, BORDER:-BORDER]


@pytest.fixture(scope="module")
def clips():
    def moved(peak):
        field = synth.total(synth.bump(60, 70, 16, peak, -0.5 * peak), synth.bump(105, 55, 14, -0.6 * peak, 0.4 * peak))
        return TensorClip(synth.clip(field, synth.micro_motion(9), size=SIZE).clamp(0, 1))

    return {peak: moved(peak) for peak in (0.02, 0.2)}


def survives(clip, path, format):
    with ClipWriter(path, rate=25, format=format) as writer:
        for chunk in clip.chunks():
            writer.write(chunk)
    return motion_survival(clip, open_clip(path), flow)


GAINS = {
    ("npy", 0.02): (1.0, 1.0),
    ("npy", 0.2): (1.0, 1.0),
    ("ffv1", 0.02): (0.999, 1.001),
    ("ffv1", 0.2): (0.999, 1.001),
    ("png16", 0.02): (0.999, 1.001),
    ("ffv1_8bit", 0.02): (0.9, 1.1),
    ("ffv1_8bit", 0.2): (0.95, 1.05),
    ("h264_444", 0.02): (0.9, 1.1),
    ("h264_444", 0.2): (0.97, 1.03),
    ("h264", 0.02): (-0.05, 0.05),
    ("h264", 0.2): (0.0, 0.6),
}
"""Measured 1.000, 1.000, 1.000, 1.000, 1.000, 0.978, 1.017, 1.038, 1.005, 0.000, 0.256."""

RESIDUALS_PX = {"npy": 0.0, "ffv1": 1e-4, "png16": 1e-4, "ffv1_8bit": 0.004, "h264_444": 0.003}


@pytest.mark.parametrize(("name", "peak"), GAINS)
def test_what_survives_of_a_motion(clips, tmp_path, name, peak):
    format = FORMATS[name]
    found = survives(clips[peak], tmp_path / ("clip" + format.suffixes[0]), format)
    low, high = GAINS[name, peak]
    assert low <= found.gain <= high
    assert found.residual_px <= RESIDUALS_PX.get(name, 0.05)
    assert found.psnr_db > {"h264": 38, "ffv1_8bit": 58, "h264_444": 60}.get(name, 100)


def test_the_gain_is_the_factor_between_two_motions(clips):
    """Truth instead of a format: displacement handed out by frame number."""
    field = torch.rand(1, 2, *SIZE)

    def tenth(reference, frames):
        return field * frames[:, :1, :1, :1].clone()

    single = TensorClip(torch.linspace(0, 0.4, 5).view(5, 1, 1, 1).expand(5, 3, *SIZE))
    double = TensorClip(single.frames * 2)
    found = motion_survival(single, double, tenth)
    assert found.gain == pytest.approx(2, abs=1e-6)
    assert found.residual_px == pytest.approx(0, abs=1e-4)
    assert found.psnr_db == pytest.approx(-10 * np.log10(float(single.frames.square().mean())), abs=1e-3)
    still = motion_survival(TensorClip(single.frames * 0), single, tenth)
    assert np.isnan(still.gain)


def test_clips_that_do_not_match_are_refused(clips):
    clip = clips[0.2]
    with pytest.raises(MagPlusError, match="differ in length: one ends after 7 frames"):
        motion_survival(clip, TensorClip(clip.frames[:7]), flow)
    with pytest.raises(MagPlusError, match="one size"):
        motion_survival(clip, TensorClip(clip.frames[..., :-1]), flow)
