"""FlowMag's weights under deterministic numbers, and the inputs of its goldens."""

import functools
import json

import detfill
import torch
from magplus.models.checkpoint import write_safetensors
from magplus.models.flowmag import arch
from magplus.models.flowmag.network import Generator

GAIN = 2.2


@functools.cache
def tensors(width=64):
    """State dict as an inference checkpoint holds it, names with ``generator.``."""
    return detfill.fill({arch.PREFIX + key: value for key, value in Generator(width).state_dict().items()}, gain=GAIN)


def plain(width=64):
    """The plain network with these weights."""
    return arch.network(tensors(width))


def given(about):
    """Inputs of a golden: an array from its description."""
    return detfill.probe_of(tuple(about["probe"]["shape"]), *(about["probe"][k] for k in ("seed", "lo", "hi")))


def pair(case):
    """Reference and frame ``(N, 3, H, W)`` of a golden's case."""
    frames = given(case["inputs"]["frames"])
    return frames[:, :, 0], frames[:, :, 1]


def random_pair(*size, count=1):
    """Pictures that differ by a little noise."""
    still = torch.rand(3, *size)
    return still, (still + 0.05 * torch.randn(count, 3, *size)).clamp(0, 1)


def published(path, layout="raft", width=64):
    """A training state as the official code writes it: flow network of the loss, Adam's moments, epoch."""
    keys = json.loads((detfill.GOLDENS / "flowmag" / "manifest.json").read_text())
    name = {"raft": "alpha16.color10", "arflow": "alpha16.color10.arflow"}[layout]
    shapes = keys[name]["training_checkpoint_state_dict"]
    own = {f"module.{key}": value for key, value in tensors(width).items()}
    flow = {key: torch.zeros(shape) for key, (shape, _) in shapes.items() if ".flow_net." in key}
    assert {*own, *flow} == set(shapes)
    moments = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 3e-4}]}
    torch.save({"state_dict": own | flow, "optimizer_state_dict": moments, "epoch": 140}, path)
    return path


def adapted(path, width=64):
    """What the official test-time adaptation writes, without its flow network."""
    content = {"epoch": 2, "state_dict": tensors(width), "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]}}
    torch.save(content, path)
    return path


def converted(path, width=64):
    """A safetensors file."""
    return saved(path, tensors(width))


def saved(path, weights):
    """A safetensors file of these."""
    write_safetensors(weights, path, {})
    return path


@functools.cache
def linear(gain, width=32):
    """Weights of a network that magnifies, whatever alpha says: reference + gain (frame - reference), in [0.02, 0.98].

    Good for small motions only, but honest work: the levels below stay empty, the first two convolutions draw a
    piecewise linear logit, which the sigmoid at the end takes back.
    """
    network = Generator(width)
    for name, value in network.state_dict().items():
        value.fill_(1.0 if name.endswith(("running_var", "1.weight", "4.weight")) and value.ndim == 1 else 0.0)
        value.sub_(1e-5 if name.endswith("running_var") else 0)
    knots = torch.linspace(-4, 4, width // 3).sigmoid().double()
    slopes = torch.cat([torch.zeros(1).double(), knots.logit().diff() / knots.diff(), torch.zeros(1).double()]).diff()
    first, second = (network.down_layers[0].double_conv[i] for i in (0, 3))
    up = network.up_layers[3].conv.double_conv
    with torch.no_grad():
        for colour in range(3):
            first.weight[colour, 2 * colour : 2 * colour + 2, 1, 1] = torch.tensor([1.0 - gain, gain])
            for index, knot in enumerate(knots):
                channel = 3 * index + colour
                second.weight[channel, colour, 1, 1], second.bias[channel] = 1, -knot
                network.up_layers[4].conv.weight[colour, channel] = slopes[index]
        for conv in (up[0], up[3]):
            conv.weight[range(width), range(width), 1, 1] = 1
        network.up_layers[4].conv.bias.fill_(knots[0].logit())
    return arch.to_save(network.state_dict())
