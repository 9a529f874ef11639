# SPDX-License-Identifier: Apache-2.0
"""RAFT from its files."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..checkpoint import load_strictly
from .network import Raft

REQUIRED_KEYS = frozenset(
    {
        "fnet.conv1.weight",
        "cnet.layer2.0.norm3.weight",
        "update_block.gru.convz1.weight",
        "update_block.mask.2.weight",
    }
)


def build(tensors: Mapping[str, Tensor]) -> Raft:
    """The network in these tensors, frozen."""
    network = Raft()
    load_strictly(network, tensors, what="RAFT (large)")
    return network.requires_grad_(False).train(False)
