"""How strong a displacement is, asked of the pictures once its shape is known."""

import pytest
import torch
from magplus.models.lkmag.level import reference_level
from magplus.models.lkmag.strength import CLEAR, fitted

SIZE = 96
NOISE = 1e-4


@pytest.fixture(scope="module")
def slopes():
    picture = 0.1 * torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    small = torch.full((1, 1, 1, 1), 1e-6)
    return reference_level(picture, damping=1e-6, least_noise=small).slopes(small)


def push(strength):
    line = torch.arange(SIZE) - SIZE / 2
    bump = torch.exp(-(line[:, None].square() + line.square()) / (2 * 12.0**2))
    return strength * torch.stack([bump, -0.5 * bump])[None]


def refit(slopes, found, true, *, error=1.0, noise=NOISE):
    seen = slopes.windows.changed_by(true)
    return fitted(found, slopes, seen, torch.full((1, 1, 1, 1), noise), torch.full((1, 1, SIZE, SIZE), error))


@pytest.mark.parametrize("flattened", [0.8, 1.0, 1.25])
def test_a_flattened_motion_gets_its_strength_back(slopes, flattened):
    true = push(0.5)
    assert torch.allclose(refit(slopes, flattened * true, true), true, atol=0.01)


def test_two_motions_far_apart_have_strengths_of_their_own(slopes):
    left, right = push(0.5).roll(-40, 3), push(0.5).roll(40, 3)
    found = refit(slopes, 0.8 * left + right, left + right)
    assert torch.allclose(found, left + right, atol=0.04)


def test_nothing_is_asked_of_noise(slopes):
    """What a motion changes is a hundredth of what would be clear."""
    true = push(0.5)
    power = float((true * slopes.windows.changed_by(true)).sum())
    found = refit(slopes, 0.8 * true, true, noise=100 * power / CLEAR)
    assert torch.allclose(found, 0.8 * true, atol=0.005)


def test_what_is_sure_stays_as_it_is(slopes):
    true = push(0.5)
    assert torch.allclose(refit(slopes, 0.8 * true, true, error=0.0), 0.8 * true)
    assert not refit(slopes, 0 * true, true).any(), "no motion has no strength"
