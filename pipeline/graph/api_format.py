# SPDX-License-Identifier: Apache-2.0
"""ComfyUI's execution format: ``{"id": {"class_type", "inputs", "_meta"}}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...models.errors import MagPlusError
from .graph import Graph, GraphNode, Link


def graph_from_api(data: Mapping[str, Any], name: str) -> Graph:
    """Read a prompt; ``name`` is the file's, for errors."""
    graph = {}
    for key, entry in data.items():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("class_type"), str):
            raise MagPlusError(
                f"{name}: entry {key!r} is not a node of a workflow. Give a file that ComfyUI saved with "
                "Save, Export or Export (API)."
            )
        kind = entry["class_type"]
        title = (entry.get("_meta") or {}).get("title") or kind
        inputs = {input_name: _value(value) for input_name, value in (entry.get("inputs") or {}).items()}
        graph[str(key)] = GraphNode(id=str(key), type=kind, title=title, inputs=inputs)
    return graph


def _value(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int):
        return Link(*value)
    if isinstance(value, Mapping) and set(value) == {"__value__"}:
        return value["__value__"]
    return value
