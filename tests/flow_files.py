"""The flow networks under deterministic weights, and their files as their authors save them."""

import functools

import detfill
import torch
from magplus.models.arflow import arch as arflow
from magplus.models.arflow.network import ARFlow
from magplus.models.raft import arch as raft
from magplus.models.raft.network import Raft

NETWORKS = {"raft": Raft, "arflow": ARFlow}
ARCHES = {"raft": raft, "arflow": arflow}
IN_FLOWMAG = "module.mm_loss_fn.flow_net.flowNet."


@functools.cache
def tensors(name):
    """State dict as the goldens were made with."""
    state = NETWORKS[name]().state_dict()
    filled = detfill.fill(state, gain=0.6)
    if name == "raft":
        return filled
    strong = detfill.fill(state, gain=3.0)
    return {k: (strong if k.startswith(("feature_pyramid_extractor.", "conv_1x1.")) else filled)[k] for k in state}


def estimator(name):
    """The network with these weights, frozen."""
    return ARCHES[name].build(tensors(name))


def published(name, path):
    """A file as its authors save it: RAFT's state of a parallel module, in which one norm has two names."""
    if name == "arflow":
        torch.save({"state_dict": tensors(name), "epoch": 5}, path)
        return path
    state = {f"module.{key}": value for key, value in Raft().state_dict().items()}
    torch.save(state, path)
    return path


def in_flowmag(name, magnifier, path):
    """A training checkpoint of FlowMag with the network inside."""
    state = {f"module.{key}": value for key, value in magnifier.items()}
    state |= {IN_FLOWMAG + key: value for key, value in tensors(name).items()}
    torch.save({"state_dict": state, "optimizer_state_dict": {"state": {0: {"step": 1}}}, "epoch": 140}, path)
    return path
