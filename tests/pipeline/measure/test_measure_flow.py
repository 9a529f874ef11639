"""The report's estimator against the true displacement of continuous textures."""

import numpy as np
import pytest
import synth
import torch
from magplus.models.errors import MagPlusError
from magplus.pipeline.measure.flow import dense_displacement


def _gain(field, size=96, seed=0, noise=0.0):
    clip = synth.clip(field, np.array([0.0, 1.0]), (size, size), seed=seed, noise=noise)
    truth = synth.displacement(field, size, size)
    found = dense_displacement(clip[0], clip[1:])[0]
    return float((found * truth).sum() / (truth**2).sum())


@pytest.mark.parametrize(
    ("sigma", "amount", "tolerance"), [(20, 0.1, 0.03), (12, 0.1, 0.04), (12, 1, 0.04), (14, 8, 0.03)]
)
def test_a_push_is_measured_at_its_size(sigma, amount, tolerance):
    found = _gain(synth.bump(45.3, 50.2, sigma, 0.8 * amount, -0.6 * amount))
    assert found == pytest.approx(1, abs=tolerance)


def test_axes_and_signs():
    size = 96
    clip = synth.clip(synth.shift(0.7, -0.3), np.array([0.0, 1.0]), (size, size))
    inner = dense_displacement(clip[0], clip[1:])[0, :, 24:-24, 24:-24]
    assert inner[0].mean() == pytest.approx(0.7, abs=0.02)
    assert inner[1].mean() == pytest.approx(-0.3, abs=0.02)


def test_float_pictures_are_not_rounded():
    """0.02 px changes no pixel of this texture by a whole 8-bit step, and is still seen."""
    field = synth.bump(48, 48, 16, 0.02, 0)
    clip = synth.clip(field, np.array([0.0, 1.0]), (96, 96))
    assert (clip[1] - clip[0]).abs().max() < 1 / 255
    assert _gain(field) == pytest.approx(1, abs=0.03)


def test_noise_costs_precision_but_not_size():
    field = synth.bump(48, 48, 16, 0.6, 0.8)
    found = [_gain(field, seed=seed, noise=0.01) for seed in range(4)]
    assert np.mean(found) == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("size", [16, 17, 32, 63])
def test_small_pictures(size):
    found = _gain(synth.shift(0.6, 0.8), size=size)
    assert found == pytest.approx(1, abs=0.1 if size < 32 else 0.05)


def test_the_same_picture_has_not_moved():
    frame = synth.clip(synth.shift(0, 0), np.zeros(1), (48, 64))
    assert dense_displacement(frame[0], frame).abs().max() < 1e-3
    assert dense_displacement(frame[0], frame[:0]).shape == (0, 2, 48, 64)


def test_frames_do_not_disturb_each_other():
    clip = synth.clip(synth.bump(30, 30, 10, 1, 0), np.array([0.0, 1.0, -2.0]), (64, 64))
    together = dense_displacement(clip[0], clip)
    alone = torch.cat([dense_displacement(clip[0], frame[None]) for frame in clip])
    assert torch.equal(together, alone)


def test_wrong_sizes_are_named():
    with pytest.raises(MagPlusError, match="40x32"):
        dense_displacement(torch.zeros(3, 32, 40), torch.zeros(1, 3, 32, 32))
    with pytest.raises(MagPlusError, match="at least 16"):
        dense_displacement(torch.zeros(3, 15, 40), torch.zeros(1, 3, 15, 40))
