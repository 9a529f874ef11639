"""The magnifier against exactly rendered truth."""

import pytest
import synth
import torch
from magplus.models.checkpoint import sha256_of
from magplus.models.errors import MagPlusError
from magplus.models.filters import gaussian_blur
from magplus.models.lkmag import arch
from magplus.models.lkmag.blocks import Blocks
from magplus.models.lkmag.doubt import liberties, powers
from magplus.models.lkmag.levels import reference_level, rounding_noise
from magplus.models.lkmag.light import light_between
from magplus.models.lkmag.network import LKMag
from magplus.models.lkmag.prior import Estimate, by_windows, unexplained
from magplus.models.lkmag.refiner import Refiner
from magplus.models.lkmag.weigher import WindowWeigher
from magplus.models.sampling import pixel_grid, spline_coefficients

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


@pytest.mark.parametrize(("alpha", "height"), [(8.0, 300), (0.25, 300), (8.0, 6 * 48 + 1)])
def test_bands_of_rows_are_the_whole_picture(monkeypatch, alpha, height):
    texture = synth.Texture(2)
    field = synth.scaled(synth.total(synth.bump(40, 150, 12, 0.6, 0.8), synth.shift(0.2, 0.4)), 3 / max(alpha, 1))
    still, moved = (synth.render(texture, f, height, 70) for f in (synth.shift(0, 0), field))
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


def lit(picture, gain, offset):
    """The picture in another light, in 8 bits."""
    return ((picture * (1 + gain) + offset).clamp(0, 1) * 255).round() / 255


@pytest.mark.parametrize("magnifier", [arch.builtin(), arch.prior()])
def test_a_change_of_light_is_no_motion(magnifier):
    still = lit(0.2 + 0.6 * pair(FIELD)[0], 0.0, 0.0)
    brighter = lit(still, 0.03 * torch.tensor([1.0, 0.8, 1.2]).view(3, 1, 1), 0.01)[None]
    state = magnifier.prepare(still, 16.0)
    assert magnifier.displacement(state, brighter).abs().max() < 0.06
    out = magnifier.run(state, brighter)
    assert (out - brighter).abs().max() < 0.02, "the light itself is not magnified"
    darkened = magnifier.run(magnifier.prepare(still, 0.25), brighter)
    assert (darkened - torch.lerp(still, brighter, 0.25)).abs().max() < 0.01


def test_motion_is_found_in_another_light():
    still, moved, _ = pair(synth.scaled(FIELD, 0.5))
    magnifier, truth = arch.prior(), synth.displacement(synth.scaled(FIELD, 0.5), SIZE, SIZE)
    state = magnifier.prepare(still)
    errors = [
        float((magnifier.displacement(state, frame)[0] - truth).square().sum(0).sqrt().mean())
        for frame in (moved, moved * 0.95 + 0.02)
    ]
    assert errors[1] < errors[0] + 0.003


def test_light_is_told_beside_motion_and_motion_is_no_light():
    still, moved, _ = pair(FIELD)
    told = light_between(still[None], moved * 0.96 + 0.03)
    assert torch.allclose(told.gain, torch.full_like(told.gain, -0.04), atol=4e-3)
    assert torch.allclose(told.on(still).mean((2, 3)), (0.03 - 0.04 * still.mean((1, 2)))[None], atol=2e-3)
    none = light_between(still[None], moved)
    assert none.on(still).abs().max() < 1e-3


def test_noise_in_blocks_is_not_taken_for_motion(monkeypatch):
    """As a codec leaves it: constant over 8 x 8 px."""
    still = 0.3 + 0.1 * pair(FIELD)[0]
    blocks = 0.004 * torch.randn(1, 3, SIZE // 8, SIZE // 8, generator=torch.Generator().manual_seed(0))
    frame = still + blocks.repeat_interleave(8, 2).repeat_interleave(8, 3)
    magnifier = arch.prior()
    found = magnifier.displacement(magnifier.prepare(still), frame).square().mean().sqrt()
    none = Blocks(times=torch.ones(1, 4, 1, 1), sure=torch.zeros(1, 1, 1, 1))
    monkeypatch.setattr("magplus.models.lkmag.prior.noise_in_blocks", lambda *_, **__: none)
    taken_for_white = magnifier.displacement(magnifier.prepare(still), frame).square().mean().sqrt()
    assert found < 0.5 * taken_for_white


@pytest.mark.parametrize(("block_px", "least", "most"), [(1, 1.0, 1.1), (8, 40.0, 100.0)])
def test_noise_in_blocks_counts_in_full_where_most_motion_is_found(block_px, least, most):
    """64 pixels of one value are one."""
    still = 0.3 + 0.1 * pair(FIELD)[0][None]
    sides = SIZE // block_px
    noise = 0.01 * torch.randn(1, 3, sides, sides, generator=torch.Generator().manual_seed(0))
    frame = still + noise.repeat_interleave(block_px, 2).repeat_interleave(block_px, 3)
    level = reference_level(still, damping=1e-6, least_noise=rounding_noise(still))
    nothing = torch.zeros(1, SIZE, SIZE)
    now = Estimate(displacement=torch.zeros(1, 2, SIZE, SIZE), error=nothing, variance=nothing)
    found = unexplained(level, spline_coefficients(frame), pixel_grid(SIZE, SIZE, like=still), now, settled=True)
    assert least <= found.blocks.times[0, -1] <= most


@pytest.mark.parametrize("sigma", [0.004, 0.007, 0.01])
def test_noise_of_whole_levels_is_measured_between_them(sigma):
    """A median of whole levels is off by up to a fifth."""
    draw = torch.Generator().manual_seed(0)
    still = pair(FIELD)[0][None]
    seen = [((still + sigma * torch.randn(still.shape, generator=draw)).clamp(0, 1) * 255).round() / 255 for _ in "ab"]
    level = reference_level(seen[0], damping=1e-6, least_noise=rounding_noise(seen[0]))
    nothing = torch.zeros(1, SIZE, SIZE)
    now = Estimate(displacement=torch.zeros(1, 2, SIZE, SIZE), error=nothing, variance=nothing)
    grid = pixel_grid(SIZE, SIZE, like=still)
    found = unexplained(level, spline_coefficients(seen[1]), grid, now, settled=True)
    rounding = 1 / 255 / 12**0.5
    assert float(found.noise) == pytest.approx((2 * (sigma**2 + rounding**2)) ** 0.5, rel=0.04)


@pytest.mark.parametrize("magnifier", [arch.builtin(), arch.prior()])
def test_below_alpha_one_an_error_of_the_displacement_cancels(magnifier):
    field = synth.scaled(FIELD, 1.0)
    still, moved, texture = pair(field, noise=0.01)
    alpha, truth = 1 / 16, synth.displacement(field, SIZE, SIZE)[None]
    state = magnifier.prepare(still, alpha)
    exact, short = (magnifier.render(state, moved, part * truth) for part in (1.0, 0.8))
    shown = synth.render(texture, synth.scaled(field, alpha), SIZE, SIZE)
    slope = shown - synth.render(texture, synth.shift(0, 0), SIZE, SIZE)
    # 0.2 of the displacement would be 3.2 times what is left of the motion.
    assert ((short - exact)[0] * slope).sum().abs() < 0.06 * slope.square().sum()


def test_a_motion_far_above_the_noise_is_not_shrunk():
    found, error = torch.full((1, 2, 32, 32), 0.2), torch.full((1, 1, 32, 32), 2e-3)
    noise, doubt, lift = liberties(*powers(found, error, error), 0)
    assert noise.max() < 1e-3 and doubt.max() < 1e-3 and lift.max() < 0.06
    noise, doubt, lift = liberties(*powers(0.15 * found, error, error), 0)
    assert noise.min() > 0.85 and doubt.min() > 0.98 and lift.min() > 0.4
    noise, doubt, _ = liberties(*powers(0.15 * found, 0.1 * error, error), 0)
    assert noise.max() < 0.1 and doubt.min() > 0.98, "an error that is no noise is the network's to judge"


def test_what_noise_alone_shows_is_what_is_expected(monkeypatch):
    """A window that took the slopes of noise for texture would be sure of what it makes up."""
    still = 0.4 + 0.1 * pair(FIELD)[0]
    frames = still + 0.02 * torch.randn(5, *still.shape, generator=torch.Generator().manual_seed(0))
    magnifier = arch.prior()
    state = magnifier.prepare(frames[0])
    ratios = []

    def noted(evidence, now, **_):
        found = by_windows(evidence, now)
        power = gaussian_blur(found.displacement.square().sum(1, keepdim=True), 4.0)
        ratios.append((power / gaussian_blur(found.error[:, None], 4.0)).flatten())
        return found

    monkeypatch.setattr("magplus.models.lkmag.network.by_windows", noted)
    magnifier.displacement(state, frames[1:])
    last = ratios[-1]
    assert 0.1 < float(last.median()) < 1.5 and float(last.quantile(0.95)) < 4
