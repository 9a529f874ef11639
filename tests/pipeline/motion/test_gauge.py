"""What a clip's motion and noise are, from the fields that its magnification needs anyway."""

from __future__ import annotations

from fractions import Fraction

import pytest
import synth
import torch
from magplus.models.geometry import FaceBox
from magplus.models.lkmag import arch
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.measure import measure_clip, measure_fields
from magplus.pipeline.motion.gauge import NOISE, MotionGauge
from magplus.pipeline.motion.magnify import estimator_of, magnify

SIZE, COUNT = (112, 112), 20
BOX = FaceBox(cx=54, cy=56, width=90, height=90)
FIELD = synth.total(synth.bump(42, 50, 13, 0.5, -0.35), synth.bump(75, 75, 11, -0.3, 0.3))


def clip(strength, noise, seed=3):
    frames = synth.clip(synth.scaled(FIELD, strength), synth.micro_motion(COUNT), SIZE, seed=seed, noise=noise)
    return TensorClip((frames.clamp(0, 1) * 255).round() / 255, rate=Fraction(25))


def gauged(clip, box=BOX, magnifier=None, **about):
    with MotionGauge(clip.info, box) as gauge:
        out = torch.cat(list(magnify(clip, magnifier or arch.builtin(), alpha=4.0, watch=gauge, **about)))
        return out, gauge.curve(), gauge.told(warn=True)


def test_a_still_clip_with_noise_is_warned_of_and_a_moving_one_is_not(caplog):
    caplog.set_level("INFO", logger="magplus")
    assert NOISE in gauged(clip(0.0, 0.02))[2] and caplog.records[-1].levelname == "WARNING"
    text = gauged(clip(1.0, 0.01))[2]
    assert NOISE not in text and " x noise (" in text and caplog.records[-1].levelname == "INFO"
    assert caplog.records[-1].getMessage() == text


def test_the_numbers_are_those_of_the_motion_and_of_the_measurer():
    noisy = clip(1.0, 0.01)
    _, curve, text = gauged(noisy)
    strengths = synth.micro_motion(COUNT)
    fields = torch.stack([synth.displacement(synth.scaled(FIELD, float(s)), *SIZE) for s in strengths])
    truth = measure_fields([fields], box=BOX, rate=noisy.rate)
    measured = measure_clip(noisy, BOX, estimator=estimator_of(arch.builtin()))
    assert curve.peak_pct_face == pytest.approx(truth.peak_pct_face, rel=0.15)
    assert curve.noise_floor_px == pytest.approx(measured.noise_floor_px, rel=0.5)
    assert f"{curve.peak_px:.3g} px ({curve.peak_pct_face:.3g} % of the face width)" in text


def test_the_noise_is_that_before_the_network_has_calmed_it():
    """The trained network shrinks noise for the picture's sake; what it leaves would pass for a clip without noise."""
    still, network = clip(0.0, 0.02), arch.builtin()
    frames = still.frames[1:5]
    shrunk, aside = network.displacements(network.prepare(still.frame(0)), frames)
    prior = network.measurer()
    measured, same = prior.displacements(prior.prepare(still.frame(0)), frames)
    assert torch.equal(measured, same)
    assert torch.equal(shrunk, network.displacement(network.prepare(still.frame(0)), frames))
    powers = [float(fields.square().mean()) for fields in (shrunk, aside, measured)]
    assert powers[0] < 0.5 * powers[1] and powers[1] > 0.2 * powers[2], powers
    seen = []
    next(magnify(still, network, alpha=4.0, watch=lambda fields, *_: seen.append(fields)))
    assert torch.allclose(seen[0][1:], aside[:3], atol=1e-4)


def test_watching_changes_no_bit():
    given = clip(1.0, 0.01)
    assert torch.equal(gauged(given)[0], torch.cat(list(magnify(given, arch.builtin(), alpha=4.0))))


def test_only_what_is_magnified_is_told():
    """The other half of the face moves, the masked one does not."""
    frames = synth.clip(synth.bump(30, 56, 9, 0.8, 0.4), synth.micro_motion(8), SIZE, seed=5, noise=0.01)
    half, other = torch.zeros(SIZE), torch.zeros(SIZE)
    half[40:72, 78:98], other[40:72, 14:46] = 1, 1
    moving = TensorClip(frames)
    still, moved = (gauged(moving, mask=mask)[1] for mask in (half, other))
    assert still.peak_px < 0.15 * moved.peak_px
    text = gauged(moving, None, mask=other)[2]
    assert NOISE not in text and "of the width of what is magnified" in text


def test_what_tells_no_displacement_is_not_told_of():
    class Blind:
        name, alpha_range = "blind", arch.builtin().alpha_range

        def __init__(self):
            inner = arch.builtin()
            self.prepare, self.run = inner.prepare, inner.run

    assert gauged(TensorClip(clip(1.0, 0.0).frames[:3]), magnifier=Blind())[1:] == (None, None)
    assert gauged(TensorClip(clip(1.0, 0.0).frames[:2]))[2].endswith("too few frames to know the noise.")


@pytest.mark.parametrize("mask", [None, "soft"])
def test_the_same_motion_in_a_part_of_a_larger_picture(mask):
    """A box is a place on the clip, whichever part of it the magnifier sees."""
    frames = torch.stack([
        synth.render(synth.Texture(3, waves=20), synth.scaled(synth.bump(60, 310, 14, 0.6, 0.0), float(s)), 368, 368)
        for s in synth.micro_motion(5)
    ])  # fmt: skip
    at = torch.zeros(368, 368)
    at[280:340, 30:90] = 1
    box = FaceBox(cx=60, cy=310, width=60, height=60)
    _, curve, _ = gauged(TensorClip(frames), box, mask=at if mask else None)
    assert curve.peak_px == pytest.approx(0.5, rel=0.2)
