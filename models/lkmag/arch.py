# SPDX-License-Identifier: Apache-2.0
"""Detection and building of lkmag from a state dict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..checkpoint import load_strictly, read_checkpoint
from .network import LKMag
from .refiner import Refiner
from .surveyor import Surveyor
from .weigher import WindowWeigher

WEIGHTS = Path(__file__).resolve().parents[1] / "weights" / "lkmag.safetensors"
"""Trained by `magplus train`; recipe and course are in its metadata and in docs/lkmag.md."""

REQUIRED_KEYS = frozenset(
    f"{part}.{layer}.{kind}"
    for part, layers in (("weigher", ("body.0", "body.8", "head")), ("refiner", ("body.0", "body.6", "head")))
    for layer in layers
    for kind in ("weight", "bias")
)


def build(tensors: Mapping[str, Tensor]) -> LKMag:
    """The network in these tensors, frozen; widths are read from their shapes. Files without a surveyor do without."""
    network = LKMag(
        weigher=WindowWeigher(width=tensors["weigher.head.weight"].shape[1]),
        refiner=Refiner(width=tensors["refiner.head.weight"].shape[1]),
        surveyor=_surveyor(tensors),
    )
    load_strictly(network, tensors, what="lkmag")
    return freeze(network)


def _surveyor(tensors: Mapping[str, Tensor]) -> Surveyor | None:
    blocks = ("surveyor.down.0", "surveyor.down.1", "surveyor.down.2")
    if any(f"{block}.second.bias" not in tensors for block in blocks):
        return None
    first, second, third = (len(tensors[f"{block}.second.bias"]) for block in blocks)
    return Surveyor(widths=(first, second, third))


def builtin() -> LKMag:
    """The magnifier that comes with the pack."""
    return build(read_checkpoint(WEIGHTS).tensors)


def prior() -> LKMag:
    """The same without its networks: the Lucas-Kanade prior alone, which needs no weights."""
    return freeze(LKMag())


def freeze(network: LKMag) -> LKMag:
    """Inference mode, no gradients."""
    network.requires_grad_(False)
    network.train(False)
    return network
