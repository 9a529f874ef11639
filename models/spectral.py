# SPDX-License-Identifier: Apache-2.0
"""Weights as the networks here hold them: parametrisations of training are multiplied out once, while loading."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .errors import MagPlusError

_RAW = ".weight_orig"
_EQUAL = ".linear" + _RAW
"""Linear layers with an equalised learning rate have the same suffix, but no u and v."""


def plain_weights(tensors: Mapping[str, Tensor], *, transposed: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Every weight under its plain name ``weight``; files that have it already keep it.

    Spectral norm (Miyato et al., ICLR 2018) as torch's hooks save it: ``weight_orig / sigma`` with
    ``sigma = u^T M v``, u and v as stored, M the weight as a matrix of one row per output channel. ``transposed`` names
    the layers whose output channels are dimension 1. Equalised linear layers (Karras et al., ICLR 2018):
    ``weight_orig * sqrt(2 / inputs)``.
    """
    found = {}
    for name, value in tensors.items():
        layer = name.rpartition(".")[0]
        if name.endswith(_EQUAL):
            found[f"{layer}.weight"] = value * math.sqrt(2 / value.shape[1])
        elif name.endswith(_RAW):
            found[f"{layer}.weight"] = value / _sigma(tensors, layer, dimension=int(layer in transposed))
        elif not name.endswith((".weight_u", ".weight_v")) or f"{layer}{_RAW}" not in tensors:
            found[name] = value
    return found


def _sigma(tensors: Mapping[str, Tensor], layer: str, *, dimension: int) -> Tensor:
    try:
        u, v = (tensors[f"{layer}.weight_{which}"].double() for which in "uv")
        matrix = tensors[layer + _RAW].double().movedim(dimension, 0).flatten(1)
        return torch.dot(u, matrix @ v).to(tensors[layer + _RAW].dtype)
    except KeyError as error:
        raise MagPlusError(
            f"The weights lack {error.args[0]}, the spectral norm of {layer}. Fetch the file again."
        ) from None
    except RuntimeError:
        raise MagPlusError(
            f"The spectral norm of {layer} does not fit its weight. The file is of another version."
        ) from None
