"""FlowMag's losses against the official code: values, gradients, and steps of training."""

from functools import partial

import detfill
import flow_files
import flowmag_files
import numpy as np
import pytest
import torch
from magplus.models.flowmag.losses import magnification_error, magnification_loss, motion_error, warped_back

ARRAYS, ABOUT = detfill.golden("flowmag")
SCALARS = ABOUT["scalars"]
GRADIENT = {"raft": 1e-2, "arflow": 1e-4}


@pytest.fixture(scope="module")
def given():
    about = ABOUT["cases"]["loss_raft_grad"]["inputs"]
    frames, magnified = (flowmag_files.given(about[k]) for k in ("src", "pred"))
    return frames[:, :, 0], frames[:, :, 1], magnified[:, :, 0]


@pytest.mark.parametrize("kind", ["batch", "spatial"])
@pytest.mark.parametrize("name", ["raft", "arflow"])
def test_values_and_gradients(given, name, kind):
    reference, frames, magnified = given
    magnified = magnified.clone().requires_grad_()
    alpha = torch.tensor([2.0, 8.0]) if kind == "batch" else 1 + 7 * detfill.probe_of((2, 128, 192), 43)
    flow = partial(flow_files.estimator(name).flow, quick=True)
    loss = magnification_loss(flow, reference, frames, magnified, alpha)
    loss.total.backward()
    expected = SCALARS[f"loss_{name}_{kind}"]
    for value, key in ((loss.motion, "mag"), (loss.colour, "color"), (loss.total, "total")):
        assert value.item() == pytest.approx(expected[key], rel=1e-4)
    gradient = magnified.grad
    assert gradient.norm().item() == pytest.approx(expected["grad_l2"], rel=GRADIENT[name])
    if kind == "batch":
        found, array = gradient[:, :, None, ::4, ::4].numpy(), ARRAYS[f"loss_{name}_grad"]
        np.testing.assert_allclose(found, array, atol=GRADIENT[name] * np.abs(array).max(), rtol=0)


@pytest.mark.parametrize("name", ["raft", "arflow"])
def test_the_picture_that_colours_are_compared_on(given, name):
    reference, _, magnified = given
    flow = flow_files.estimator(name).flow(reference, magnified, quick=True)
    np.testing.assert_allclose(flow[:, None, :, ::4, ::4].numpy(), ARRAYS[f"loss_{name}_flowpred"], atol=1e-4)
    found = warped_back(magnified, flow)[..., ::8, ::8].numpy()
    np.testing.assert_allclose(found, ARRAYS[f"loss_{name}_predwarp"], atol=1e-4)


def test_warping_mirrors_at_the_edges():
    about = ABOUT["cases"]["warp_reflect"]["inputs"]
    found = warped_back(*(flowmag_files.given(about[k]) for k in ("im", "flow")))
    np.testing.assert_allclose(found.numpy(), ARRAYS["warp_reflect"], atol=1e-5)


def test_metrics(given):
    flows = [detfill.probe_of((1, 2, 32, 40), seed, -size, size) for seed, size in ((63, 6), (64, 2))]
    reference, frames, magnified = (pictures[:1] for pictures in given)
    raft = flow_files.estimator("raft")
    measured = [raft.flow(reference, other) for other in (magnified, frames)]
    for name, pair, alpha in (("metrics_formula", flows, 3.0), ("metrics_raft20", measured, 4.0)):
        factor = torch.tensor([alpha])
        assert motion_error(*pair, factor).item() == pytest.approx(SCALARS[name]["motion_error"], rel=1e-4)
        assert magnification_error(*pair, factor).item() == pytest.approx(SCALARS[name]["mag_error"], rel=1e-4)


def test_a_region_weighs_pixels(given):
    reference, frames, magnified = given
    flow, alpha = flow_files.estimator("arflow").flow, torch.tensor([2.0, 8.0])
    plain = magnification_loss(flow, reference, frames, magnified, alpha)
    everywhere = magnification_loss(flow, reference, frames, magnified, alpha, region=torch.ones(2, 1, 128, 192))
    assert everywhere.total.item() == pytest.approx(plain.total.item(), rel=1e-5)
    halves = [torch.zeros(2, 1, 128, 192) for _ in range(2)]
    halves[0][..., :96], halves[1][..., 96:] = 1, 1
    parts = [magnification_loss(flow, reference, frames, magnified, alpha, region=half).total.item() for half in halves]
    assert sum(parts) / 2 == pytest.approx(plain.total.item(), rel=1e-5) and parts[0] != parts[1]


@pytest.mark.heavy
@pytest.mark.parametrize("mode", ["train_mode(upstream)", "eval_mode"])
def test_three_steps_of_training(mode):
    """Batch norms of the magnifier in training mode; those of the flow network too, as upstream has it, or not."""
    pictures = detfill.probe_of((2, 3, 2, 128, 128), 51)
    reference, frames, alpha = pictures[:, :, 0], pictures[:, :, 1], torch.full((2,), 4.0)
    network, raft = flowmag_files.plain().requires_grad_().train(), flow_files.estimator("raft")
    raft.train(mode.startswith("train"))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)
    for step, expected in enumerate(SCALARS[f"train_steps/flownet_{mode}"]):
        loss = magnification_loss(
            partial(raft.flow, quick=True), reference, frames, network(reference, frames, alpha), alpha
        )
        optimiser.zero_grad()
        loss.total.backward()
        assert loss.total.item() == pytest.approx(expected["loss"], rel=1e-3)
        for name, size in expected["grad_l2"].items():
            found = network.get_parameter(name).grad.norm().item()
            assert found == pytest.approx(size, rel=1e-2 if step else 1e-3)
        optimiser.step()
    sums = SCALARS[f"train_steps_bn/flownet_{mode}"]
    mean = network.get_buffer("down_layers.0.double_conv.1.running_mean").sum().item()
    assert mean == pytest.approx(sums["generator.down_layers.0.double_conv.1.running_mean.sum"], abs=1e-2)
    mean = raft.cnet.norm1.running_mean.sum().item()
    assert mean == pytest.approx(sums["flownet.cnet.norm1.running_mean.sum"], rel=1e-4)
