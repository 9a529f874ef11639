"""EMOPortraits from its checkpoints: recognising, loading, options."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from ..checkpoint import load_parts
from ..spectral import plain_weights
from .head_pose import HeadPose
from .layers import standardise
from .parts import Parts

HEAD_POSE = "head_pose_regressor"
"""Name of the regressor in our files; its own file has none in front of its keys."""

PARTS = frozenset(
    {
        "local_encoder_nw",
        "idt_embedder_nw",
        "expression_embedder_nw",
        "pose_unsqueeze_nw",
        "warp_embed_head_orig_nw",
        "xy_generator_nw",
        "uv_generator_nw",
        "volume_source_nw",
        "volume_process_nw",
        "decoder_nw",
    }
)

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
        elif first in PARTS | {HEAD_POSE} and not name.endswith(_CONSTANTS):
            kept[name] = value
    return kept


def networks(tensors: Mapping[str, Tensor]) -> tuple[Parts | None, HeadPose | None]:
    """The main model and the regressor in their plain form, frozen; None for what has no weights here."""
    tensors = tidy(tensors)
    with torch.device("meta"):
        main, head = Parts(), HeadPose()
    has_main, has_head = (any(_is_of(name, parts) for name in tensors) for parts in (PARTS, {HEAD_POSE}))
    nets = dict(main.named_children()) if has_main else {}
    if has_head:
        nets[HEAD_POSE] = head.net
    for part, network in nets.items():
        own = {name: value for name, value in tensors.items() if _is_of(name, {part})}
        # One after the other: weights as they were trained and as they are used are both held for one part only.
        load_parts({part: network.to_empty(device="cpu")}, plain_weights(standardise(own)), what="EMOPortraits")
    return main if has_main else None, head if has_head else None


def _is_of(name: str, parts: Collection[str]) -> bool:
    return name.partition(".")[0] in parts
