"""FlowMag from its checkpoints: recognising, loading."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..checkpoint import load_strictly
from .network import Generator

PREFIX = "generator."
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

_TRAINING = ("mm_loss_fn.flow_net.flowNet.",)
"""The flow network of the loss, which the official checkpoints hold too."""


def network(tensors: Mapping[str, Tensor]) -> Generator:
    """The network in its plain form, frozen; `requires_grad_` makes it trainable."""
    own = weights(tensors)
    generator = Generator(width=len(own[_FIRST]) if _FIRST in own else 64)
    load_strictly(generator, own, what="FlowMag")
    generator.requires_grad_(False)
    return generator.train(False)


def weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What belongs to the network, under its own names, of a checkpoint's tensors. Foreign names stay as they are."""
    return {name.removeprefix(PREFIX): value for name, value in tensors.items() if not name.startswith(_TRAINING)}
