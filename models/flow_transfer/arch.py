# SPDX-License-Identifier: Apache-2.0
"""Flow Transfer as a backbone: no weights, no options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..checkpoint import Checkpoint
from ..contracts import Framing
from ..errors import MagPlusError
from .network import FRAMING, FlowTransfer

__all__ = ["FRAMING", "Framing", "build"]


def build(checkpoints: list[Checkpoint], options: Mapping[str, Any]) -> FlowTransfer:
    """The backbone; a weight file is an error, since it would be silently ignored."""
    if checkpoints:
        raise MagPlusError(f"Flow Transfer has no weights; leave {checkpoints[0].path} out or choose its own backbone.")
    return FlowTransfer()
