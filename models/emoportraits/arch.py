"""EMOPortraits from its checkpoints: recognising, loading, options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from ..checkpoint import load_parts
from ..spectral import plain_weights
from .head_pose import HeadPose
from .layers import standardise
from .parts import MAKERS, Parts

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
