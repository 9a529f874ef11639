"""RAFT and ARFlow against the official codes' outputs under deterministic weights, and their files."""

import json

import detfill
import flow_files
import flowmag_files
import numpy as np
import pytest
import torch
from magplus.models.checkpoint import read_checkpoint, write_safetensors
from magplus.models.errors import MagPlusError
from magplus.models.registry import identify, load_estimator, load_magnifier

ARRAYS, ABOUT = detfill.golden("flowmag")
CASES = ABOUT["cases"]
BOTH = pytest.mark.parametrize("name", ["raft", "arflow"])


def close(found, name, tolerance):
    step = CASES[name].get("stride", 1)
    np.testing.assert_allclose(found[..., ::step, ::step].numpy(), ARRAYS[name], atol=tolerance, rtol=0)


def pictures(case):
    return (flowmag_files.given(CASES[case]["inputs"][k]) for k in ("im1", "im2"))


@pytest.fixture(scope="module")
def raft():
    return flow_files.estimator("raft")


@pytest.fixture(scope="module")
def arflow():
    return flow_files.estimator("arflow")


@BOTH
def test_names_and_shapes_are_the_official_ones(name):
    manifest = json.loads((detfill.GOLDENS / "flowmag" / f"manifest_{name}.json").read_text())
    expected = {key.removeprefix("module."): tuple(shape) for key, (shape, _) in manifest.items()}
    assert {key: tuple(value.shape) for key, value in flow_files.NETWORKS[name]().state_dict().items()} == expected


@pytest.mark.parametrize(("iterations", "tolerance"), [(1, 1e-4), (5, 1e-4), (12, 5e-4)])
def test_raft(raft, iterations, tolerance):
    first, second = pictures("raft_12")
    low, full = raft(first, second, iterations)
    close(full, f"raft_{iterations}", tolerance)
    if iterations == 12:
        close(low, "raft_12_low", tolerance)


def test_rafts_encoders(raft):
    first, _ = pictures("raft_12")
    close(raft.fnet(2 * first - 1)[:, ::16], "raft_fmap1", 1e-4)
    close(raft.cnet(2 * first - 1)[:, ::16], "raft_cnet", 1e-4)


def test_arflow(arflow):
    first, second = pictures("arflow")
    for level, found in enumerate(arflow(first, second)):
        close(found, f"arflow_level{level}" if level else "arflow", 1e-4)
    close(arflow(second, first)[0], "arflow_bw", 1e-4)


def test_a_size_that_fits_is_not_padded(raft, arflow):
    first, second = pictures("raft_12")
    assert torch.equal(raft.flow(first, second, quick=True), raft(first, second, 5)[1])
    first, second = pictures("arflow")
    assert torch.equal(arflow.flow(first, second), arflow(first, second)[0])


@BOTH
@pytest.mark.parametrize("size", [(16, 16), (101, 75), (64, 130)])
def test_any_size_is_taken(name, size, request):
    network = request.getfixturevalue(name)
    first, second = torch.rand(2, 2, 3, *size)
    second.requires_grad_()
    flow = network.flow(first, second, quick=True)
    assert flow.shape == (2, 2, *size) and flow.isfinite().all()
    flow.abs().sum().backward()
    assert second.grad.isfinite().all() and second.grad.abs().sum() > 0
    alone = network.flow(first[1:], second[1:], quick=True)
    assert torch.allclose(alone, flow[1:], atol=1e-3)


@BOTH
def test_official_files_are_recognised(tmp_path, name):
    path = flow_files.published(name, tmp_path / "any name.tar")
    network, checkpoint = load_estimator(path)
    assert network.name == name and not any(p.requires_grad for p in network.parameters())
    assert identify(checkpoint).kind == "flow estimator"
    with pytest.raises(MagPlusError, match=r"not a magnifier\. Give it where a flow estimator goes"):
        load_magnifier(path)


def test_one_norm_under_two_names_survives_conversion(tmp_path):
    """The official file holds it once, and safetensors refuses tensors that share memory."""
    checkpoint = read_checkpoint(flow_files.published("raft", tmp_path / "raft-things.pth"))
    names = [f"cnet.layer2.0.{name}.weight" for name in ("norm3", "downsample.1")]
    assert len({checkpoint.tensors[name].data_ptr() for name in names}) == 1
    write_safetensors(checkpoint.tensors, tmp_path / "raft.safetensors", {})
    network, again = load_estimator(tmp_path / "raft.safetensors")
    assert all(torch.equal(value, again.tensors[key]) for key, value in checkpoint.tensors.items())
    assert network.cnet.layer2[0].norm3 is network.cnet.layer2[0].downsample[1]


@BOTH
def test_the_one_inside_a_training_checkpoint_of_flowmag(tmp_path, name):
    path = flow_files.in_flowmag(name, flowmag_files.tensors(width=8), tmp_path / "chkpt_00140.pth")
    network, _ = load_estimator(path)
    expected = flow_files.estimator(name).state_dict()
    assert network.name == name
    assert all(torch.equal(value, expected[key]) for key, value in network.state_dict().items())


def test_other_files_are_refused_by_name(tmp_path):
    torch.save({**flow_files.tensors("arflow"), "more.weight": torch.zeros(1)}, tmp_path / "more.pth")
    with pytest.raises(MagPlusError, match=r"do not fit ARFlow.*unexpected \(more.weight\)"):
        load_estimator(tmp_path / "more.pth")
    small = {k: v for k, v in flow_files.tensors("raft").items() if "gru" not in k}
    torch.save(small, tmp_path / "small.pth")
    with pytest.raises(MagPlusError, match="looks like raft"):
        load_estimator(tmp_path / "small.pth")
