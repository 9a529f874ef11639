"""MetaPortrait's base model from its checkpoint: recognising, loading."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..checkpoint import load_strictly
from ..errors import MagPlusError
from .base import BaseModel
from ..spectral import plain_weights

REQUIRED_KEYS = frozenset(
    {
        "generator.ladder_network.fc.weight",
        "generator.dense_motion_network.reger.2.weight",
        "generator.fuse_high_res.weight",
        "generator.SPDAE_G.conv_img.weight",
    }
)

TRAINING = ("discriminator.", "optimizer_", "epoch")
"""What a training state holds beside the network."""

_TRANSPOSED = ("SPDAE_G.conv1",)


def base_model(tensors: Mapping[str, Tensor]) -> BaseModel:
    """The network in its plain form, frozen. Files with spectral norm and without it (personalised ones) both fit."""
    kept = {name: value for name, value in tensors.items() if not name.startswith(TRAINING)}
    stray = sorted(name for name in kept if not name.startswith("generator."))
    if stray:
        raise MagPlusError(f"These weights do not fit MetaPortrait: {len(stray)} unexpected ({', '.join(stray[:3])}).")
    own = {name.removeprefix("generator."): value for name, value in kept.items()}
    network = BaseModel()
    load_strictly(network, plain_weights(own, transposed=_TRANSPOSED), what="MetaPortrait's base model")
    network.train(False).requires_grad_(False)
    return network
