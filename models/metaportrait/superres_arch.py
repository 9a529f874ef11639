# SPDX-License-Identifier: Apache-2.0
"""The super-resolution from its checkpoint: recognising, loading."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..checkpoint import load_strictly
from ..errors import MagPlusError
from ..precision import PRECISION, dtype_of
from ..spectral import plain_weights
from .superres import SuperResolver, unet_channels

REQUIRED_KEYS = frozenset(
    {
        "conv_body_first.weight",
        "window_down.0.conv1.weight",
        "recurrent_forward.0.conv1.weight",
        "stylegan_decoder.constant_input.weight",
    }
)

OPTIONS = (PRECISION,)

SIZES = (128, 256, 512)
"""Pictures that such a network can be made for. The released one makes 512."""


def superresolver(tensors: Mapping[str, Tensor]) -> SuperResolver:
    """The network in its plain form, frozen. Its size is read from the first convolution's channels."""
    width = tensors["conv_body_first.weight"].shape[0]
    sizes = [size for size in SIZES if unet_channels(size) == width]
    if not sizes:
        raise MagPlusError(f"A super-resolution network with {width} channels at its finest level is not known here.")
    # Memory for the numbers is made once, by taking the file's.
    with torch.device("meta"):
        network = SuperResolver(sizes[0])
    network.to_empty(device="cpu")
    load_strictly(network, plain_weights(tensors), what="MetaPortrait's super-resolution")
    network.train(False).requires_grad_(False)
    return network


def build(tensors: Mapping[str, Tensor], *, precision: str = str(PRECISION.default)) -> SuperResolver:
    """Ready to be used."""
    return superresolver(tensors).fold(dtype_of(precision))
