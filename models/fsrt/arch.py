# SPDX-License-Identifier: Apache-2.0
"""FSRT from its checkpoints: recognising, loading, options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from ..checkpoint import Checkpoint, load_parts
from ..errors import MagPlusError
from ..fold import channels_last
from ..keypoints.detector import KeypointDetector
from ..keypoints.fold import fold_doublings, fold_norms
from ..keypoints.options import MOTION_OPTIONS, motion_options
from ..options import Option
from ..precision import PRECISION, dtype_of
from .decoder import PixelDecoder
from .encoder import ExpressionEncoder, SceneEncoder
from .network import FRAMING, Fsrt, FsrtOptions

__all__ = ["DETECTOR_KEYS", "FRAMING", "NO_DETECTOR_KEYS", "OPTIONS", "REQUIRED_KEYS", "build", "networks", "tidy"]

DETECTOR = "kp_detector"
PARTS: dict[str, Callable[[], nn.Module]] = {
    "encoder": SceneEncoder,
    "decoder": PixelDecoder,
    "expression_encoder": ExpressionEncoder,
    DETECTOR: lambda: KeypointDetector(jacobian=False),
}

REQUIRED_KEYS = frozenset(
    {
        "encoder.conv_blocks.0.layers.0.weight",
        "encoder.per_patch_linear.weight",
        "decoder.allocation_transformer.input_mlp.0.weight",
        "decoder.render_mlp.8.weight",
        "expression_encoder.expression.weight",
    }
)
DETECTOR_KEYS = frozenset({"kp_detector.kp.weight", "kp_detector.down.weight"})
NO_DETECTOR_KEYS = frozenset({"kp_detector.jacobian.weight"})
"""What FOMM's detector has beside them."""

OPTIONS = (
    *MOTION_OPTIONS,
    Option(
        name="expression",
        default="absolute",
        choices=("absolute", "relative"),
        help="absolute: the driver's expression as the authors give it, which carries some of the driver's identity; "
        "relative: the portrait's own plus the driver's change since its reference (not the authors')",
    ),
    PRECISION,
    Option(
        name="max_memory_mb",
        default=1024,
        low=32,
        high=65536,
        help="memory in MB for decoding, beside weights and scene; less is slower on a GPU and gives the same picture",
    ),
)

_STATES = ("optimizer", "discriminator")
_SCALARS = frozenset({"epoch_it", "it", "t", "loss_val_best", "run_id"})
"""What a training state holds beside the three networks: beginnings of names, and names."""

_BARE_DETECTOR = ("predictor", "kp", "down", "jacobian")
"""The detector's own parts: it is published without a name in front of them."""


def tidy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The networks' tensors alone, each under the name of its part, as in our safetensors files."""
    kept = {}
    for name, value in tensors.items():
        first = name.partition(".")[0]
        if first in _BARE_DETECTOR:
            kept[f"{DETECTOR}.{name}"] = value
        elif not (name in _SCALARS or first.startswith(_STATES)):
            kept[name] = value
    return kept


def build(checkpoints: list[Checkpoint], options: Mapping[str, Any]) -> Fsrt:
    """The backbone from its files, in any order: the detector and the rest, or one that holds both."""
    tensors: dict[str, Tensor] = {}
    for checkpoint in checkpoints:
        own = tidy(checkpoint.tensors)
        twice = sorted(_parts_of(own) & _parts_of(tensors))
        if twice:
            raise MagPlusError(f"FSRT was given its {twice[0]} twice, the second time by {checkpoint.path}. {_FILES}")
        tensors |= own
    missing = [part for part in PARTS if part not in _parts_of(tensors)]
    if missing:
        given = ", ".join(str(checkpoint.path) for checkpoint in checkpoints) or "no file"
        what = "the keypoint detector, kp_detector.pt" if missing == [DETECTOR] else "vox256.pt or vox256_2Source.pt"
        raise MagPlusError(f"FSRT was given {given}; what is missing: {what}. {_FILES}")
    nets = networks(tensors)
    channels_last(fold_doublings(fold_norms(nets[DETECTOR])))
    return Fsrt(
        nets[DETECTOR],
        nets["expression_encoder"],
        nets["encoder"],
        nets["decoder"].lower(dtype_of(options["precision"])),
        FsrtOptions(
            motion=motion_options(options),
            relative_expression=options["expression"] == "relative",
            max_memory_mb=options["max_memory_mb"],
        ),
    )


_FILES = "Give kp_detector.pt and one of vox256.pt and vox256_2Source.pt, or a converted file that holds both."


def networks(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The networks whose weights are there, by part, in their plain form, frozen."""
    tensors = tidy(tensors)
    nets: dict[str, nn.Module] = {part: make() for part, make in PARTS.items() if part in _parts_of(tensors)}
    load_parts(nets, tensors, what="FSRT")
    return nets


def _parts_of(tensors: Mapping[str, Tensor]) -> set[str]:
    return {name.partition(".")[0] for name in tensors}
