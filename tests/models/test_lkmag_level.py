"""What lkmag knows of noise: in the reference's slopes, in its windows, and in steps of 8 bits."""

import pytest
import synth
import torch
from magplus.models.filters import halve, wide_blur
from magplus.models.lkmag.level import HALVED, WHITE, WINDOWS_PX, ReferenceLevel, reference_level, rounding_noise
from magplus.models.lkmag.network import LKMag
from magplus.models.lkmag.weigher import WindowWeigher
from magplus.models.sampling import spline_gradient

SIZE = 128
NONE = torch.zeros(1, 1, 1, 1)


def picture(field, seed=3, contrast=1.0):
    rendered = synth.render(synth.Texture(seed), field, SIZE, SIZE)[None]
    return 0.5 + contrast * (rendered - 0.5)


def noise_like(images, sigma, seed=0):
    return sigma * torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))


def level_of(image, halvings=0):
    return reference_level(image, damping=1e-6, least_noise=rounding_noise(image), halvings=halvings)


def test_slopes_of_a_clean_picture_are_the_splines():
    image = picture(synth.shift(0, 0))
    slopes = level_of(image).slopes(NONE)
    assert torch.allclose(slopes.x, spline_gradient(image, 3), atol=2e-5)
    assert torch.allclose(slopes.y, spline_gradient(image, 2), atol=2e-5)


@pytest.mark.parametrize(("halvings", "spectrum"), [(0, WHITE), (3, HALVED)])
def test_slopes_of_noise_alone_vanish_and_are_known_for_noise(halvings, spectrum):
    noise = noise_like(torch.empty(1, 3, 1024, 1024), 0.02)
    for _ in range(halvings):
        noise = halve(noise)
    level, sigma = level_of(0.5 + noise, halvings), noise.std().view(1, 1, 1, 1)
    slopes, plain = level.slopes(2 * sigma**2), level.slopes(NONE)
    left, all_of_it = (part.x.square().sum(1).mean() for part in (slopes, plain))
    assert left < 0.03 * all_of_it
    assert slopes.made_up.mean() > left
    energies = [float(band.energy.mean() / sigma**2) for band in level.bands]
    assert energies == pytest.approx(spectrum.variances, rel=0.1)
    squares = [float(x.square().mean() / sigma**2) for x in (*(band.x for band in level.bands), level.rest_x)]
    assert squares == pytest.approx(spectrum.slopes, rel=0.15)


def test_motion_of_faint_texture_is_shrunk_less_and_found_better_by_calmed_slopes(monkeypatch):
    """Windows that may not stay show what they find; the network's rule then tells it from noise."""
    field = synth.bump(64, 60, 14, 0.3, -0.2)
    still, moved = (picture(f, contrast=0.3) for f in (synth.shift(0, 0), field))
    truth = synth.displacement(field, SIZE, SIZE)[None]
    ruled = LKMag(weigher=WindowWeigher())
    pairs = [(still + noise_like(still, 0.01, s), moved + noise_like(still, 0.01, 50 + s)) for s in range(3)]
    calmed, gains, errors = ReferenceLevel.slopes, [], []
    for slopes in (calmed, lambda level, noise: calmed(level, 0 * noise)):
        monkeypatch.setattr(ReferenceLevel, "slopes", slopes)
        shown, found = (
            torch.cat([m.displacement(m.prepare(a[0]), b).detach() for a, b in pairs])
            for m in (ruled.measurer(), ruled)
        )
        gains.append((shown * truth).sum() / (3 * truth.square().sum()))
        errors.append((found - truth).square().mean().sqrt())
    assert 1 > gains[0] > gains[1] + 0.03
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.parametrize(("size", "sigma"), [(20, 9.6), (64, 2.4)])
def test_windows_know_how_little_they_average_at_borders(size, sigma):
    noise = noise_like(torch.empty(4000, 1, size, size), 1.0)
    pixels = level_of(torch.rand(1, 3, size, size)).pixels[WINDOWS_PX.index(sigma)]
    measured = 1 / wide_blur(noise, sigma).square().mean((0, 1))
    assert torch.allclose(measured[::7, ::7], pixels[::7, ::7], rtol=0.15)
    assert pixels[0, 0] < 0.5 * 4 * torch.pi * sigma**2
