"""The magnifier against exactly rendered truth."""

import pytest
import synth
import torch
from magplus.models.checkpoint import sha256_of
from magplus.models.errors import MagPlusError
from magplus.models.lkmag import arch
from magplus.models.lkmag.network import LKMag
from magplus.models.lkmag.refiner import Refiner
from magplus.models.lkmag.weigher import WindowWeigher

SIZE = 128
FIELD = synth.total(synth.bump(45, 50, 9, 0.6, 0.8), synth.bump(90, 80, 12, -0.7, 0.3), synth.shift(0.1, -0.08))


def pair(field, noise=0.0, seed=3):
    texture = synth.Texture(seed)
    still = synth.render(texture, synth.shift(0, 0), SIZE, SIZE)
    moved = synth.render(texture, field, SIZE, SIZE)
    noisy = [picture + noise * torch.randn_like(picture) for picture in (still, moved)]
    return noisy[0], noisy[1][None], texture


def psnr(a, b):
    return float(-10 * torch.log10((a - b).square().mean()))


@pytest.mark.parametrize(
    ("peak_px", "noise", "bound_px", "bound_gain"),
    [(0.05, 0.0, 0.003, 0.02), (0.5, 0.0, 0.01, 0.02), (4.0, 0.0, 0.08, 0.02), (0.5, 0.01, 0.06, 0.17)],
)
def test_the_displacement_is_sub_pixel_exact(peak_px, noise, bound_px, bound_gain):
    field = synth.scaled(FIELD, peak_px)
    still, moved, _ = pair(field, noise)
    magnifier = arch.builtin()
    measured = magnifier.displacement(magnifier.prepare(still), moved)[0]
    truth = synth.displacement(field, SIZE, SIZE)
    assert (measured - truth).square().sum(0).sqrt().mean() < bound_px
    # With noise the weak parts of a motion are shrunk; what measures (`LKMag.measurer`) does not do so.
    assert (measured * truth).sum() / truth.square().sum() == pytest.approx(1, abs=bound_gain)
    measurer = magnifier.measurer()
    plain = measurer.displacement(measurer.prepare(still), moved)[0]
    assert (plain * truth).sum() / truth.square().sum() == pytest.approx(1, abs=min(bound_gain, 0.1))


@pytest.mark.parametrize("alpha", [2, 8, 32])
def test_magnified_frames_match_the_rendered_truth(alpha):
    field = synth.scaled(FIELD, 3.0 / alpha)
    still, moved, texture = pair(field)
    truth = synth.render(texture, synth.scaled(field, alpha), SIZE, SIZE)
    magnifier = arch.builtin()
    out = magnifier.run(magnifier.prepare(still, alpha), moved)[0]
    assert psnr(out, truth) > 44
    assert psnr(out, truth) > psnr(moved[0], truth) + 15


@pytest.mark.parametrize("alpha", [1 / 16, 1 / 2])
def test_attenuated_frames_match_the_rendered_truth(alpha):
    field = synth.scaled(FIELD, 5.0)
    still, moved, texture = pair(field)
    truth = synth.render(texture, synth.scaled(field, alpha), SIZE, SIZE)
    magnifier = arch.builtin()
    out = magnifier.run(magnifier.prepare(still, alpha), moved)[0]
    assert psnr(out, truth) > 55


def test_alpha_one_is_the_frame_and_alpha_zero_the_reference():
    still, moved, _ = pair(synth.scaled(FIELD, 2.0), noise=0.02)
    magnifier = arch.builtin()
    inner = (..., slice(8, -8), slice(8, -8))
    one = magnifier.run(magnifier.prepare(still.clamp(0, 1), 1.0), moved.clamp(0, 1))
    none = magnifier.run(magnifier.prepare(still.clamp(0, 1), 0.0), moved.clamp(0, 1))
    assert (one - moved.clamp(0, 1))[inner].abs().max() < 2e-3
    assert (none - still.clamp(0, 1)).abs().max() < 1e-5


def test_a_mask_limits_the_magnification():
    field = synth.scaled(FIELD, 0.4)
    still, moved, texture = pair(field)
    mask = torch.zeros(SIZE, SIZE)
    mask[:, :64] = 1
    magnifier = arch.builtin()
    masked = magnifier.run(magnifier.prepare(still, 8.0), moved, mask)[0]
    full = synth.render(texture, synth.scaled(field, 8.0), SIZE, SIZE)
    assert psnr(masked[:, :, :56], full[:, :, :56]) > 42
    assert psnr(masked[:, :, 72:], moved[0][:, :, 72:]) > 50


def test_batches_and_single_frames_agree():
    still, moved, _ = pair(FIELD)
    frames = torch.cat([moved, still[None], 0.5 * (moved + still[None])])
    magnifier = arch.builtin()
    state = magnifier.prepare(still, 4.0)
    alone = torch.cat([magnifier.run(state, frame[None]) for frame in frames])
    assert torch.allclose(magnifier.run(state, frames), alone, atol=1e-5)


def test_untrained_networks_leave_the_prior_as_it_is():
    still, moved, _ = pair(FIELD, noise=0.01)
    prior, full = arch.prior(), LKMag(weigher=WindowWeigher(width=8), refiner=Refiner(width=8))
    expected = prior.run(prior.prepare(still, 4.0), moved)
    assert torch.allclose(full.run(full.prepare(still, 4.0), moved), expected, atol=2e-4)


def test_every_parameter_of_the_networks_is_trainable():
    still, moved, _ = pair(FIELD, noise=0.01)
    network = LKMag(weigher=WindowWeigher(width=8), refiner=Refiner(width=8))
    for head in (network.weigher.head, network.refiner.head):
        torch.nn.init.normal_(head.weight, std=0.01)
    network.run(network.prepare(still, 4.0), moved).square().mean().backward()
    dead = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (101, 64)])
def test_any_size_from_16_px(size):
    frames = torch.rand(2, 3, *size)
    magnifier = arch.builtin()
    out = magnifier.run(magnifier.prepare(frames[0], 4.0), frames)
    assert out.shape == frames.shape and out.isfinite().all()


@pytest.mark.parametrize("frames", [torch.rand(3, 15, 40), torch.rand(1, 32, 32), torch.rand(2, 3, 32, 32)])
def test_unusable_references_are_refused(frames):
    with pytest.raises(MagPlusError):
        arch.builtin().prepare(frames)


def test_frames_of_another_size_are_refused():
    magnifier = arch.builtin()
    with pytest.raises(MagPlusError, match="40 x 32"):
        magnifier.run(magnifier.prepare(torch.rand(3, 32, 32)), torch.rand(1, 3, 32, 40))


def test_the_weights_that_ship_are_those_of_the_model_card(root):
    assert arch.WEIGHTS.stat().st_size <= 4e6
    assert f"`{sha256_of(arch.WEIGHTS)}`" in (root / "docs" / "lkmag.md").read_text()
    with torch.no_grad():
        still, moved, _ = pair(FIELD, noise=0.02)
        ours, prior = (m.run(m.prepare(still, 8.0), moved) for m in (arch.builtin(), arch.prior()))
    assert not torch.allclose(ours, prior, atol=0.01), "they are in use"


def trained_like(seed=0):
    """Networks with an opinion."""
    torch.manual_seed(seed)
    network = LKMag(weigher=WindowWeigher(width=8), refiner=Refiner(width=8))
    for head in (network.weigher.head, network.refiner.head):
        torch.nn.init.normal_(head.weight, std=0.05)
    return arch.freeze(network)


@pytest.mark.parametrize("alpha", [8.0, 0.25])
def test_bands_of_rows_are_the_whole_picture(monkeypatch, alpha):
    texture = synth.Texture(2)
    field = synth.scaled(synth.total(synth.bump(40, 150, 12, 0.6, 0.8), synth.shift(0.2, 0.4)), 3 / max(alpha, 1))
    still, moved = (synth.render(texture, f, 300, 70) for f in (synth.shift(0, 0), field))
    still, moved = still + 0.01 * torch.randn_like(still), moved[None] + 0.01 * torch.randn_like(still)
    network = trained_like()
    state = network.prepare(still, alpha)
    whole = network.run(state, moved)
    monkeypatch.setattr("magplus.models.lkmag.bands.BAND_PX", 70 * 48)
    assert (network.run(state, moved) - whole).abs().max() < 1e-4


def test_pairs_and_single_references_agree():
    still, moved, _ = pair(FIELD)
    network = trained_like()
    references, frames = torch.stack([still, moved[0]]), torch.stack([moved[0], still])
    alphas = torch.tensor([4.0, 0.5]).view(2, 1, 1, 1)
    together = network.run(network.prepare_pairs(references, alphas), frames)
    for reference, frame, alpha, out in zip(references, frames, alphas.flatten(), together, strict=True):
        assert torch.allclose(network.run(network.prepare(reference, float(alpha)), frame[None])[0], out, atol=1e-5)


def test_the_refiner_is_silent_at_alpha_one_and_zero():
    still, moved, _ = pair(FIELD, noise=0.02)
    trained = trained_like()
    prior = LKMag(weigher=trained.weigher)
    for alpha, same in ((0.0, True), (1.0, True), (2.0, False), (0.125, False)):
        out = [n.run(n.prepare(still, alpha), moved) for n in (trained, prior)]
        assert torch.allclose(*out, atol=1e-6) == same
