# SPDX-License-Identifier: Apache-2.0
"""FlowMag from its checkpoints: recognising, loading, options."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..checkpoint import load_strictly
from ..options import Option
from ..precision import PRECISION, dtype_of
from .magnifier import FlowMag
from .network import WIDTH, Generator

PREFIX = "generator."
"""In front of the network's names in a file."""

_FIRST = "down_layers.0.double_conv.0.weight"

REQUIRED_KEYS = frozenset(
    PREFIX + key
    for key in (
        _FIRST,
        "down_layers.4.maxpool_conv.1.double_conv.3.weight",
        "up_layers.0.conv.double_conv.0.weight",
        "up_layers.4.conv.weight",
    )
)

OPTIONS: tuple[Option, ...] = (PRECISION,)

_FLOW = "mm_loss_fn.flow_net.flowNet."
"""In front of the names of the flow network of the loss."""

_TRAINING = (_FLOW, "optimizer", "epoch")
"""What a training state holds beside the network: the flow network of its loss, Adam's moments (two spellings)."""


def build(tensors: Mapping[str, Tensor], *, precision: str = "float32") -> FlowMag:
    """The magnifier in these tensors."""
    return FlowMag(network(tensors), dtype_of(precision))


def network(tensors: Mapping[str, Tensor]) -> Generator:
    """The network in its plain form, frozen; `requires_grad_` makes it trainable. Its width is read from the shapes."""
    inside = {name.removeprefix(PREFIX): value for name, value in tidy(tensors).items()}
    generator = Generator(width=len(inside[_FIRST]) if _FIRST in inside else WIDTH)
    load_strictly(generator, inside, what="FlowMag")
    generator.requires_grad_(False)
    return generator.train(False)


def tidy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors without what only training needs."""
    return {name: value for name, value in tensors.items() if not name.startswith(_TRAINING)}


def to_save(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a `Generator` under the names of a file."""
    return {PREFIX + name: value for name, value in weights.items()}


def flow_network(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The flow network that a training checkpoint holds beside FlowMag, under its own names; empty without one."""
    return {name.removeprefix(_FLOW): value for name, value in tensors.items() if name.startswith(_FLOW)}
