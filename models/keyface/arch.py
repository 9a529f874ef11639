# SPDX-License-Identifier: Apache-2.0
"""KeyFace from its file, or from the weights that come with the pack: recognising, loading, options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..checkpoint import Checkpoint, load_strictly, read_checkpoint
from ..errors import MagPlusError
from ..keypoints.options import MOTION_OPTIONS, motion_options
from .backbone import FRAMING, KeyFace
from .network import KeyFaceNetwork

__all__ = ["FRAMING", "OPTIONS", "REQUIRED_KEYS", "WEIGHTS", "build", "network"]

WEIGHTS = Path(__file__).resolve().parents[1] / "weights" / "keyface.safetensors"
"""Trained by `magplus train --what generator`; recipe and course are in its metadata and in docs/keyface.md."""

REQUIRED_KEYS = frozenset(
    {
        "detector.heat.weight",
        "motion.weights.weight",
        "motion.occlusion.weight",
        "encoder.0.conv.weight",
        "decoder.1.conv1.weight",
        "last.weight",
    }
)

OPTIONS = MOTION_OPTIONS


def build(checkpoints: list[Checkpoint], options: Mapping[str, Any]) -> KeyFace:
    """The backbone with the pack's own weights, or with those of one file."""
    if len(checkpoints) > 1:
        raise MagPlusError(f"KeyFace takes one weights file or none, not {len(checkpoints)}.")
    tensors = (checkpoints[0] if checkpoints else read_checkpoint(WEIGHTS)).tensors
    return KeyFace(network(tensors), motion_options(options))


def network(tensors: Mapping[str, Tensor]) -> KeyFaceNetwork:
    """The network in these tensors, frozen."""
    found = KeyFaceNetwork()
    load_strictly(found, tensors, what="KeyFace")
    found.requires_grad_(False)
    found.train(False)
    return found
