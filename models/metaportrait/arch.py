# SPDX-License-Identifier: Apache-2.0
"""MetaPortrait's base model from its checkpoint: recognising, loading, options, guides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..checkpoint import Checkpoint, load_strictly
from ..errors import MagPlusError
from ..guides import Guide
from ..keypoints.options import motion_options
from ..options import Option
from ..precision import PRECISION, dtype_of
from ..spectral import plain_weights
from .base import BaseModel
from .landmarks import MESH_SIZES
from .network import FIT, FRAMING, ZEROS, MetaPortrait
from .spade import IDENTITY
from .topology import POINTS

__all__ = ["FRAMING", "GUIDES", "OPTIONS", "REQUIRED_KEYS", "base_model", "build", "tidy"]

REQUIRED_KEYS = frozenset(
    {
        "generator.ladder_network.fc.weight",
        "generator.dense_motion_network.reger.2.weight",
        "generator.fuse_high_res.weight",
        "generator.SPDAE_G.conv_img.weight",
    }
)

OPTIONS = (
    Option(
        name="relative",
        default=True,
        help="the portrait's landmarks plus the driver's change since its reference, which another person as portrait "
        "needs; off: the driver's own landmarks, as upstream does (same person only)",
    ),
    Option(
        name="adapt_movement_scale",
        default=False,
        help="scale the change of landmarks by the ratio of the two faces' sizes (relative only)",
    ),
    Option(
        name="subpixel_lines",
        default=True,
        help="draw landmarks where they are; off: at whole pixels as upstream does, which erases micro-motion",
    ),
    Option(
        name="identity_steps",
        default=200,
        low=1,
        high=2000,
        help="steps of fitting the identity to the portrait: more come closer to it and take longer",
    ),
    PRECISION,
)

GUIDES = (
    Guide.landmarks("source_landmarks", sizes=(POINTS, *MESH_SIZES), of="the portrait"),
    Guide.landmarks("driving_landmarks", sizes=(POINTS, *MESH_SIZES), of="the driving clip"),
    Guide.vector("source_identity", size=IDENTITY, words=(FIT, ZEROS), of="the portrait"),
)

_TRANSPOSED = ("SPDAE_G.conv1",)


def tidy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The base model out of a training state, in a state dict of its own, or after parallel training."""
    if "SPDAE_G.conv_img.weight" in tensors:
        return {f"generator.{name}": value for name, value in tensors.items()}
    return {
        name.replace("generator.module.", "generator.", 1): value
        for name, value in tensors.items()
        if name.startswith("generator.")
    }


def base_model(tensors: Mapping[str, Tensor]) -> BaseModel:
    """The network in its plain form, frozen. Files with spectral norm and without it (personalised ones) both fit."""
    own = {name.removeprefix("generator."): value for name, value in tidy(tensors).items()}
    network = BaseModel()
    load_strictly(network, plain_weights(own, transposed=_TRANSPOSED), what="MetaPortrait's base model")
    network.train(False).requires_grad_(False)
    return network


def build(checkpoints: list[Checkpoint], options: Mapping[str, Any]) -> MetaPortrait:
    """The backbone from its one file."""
    if len(checkpoints) != 1:
        raise MagPlusError(f"MetaPortrait takes one weights file (ckpt_base), not {len(checkpoints)}.")
    network = base_model(checkpoints[0].tensors).fold(dtype_of(options["precision"]))
    return MetaPortrait(
        network,
        motion_options(options),
        subpixel_lines=options["subpixel_lines"],
        identity_steps=options["identity_steps"],
    )
