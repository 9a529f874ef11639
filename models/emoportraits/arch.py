# SPDX-License-Identifier: Apache-2.0
"""EMOPortraits from its checkpoints: recognising, loading, options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..checkpoint import Checkpoint, load_parts
from ..errors import MagPlusError
from ..guides import Guide
from ..options import Option
from ..precision import PRECISION, dtype_of
from ..spectral import plain_weights
from .fold import fold
from .head_pose import HeadPose
from .layers import standardise
from .network import FRAMING, EmoOptions, EmoPortraits
from .parts import MAKERS, Parts

__all__ = [
    "FRAMING",
    "GUIDES",
    "HEAD_POSE_KEYS",
    "NO_HEAD_POSE_KEYS",
    "OPTIONS",
    "REQUIRED_KEYS",
    "build",
    "networks",
    "tidy",
]

HEAD_POSE = "head_pose_regressor"
"""Name of the regressor in our files; its own file has none in front of its keys."""

_MAKERS: dict[str, Callable[[], nn.Module]] = {**MAKERS, HEAD_POSE: HeadPose}

REQUIRED_KEYS = frozenset(
    {
        "local_encoder_nw.enc_0_block=512px.block_feats.2.weight",
        "expression_embedder_nw.net_face.pose_head.weight_orig",
        "uv_generator_nw.projector.u.0",
        "volume_process_nw.input_tensor",
        "decoder_nw.img_decoder.dec_img_head.2.weight",
    }
)
HEAD_POSE_KEYS = frozenset(f"{HEAD_POSE}.{name}.weight" for name in ("conv1", "layer1.0.conv1", "layer4.1.conv2", "fc"))
NO_HEAD_POSE_KEYS = frozenset({f"{HEAD_POSE}.layer1.0.conv3.weight", f"{HEAD_POSE}.layer1.2.conv1.weight"})
"""What larger residual networks have beside them."""

_CONSTANTS = (".identity_grid", ".identity_grid_512", ".aligned_keypoints", ".mean", ".std")
"""Ends of names that the released file has for what is no weight."""

_BARE_HEAD_POSE = frozenset({"conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"})


OPTIONS = (
    Option(
        name="head_pose",
        default="source",
        choices=("source", "driver", "smoothed"),
        help="source: the portrait holds its head as it does, which micro-motion needs, as a pose found anew in every "
        "frame trembles by more; driver: the head goes with the driver's; smoothed: the same with a running mean",
    ),
    Option(
        name="mix_pose",
        default="driver_size",
        choices=("driver_size", "source_size", "off"),
        help="what of the driver's head pose is used. driver_size: its turn, place and size on the portrait's "
        "proportions, as released; source_size: its turn and place; off: everything, its proportions too",
    ),
    Option(
        name="face_crop",
        default="fixed",
        choices=("fixed", "follow"),
        help="where the driver's expression is read. fixed: one place for the whole clip, that of the reference frame; "
        "follow: after the head in every frame, as upstream does; for drivers that turn",
    ),
    Option(
        name="expression",
        default="relative",
        choices=("relative", "absolute"),
        help="relative: the portrait's own expression plus the driver's change since its reference (not the authors'); "
        "absolute: the driver's own, as upstream does, which carries some of its face",
    ),
    Option(
        name="expression_strength",
        default=1.0,
        low=0.0,
        high=10.0,
        help="multiplies that change (relative only): 1 as it is, less undoes magnification inside the model",
    ),
    Option(
        name="background",
        default="removed",
        choices=("removed", "green"),
        help="removed: the generated green is taken out of the pictures, for laying them over another background with "
        "the mask; green: the pictures as the network makes them. The mask is given either way",
    ),
    PRECISION,
)

GUIDES = (
    Guide.mask("source_mask", of="the portrait's head with hair and neck, without clothes"),
    Guide.poses("source_theta", of="the portrait", per_frame=False),
    Guide.poses("driving_theta", of="the driving clip", per_frame=True),
)


def tidy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The networks' tensors alone, each under the name of its part, as in our safetensors files.

    Left out are the discriminator and what losses leave behind.
    """
    kept = {}
    for name, value in tensors.items():
        first = name.partition(".")[0]
        if first in _BARE_HEAD_POSE:
            kept[f"{HEAD_POSE}.{name}"] = value
        elif first in _MAKERS and not name.endswith(_CONSTANTS):
            kept[name] = value
    return kept


def build(checkpoints: list[Checkpoint], options: Mapping[str, Any]) -> EmoPortraits:
    """The backbone from its files, in any order: the main model, and the regressor if there is one."""
    tensors: dict[str, Tensor] = {}
    for checkpoint in checkpoints:
        own = tidy(checkpoint.tensors)
        if own.keys() & tensors.keys():
            raise MagPlusError(f"EMOPortraits was given a part twice, the second time by {checkpoint.path}. {_FILES}")
        tensors |= own
    main, head = networks(tensors)
    if main is None:
        given = ", ".join(str(checkpoint.path) for checkpoint in checkpoints) or "no file"
        raise MagPlusError(f"EMOPortraits was given {given}; what is missing: the model itself. {_FILES}")
    chosen = {name: value for name, value in options.items() if name != PRECISION.name}
    return EmoPortraits(fold(main, dtype_of(options[PRECISION.name])), head, EmoOptions(**chosen))


_FILES = "Give 328_model.pth and head_pose_regressor.pth, or a converted file that holds both."


def networks(tensors: Mapping[str, Tensor]) -> tuple[Parts | None, HeadPose | None]:
    """The main model and the regressor in their plain form, frozen; None for what has no weights here."""
    tensors = tidy(tensors)
    given = {name.partition(".")[0] for name in tensors}
    main = Parts({name: load_part(name, tensors) for name in MAKERS}) if given & MAKERS.keys() else None
    return main, cast(HeadPose, load_part(HEAD_POSE, tensors)) if HEAD_POSE in given else None


def load_part(name: str, tensors: Mapping[str, Tensor]) -> nn.Module:
    """One network, of the tensors whose names begin with its name."""
    with torch.device("meta"):
        network = _MAKERS[name]()
    own = {key: value for key, value in tensors.items() if key.startswith(f"{name}.")}
    # One network after the other: weights as they were trained and as they are used are both held for one only.
    load_parts({name: network.to_empty(device="cpu")}, plain_weights(standardise(own)), what="EMOPortraits")
    return network
