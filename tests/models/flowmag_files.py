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
    write_safetensors(tensors(width), path, {})
    return path
