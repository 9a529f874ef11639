"""FlowMag's weights under deterministic numbers, and the inputs of its goldens."""

import functools

import detfill
import torch
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
