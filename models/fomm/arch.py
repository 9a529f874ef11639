"""FOMM from its checkpoint: recognising, loading, options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..checkpoint import Checkpoint, load_strictly
from ..errors import MagPlusError
from ..keypoints.detector import KeypointDetector
from ..keypoints.fold import channels_last, fold_doublings, fold_norms
from ..keypoints.motion import MotionOptions
from ..options import Option
from ..precision import PRECISION, dtype_of
from .generator import Generator
from .network import FRAMING, Fomm

__all__ = ["FRAMING", "OPTIONS", "REQUIRED_KEYS", "build", "networks"]

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
    Option(
        name="relative",
        default=True,
        help="the portrait's keypoints plus the driver's change since its reference; off: the driver's own keypoints, "
        "which carry its face shape",
    ),
    Option(
        name="adapt_movement_scale",
        default=False,
        help="scale the change of keypoints by the ratio of the two faces' sizes (relative only)",
    ),
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
    motion = MotionOptions(relative=options["relative"], adapt_movement_scale=options["adapt_movement_scale"])
    return Fomm(detector, generator.fold(dtype_of(options["precision"])), motion)


def networks(tensors: Mapping[str, Tensor], *, align_corners: bool = False) -> tuple[KeypointDetector, Generator]:
    """Detector and generator in their plain form, frozen."""
    kept = {name: value for name, value in tensors.items() if not name.startswith(_TRAINING)}
    detector, generator = KeypointDetector(jacobian=True), Generator(align_corners=align_corners)
    parts = {"kp_detector.": detector, "generator.": generator}
    stray = sorted(name for name in kept if not name.startswith(tuple(parts)))
    if stray:
        raise MagPlusError(f"These weights do not fit FOMM: {len(stray)} unexpected ({', '.join(stray[:3])}).")
    for prefix, network in parts.items():
        own = {name.removeprefix(prefix): value for name, value in kept.items() if name.startswith(prefix)}
        load_strictly(network, own, what=f"FOMM's {prefix.rstrip('.')}")
        network.train(False).requires_grad_(False)
    return detector, generator
