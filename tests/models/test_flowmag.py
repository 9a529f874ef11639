"""FlowMag against the official code's outputs under deterministic weights."""

import json

import detfill
import flowmag_files
import numpy as np
import pytest
import torch
from magplus.models.flowmag.network import Generator, code_of

TOLERANCE = 1e-5
ARRAYS, ABOUT = detfill.golden("flowmag")
CASES = ABOUT["cases"]


@pytest.fixture(scope="module")
def plain():
    return flowmag_files.plain()


def close(found, name):
    step = CASES[name]["stride"] if name in CASES and "stride" in CASES[name] else 1
    found = found.detach()[..., ::step, ::step].numpy()
    np.testing.assert_allclose(found, ARRAYS[name].reshape(found.shape), atol=TOLERANCE, rtol=0)


def test_the_code_of_alpha_is_bit_exact():
    alphas = torch.tensor(CASES["alpha_pe"]["inputs"]["alphas"])
    assert torch.equal(code_of(alphas)[..., 0, 0], torch.from_numpy(ARRAYS["alpha_pe"]))


def test_its_names_and_shapes_are_the_official_ones():
    keys = json.loads((detfill.GOLDENS / "flowmag" / "manifest.json").read_text())
    for layout in keys.values():
        expected = {
            name.removeprefix("generator."): tuple(shape) for name, (shape, _) in layout["inference_model"].items()
        }
        network = Generator()
        assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == expected
        assert sum(p.numel() for p in network.parameters()) == layout["parameters"]["generator"]


@pytest.mark.parametrize("name", ["mag_a2.0", "mag_a16.0", "mag_a0.5", "mag_odd", "mag_batch"])
def test_plain_network(plain, name):
    reference, frames = flowmag_files.pair(CASES[name])
    alpha = torch.tensor(CASES[name]["alpha"]).float().expand(len(frames))
    close(plain(reference, frames, alpha), name)


@pytest.mark.parametrize("name", ["mag_mask_soft", "mag_mask_bin"])
def test_plain_network_with_a_mask(plain, name):
    reference, frames = (part[:1] for part in flowmag_files.pair(CASES["mag_batch"]))
    mask = flowmag_files.given(CASES["mag_mask_soft"]["inputs"]["mask"])
    mask = (mask > 0.5).float() if name == "mag_mask_bin" else mask
    close(plain(reference, frames, torch.tensor([8.0]), mask), name)


def test_plain_network_in_two_passes(plain):
    reference, frames = flowmag_files.pair(CASES["mag_rec20"])
    alpha = torch.tensor([20.0]).sqrt()
    close(plain(reference, plain(reference, frames, alpha), alpha), "mag_rec20")
