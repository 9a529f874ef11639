"""What cameras make of a clip: noise of the size they say, rounding, and a codec that is the same every time."""

import numpy as np
import pytest
import synth
import torch
from magplus.pipeline.train.cameras import taken, through_codec
from magplus.pipeline.train.surveys import ALWAYS, OTHERS

SIZE = 64


@pytest.fixture(scope="module")
def clip():
    fields = [synth.shift(0.4 * part, 0.0) for part in (0.0, 0.5, 1.0)]
    return torch.stack([synth.render(synth.Texture(3), field, SIZE, SIZE) for field in fields])


@pytest.mark.parametrize("camera", sorted({*ALWAYS, *OTHERS}))
def test_a_camera_gives_pictures_of_the_same_scene_and_the_same_every_time(clip, camera):
    seen = taken(np.random.default_rng(2), clip, camera)
    assert seen.shape == clip.shape and seen.min() >= 0 and seen.max() <= 1
    assert torch.equal(seen, taken(np.random.default_rng(2), clip, camera))
    off = (seen - clip).square().mean().sqrt()
    assert (off == 0) == (camera == "clean") and off < 0.08


def test_rounding_is_to_eight_bits_and_noise_is_white(clip):
    levels = 255 * taken(np.random.default_rng(0), clip, "8 bit")
    assert (levels - levels.round()).abs().max() < 1e-4
    off = taken(np.random.default_rng(0), clip, "noise") - clip
    assert (off[0] * off[1]).mean().abs() < 0.05 * off.square().mean()


def test_a_codec_takes_options_and_loses_more_with_less_bits(clip):
    fine, coarse = (through_codec(clip, {"crf": crf}) for crf in ("10", "40"))
    assert (coarse - clip).square().mean() > 2 * (fine - clip).square().mean()
