# SPDX-License-Identifier: Apache-2.0
"""A workflow ready to run: nodes by id, whose inputs are values or links to another node's output."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Link:
    """Output ``slot`` of the node ``node``."""

    node: str
    slot: int


@dataclass(frozen=True)
class Muted:
    """Stands where a link came from a muted node: nothing arrives."""

    title: str


@dataclass(kw_only=True)
class GraphNode:
    """One node: its kind and its inputs, each a value, a `Link` or `Muted`."""

    id: str
    type: str
    title: str
    inputs: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f'node {self.id} "{self.title}" ({self.type})'


Graph = dict[str, GraphNode]


def api_form(graph: Graph) -> dict[str, Any]:
    """The graph as ComfyUI's own execution format, which saved files carry as ``prompt``."""
    return {
        node.id: {
            "class_type": node.type,
            "inputs": {name: _plain(value) for name, value in node.inputs.items() if not isinstance(value, Muted)},
            "_meta": {"title": node.title},
        }
        for node in graph.values()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Link):
        return [value.node, value.slot]
    # A bare list would be read as a link.
    return {"__value__": value} if isinstance(value, list) else value
