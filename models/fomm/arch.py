# SPDX-License-Identifier: Apache-2.0
"""FOMM from its checkpoint: recognising, loading, options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..checkpoint import Checkpoint, load_parts
from ..errors import MagPlusError
from ..fold import channels_last
from ..keypoints.detector import KeypointDetector
from ..keypoints.fold import fold_doublings, fold_norms
from ..keypoints.options import MOTION_OPTIONS, motion_options
from ..options import Option
from ..precision import PRECISION, dtype_of
from .generator import Generator
from .network import FRAMING, Fomm

__all__ = ["FRAMING", "OPTIONS", "REQUIRED_KEYS", "build", "networks", "tidy"]

REQUIRED_KEYS = frozenset(
    {
        "generator.dense_motion_network.occlusion.weight",
        "generator.bottleneck.r0.conv1.weight",
        "kp_detector.jacobian.weight",
        "kp_detector.kp.weight",
    }
)

OPTIONS = (
    Option(
        name="align_corners",
        default=False,
        help="how sampling treats the picture's edge: false as upstream runs today, true as the weights were trained "
        "(a little less dark at the edges)",
    ),
    *MOTION_OPTIONS,
    PRECISION,
)

_TRAINING = ("discriminator.", "optimizer_", "scheduler_", "epoch")
"""What a training state holds beside the two networks."""


def build(checkpoints: list[Checkpoint], options: Mapping[str, Any]) -> Fomm:
    """The backbone from its one file."""
    if len(checkpoints) != 1:
        raise MagPlusError(f"FOMM takes one weights file (vox-cpk or vox-adv-cpk), not {len(checkpoints)}.")
    detector, generator = networks(checkpoints[0].tensors, align_corners=options["align_corners"])
    channels_last(fold_doublings(fold_norms(detector)))
    return Fomm(detector, generator.fold(dtype_of(options["precision"])), motion_options(options))


def tidy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The two networks' tensors alone, without what a training state holds beside them."""
    return {name: value for name, value in tensors.items() if not name.startswith(_TRAINING)}


def networks(tensors: Mapping[str, Tensor], *, align_corners: bool = False) -> tuple[KeypointDetector, Generator]:
    """Detector and generator in their plain form, frozen."""
    detector, generator = KeypointDetector(jacobian=True), Generator(align_corners=align_corners)
    load_parts({"kp_detector": detector, "generator": generator}, tidy(tensors), what="FOMM")
    return detector, generator
