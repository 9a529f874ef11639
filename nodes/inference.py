# SPDX-License-Identifier: Apache-2.0
"""The way out of the inference mode in which ComfyUI runs nodes, for fitting and adaptation."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def leave_inference_mode() -> Iterator[None]:
    """Gradients inside a node.

    Tensors made inside that mode stay unusable for gradients: take them along with `usable`.
    """
    with torch.inference_mode(False), torch.enable_grad():
        yield


def usable(value: Any) -> Any:
    """A copy of a tensor, a network, or a container of them that gradients can go through. Call it outside the mode."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, nn.Module):
        memo: dict[int, Any] = {}
        for parameter in value.parameters():
            memo[id(parameter)] = nn.Parameter(parameter.detach().clone(), requires_grad=True)
        for buffer in value.buffers():
            memo[id(buffer)] = buffer.clone()
        return copy.deepcopy(value, memo)
    if isinstance(value, Mapping):
        return {name: usable(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(usable(entry) for entry in value)
    return value
