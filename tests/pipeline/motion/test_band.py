"""Band-pass of a motion: its response, its ends, and what is magnified."""

from fractions import Fraction

import numpy as np
import pytest
import synth
import torch
from magplus.models.errors import MagPlusError
from magplus.models.lkmag import arch
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.motion.band import Band, filtered
from magplus.pipeline.motion.magnify import magnify

RATE = Fraction(50)


def response(band, hz):
    taps = np.array(band.taps(RATE))
    return taps[0] + 2 * (taps[1:] * np.cos(2 * np.pi * hz / float(RATE) * np.arange(1, len(taps)))).sum()


@pytest.mark.parametrize(
    ("band", "kept", "removed"),
    [
        (Band(low_hz=4, high_hz=10), (5.5, 7, 8.5), (0, 1, 2, 14, 20)),
        (Band(high_hz=5), (0, 1, 3), (8, 15, 25)),
        (Band(low_hz=5), (7.5, 12, 25), (0, 1, 2)),
        (Band(), (0, 3, 25), ()),
    ],
)
def test_the_response_is_one_in_the_band_and_zero_outside(band, kept, removed):
    assert [response(band, hz) for hz in kept] == pytest.approx([1] * len(kept), abs=0.03)
    assert [response(band, hz) for hz in removed] == pytest.approx([0] * len(removed), abs=0.03)


def test_what_stands_still_gives_exactly_nothing_where_the_band_has_a_lower_edge():
    assert response(Band(low_hz=3, high_hz=9), 0) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("count", [1, 2, 7, 25, 26, 27, 80])
def test_a_series_is_filtered_as_if_it_were_held_whole(count):
    series = np.random.default_rng(count).normal(size=count)
    taps = Band(low_hz=4, high_hz=10).taps(RATE)
    half = len(taps) - 1
    assert half == 25
    padded = np.pad(series, half, mode="reflect") if count > 1 else np.repeat(series, 2 * half + 1)
    expected = np.convolve(padded, np.array(taps[:0:-1] + taps), mode="valid")
    pairs = list(filtered((torch.tensor([v]) for v in series), taps))
    assert [float(value) for value, _ in pairs] == pytest.approx(series.tolist())
    assert [float(band) for _, band in pairs] == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    "band", [Band(low_hz=30), Band(low_hz=2, high_hz=26), Band(low_hz=5, high_hz=4), Band(low_hz=-1), Band(low_hz=0.1)]
)
def test_bands_that_the_rate_cannot_show_are_refused(band):
    with pytest.raises(MagPlusError, match="Hz"):
        band.taps(RATE)


def test_only_the_motion_in_the_band_is_magnified():
    time = np.arange(40) / float(RATE)
    slow, fast = 0.4 * np.sin(2 * np.pi * 1.25 * time), 0.2 * np.sin(2 * np.pi * 10 * time)
    texture, size, alpha = synth.Texture(3), (40, 80), 5.0
    left, right = synth.bump(20, 20, 7, 1, 0.5), synth.bump(60, 20, 7, 0.5, 1)

    def frame(a, b):
        return synth.render(texture, synth.total(synth.scaled(left, a), synth.scaled(right, b)), *size)

    clip = TensorClip(torch.stack([frame(a, b) for a, b in zip(slow, fast, strict=True)]), rate=RATE)
    out = torch.cat(list(magnify(clip, arch.builtin(), alpha=alpha, band=Band(low_hz=5, high_hz=15))))
    middle = slice(12, 28)
    truth = torch.stack([frame(a, alpha * b) for a, b in zip(slow, fast, strict=True)])[middle]
    error = (out[middle] - truth).square().mean().sqrt()
    assert error < 0.15 * (clip.frames[middle] - truth).square().mean().sqrt()
    assert len(out) == 40


def test_a_band_needs_a_magnifier_that_tells_the_displacement():
    class Blind:
        name = "blind"
        alpha_range = arch.builtin().alpha_range

        def prepare(self, reference, alpha):
            return None

    with pytest.raises(MagPlusError, match="blind"):
        list(magnify(TensorClip(torch.rand(3, 3, 20, 20)), Blind(), alpha=2.0, band=Band(high_hz=5)))
