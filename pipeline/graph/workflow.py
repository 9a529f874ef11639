# SPDX-License-Identifier: Apache-2.0
"""A workflow file: which form it has, and changing single inputs of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...models.errors import MagPlusError
from .api_format import graph_from_api
from .graph import Graph, GraphNode
from .node_type import NodeType, Registry
from .ui_format import graph_from_ui


def read_workflow(path: Path) -> dict[str, Any]:
    """The content of a workflow file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MagPlusError(f"{path} cannot be read: {error.strerror}. Give a workflow that ComfyUI saved.") from error
    except ValueError as error:
        raise MagPlusError(f"{path} is not JSON ({error}). Give a workflow that ComfyUI saved.") from error
    if not isinstance(data, dict) or not data:
        raise MagPlusError(f"{path} holds no workflow. Give a file that ComfyUI saved.")
    return data


def is_ui_form(data: Mapping[str, Any]) -> bool:
    """Whether the page saved this, positions and all."""
    return isinstance(data.get("nodes"), list)


def to_graph(data: Mapping[str, Any], registry: Registry, name: str = "workflow") -> Graph:
    """Either form as a graph. ``registry`` tells which widgets a node has."""
    return graph_from_ui(data, registry, name) if is_ui_form(data) else graph_from_api(data, name)


def apply_setting(graph: Graph, registry: Registry, setting: str) -> None:
    """Change one input: ``NODE.INPUT=VALUE``, the node by its id or its title. A link that ended there is cut."""
    where, equals, text = setting.partition("=")
    node_name, dot, input_name = where.rpartition(".")
    if not equals or not dot:
        raise MagPlusError(f'--set {setting}: give NODE.INPUT=VALUE, for example --set "Magnify Motion.alpha=8".')
    node = _find(graph, node_name, registry, input_name)
    kind = registry.get(node.type)
    target = None if kind is None else kind.input(input_name)
    if target is None or not target.widget:
        names = ", ".join(one.name for one in kind.inputs if one.widget) if kind else ""
        raise MagPlusError(f"--set {setting}: {node} has no input {input_name!r} to set. It has: {names or 'none'}.")
    node.inputs[input_name] = _value(text, next(iter(target.types)), setting)


def _find(graph: Graph, name: str, registry: Registry, input_name: str) -> GraphNode:
    if name in graph:
        return graph[name]
    found = [node for node in graph.values() if name in (node.title, node.type)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(node.id for node in found)
        raise MagPlusError(f"--set: {len(found)} nodes are called {name!r}. Name one by its id: {ids}.")
    known = ", ".join(
        f"{node.id} {node.title!r}" for node in graph.values() if _has(registry.get(node.type), input_name)
    )
    raise MagPlusError(f"--set: there is no node {name!r}. Nodes with an input {input_name!r}: {known or 'none'}.")


def _has(kind: NodeType | None, input_name: str) -> bool:
    return kind is not None and kind.input(input_name) is not None


def _value(text: str, wire: str, setting: str) -> Any:
    try:
        if wire == "INT":
            return int(text)
        if wire == "FLOAT":
            return float(text)
        if wire == "BOOLEAN":
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
    except (ValueError, KeyError):
        wanted = {"INT": "a whole number", "FLOAT": "a number", "BOOLEAN": "true or false"}[wire]
        raise MagPlusError(f"--set {setting}: {text!r} is not {wanted}.") from None
    return text
