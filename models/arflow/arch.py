# SPDX-License-Identifier: Apache-2.0
"""ARFlow from its files."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..checkpoint import load_strictly
from .network import ARFlow

REQUIRED_KEYS = frozenset(
    {
        "feature_pyramid_extractor.convs.0.0.0.weight",
        "flow_estimators.predict_flow.0.weight",
        "context_networks.convs.6.0.weight",
        "conv_1x1.4.0.weight",
    }
)


def build(tensors: Mapping[str, Tensor]) -> ARFlow:
    """The network in these tensors, frozen."""
    network = ARFlow()
    load_strictly(network, tensors, what="ARFlow (PWC-lite, two frames)")
    return network.requires_grad_(False).train(False)
