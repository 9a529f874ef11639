"""FlowMag against the official code's outputs under deterministic weights, plain and as the magnifier."""

import json

import detfill
import flowmag_files
import numpy as np
import pytest
import torch
from magplus.models.errors import MagPlusError
from magplus.models.flowmag.magnifier import FlowMag
from magplus.models.flowmag.network import Generator, code_of
from magplus.models.precision import has_bfloat16

TOLERANCE = 1e-5
ARRAYS, ABOUT = detfill.golden("flowmag")
CASES = ABOUT["cases"]


@pytest.fixture(scope="module")
def plain():
    return flowmag_files.plain()


@pytest.fixture(scope="module")
def fast(plain):
    return FlowMag(plain)


@pytest.fixture(scope="module")
def small():
    """The same network, an eighth as wide."""
    return FlowMag(flowmag_files.plain(width=8))


def close(found, name):
    step = CASES[name].get("stride", 1)
    found = found.detach()[..., ::step, ::step].numpy()
    np.testing.assert_allclose(found, ARRAYS[name].reshape(found.shape), atol=TOLERANCE, rtol=0)


def masks(name):
    soft = flowmag_files.given(CASES["mag_mask_soft"]["inputs"]["mask"])
    return (soft > 0.5).float() if name == "mag_mask_bin" else soft


def test_the_code_of_alpha_is_bit_exact():
    alphas = torch.tensor(CASES["alpha_pe"]["inputs"]["alphas"])
    assert torch.equal(code_of(alphas)[..., 0, 0], torch.from_numpy(ARRAYS["alpha_pe"]))


def test_its_names_and_shapes_are_the_official_ones():
    keys = json.loads((detfill.GOLDENS / "flowmag" / "manifest.json").read_text())
    network = Generator()
    ours = {f"generator.{name}": list(value.shape) for name, value in network.state_dict().items()}
    for layout in keys.values():
        assert ours == {name: shape for name, (shape, _) in layout["inference_model"].items()}
        assert sum(p.numel() for p in network.parameters()) == layout["parameters"]["generator"]


@pytest.mark.parametrize("name", ["mag_a2.0", "mag_a16.0", "mag_a0.5", "mag_odd", "mag_batch"])
def test_plain_network(plain, name):
    reference, frames = flowmag_files.pair(CASES[name])
    alpha = torch.tensor(CASES[name]["alpha"]).float().expand(len(frames))
    close(plain(reference, frames, alpha), name)


@pytest.mark.parametrize("name", ["mag_mask_soft", "mag_mask_bin"])
def test_plain_network_with_a_mask(plain, name):
    reference, frames = (part[:1] for part in flowmag_files.pair(CASES["mag_batch"]))
    close(plain(reference, frames, torch.tensor([8.0]), masks(name)), name)


def test_plain_network_in_two_passes(plain):
    reference, frames = flowmag_files.pair(CASES["mag_rec20"])
    alpha = torch.tensor([20.0]).sqrt()
    close(plain(reference, plain(reference, frames, alpha), alpha), "mag_rec20")


@pytest.mark.parametrize("name", ["mag_a2.0", "mag_a16.0", "mag_a0.5", "mag_odd", "mag_rec20"])
def test_the_magnifier(fast, name):
    reference, frames = flowmag_files.pair(CASES[name])
    state = fast.prepare(reference[0], 20.0 if name == "mag_rec20" else CASES[name]["alpha"])
    assert state.passes == (2 if name == "mag_rec20" else 1)
    close(fast.run(state, frames), name)


def test_the_magnifier_with_a_reference_per_call(fast):
    pairs = zip(*flowmag_files.pair(CASES["mag_batch"]), CASES["mag_batch"]["alpha"], strict=True)
    close(torch.cat([fast.run(fast.prepare(still, alpha), frame[None]) for still, frame, alpha in pairs]), "mag_batch")


@pytest.mark.parametrize("name", ["mag_mask_soft", "mag_mask_bin"])
@pytest.mark.parametrize("map_of_alpha", [False, True])
def test_the_magnifier_with_a_mask(fast, name, map_of_alpha):
    reference, frames = flowmag_files.pair(CASES["mag_batch"])
    mask = masks(name)
    state = fast.prepare(reference[0], torch.full_like(mask, 8.0) if map_of_alpha else 8.0)
    close(fast.run(state, frames[:1], mask), name)


def test_a_map_of_factors_is_each_pixels_own_code(small):
    still, frames = flowmag_files.random_pair(48, 64)
    alpha = torch.linspace(1, 16, 64).expand(48, 64)
    expected = flowmag_files.plain(width=8)(still[None], frames, alpha[None])
    torch.testing.assert_close(small.run(small.prepare(still, alpha), frames), expected, atol=TOLERANCE, rtol=0)


def test_masks_of_ones_noughts_and_one_per_frame(small):
    still, frames = flowmag_files.random_pair(40, 56, count=3)
    state, identity = small.prepare(still, 20.0), small.prepare(still, 1.0)
    assert torch.equal(small.run(state, frames, torch.ones(40, 56)), small.run(state, frames))
    none = small.run(small.prepare(still, 8.0), frames, torch.zeros(40, 56))
    torch.testing.assert_close(none, small.run(identity, frames), atol=TOLERANCE, rtol=0)
    each = torch.rand(3, 40, 56)
    alone = torch.cat([small.run(state, frame[None], mask) for frame, mask in zip(frames, each, strict=True)])
    torch.testing.assert_close(small.run(state, frames, each), alone, atol=TOLERANCE, rtol=0)


def test_batches_and_other_clips_do_not_change_a_frame(small):
    still, frames = flowmag_files.random_pair(32, 32, count=5)
    state = small.prepare(still, 4.0)
    together = small.run(state, frames)
    small.run(small.prepare(frames[0], 9.0), frames)
    alone = torch.cat([small.run(state, frame[None]) for frame in frames])
    torch.testing.assert_close(together, alone, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (101, 64)])
def test_any_size_from_16_px(small, size):
    still, frames = flowmag_files.random_pair(*size)
    expected = flowmag_files.plain(width=8)(still[None], frames, torch.tensor([4.0]))
    torch.testing.assert_close(small.run(small.prepare(still, 4.0), frames), expected, atol=TOLERANCE, rtol=0)


def test_sixteen_takes_one_pass_and_more_takes_two(small):
    still = torch.rand(3, 16, 16)
    assert [small.prepare(still, alpha).passes for alpha in (0.5, 1, 16, 16.01, 256)] == [1, 1, 1, 2, 2]
    assert 16 in small.alpha_range and 256 in small.alpha_range and 257 not in small.alpha_range


def test_what_it_cannot_take(small):
    for picture in (torch.rand(3, 15, 40), torch.rand(1, 32, 32)):
        with pytest.raises(MagPlusError):
            small.prepare(picture, 4.0)
    with pytest.raises(MagPlusError, match="40 x 32"):
        small.run(small.prepare(torch.rand(3, 32, 32), 4.0), torch.rand(1, 3, 32, 40))
    half = FlowMag(flowmag_files.plain(width=8), torch.float16)
    with pytest.raises(MagPlusError, match="needs a GPU"):
        half.prepare(torch.rand(3, 32, 32), 4.0)


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
def test_bfloat16_stays_near(plain, fast):
    """Even where the frames differ by less than bfloat16 can hold: pixels and codes stay float32."""
    still = torch.rand(3, 64, 64)
    frames = (still + 1e-3 * torch.randn(1, 3, 64, 64)).clamp(0, 1)
    rough = FlowMag(plain, torch.bfloat16)
    found, exact = (m.run(m.prepare(still, 8.0), frames) for m in (rough, fast))
    assert found.dtype == torch.float32
    assert 0 < (found - exact).abs().mean() < 4e-3 and (found - exact).abs().max() < 0.05
    first = [m.network.moving(frames - still) for m in (rough, fast)]
    assert torch.equal(*first)


def test_every_parameter_is_trainable_and_alpha_goes_per_sample():
    network = flowmag_files.plain(width=8).requires_grad_(True).train(True)
    still, frames = flowmag_files.random_pair(32, 48, count=2)
    made = network(still.expand_as(frames), frames, torch.tensor([2.0, 9.0]), torch.rand(32, 48))
    made.square().mean().backward()
    # A bias in front of a batch norm has no effect while that norm is in training.
    dead = [n for n, p in network.named_parameters() if p.grad is None or (p.ndim > 1 and not p.grad.abs().sum() > 0)]
    assert dead == []
