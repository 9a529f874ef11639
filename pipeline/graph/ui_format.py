# SPDX-License-Identifier: Apache-2.0
"""What the page saves: nodes with positions, links as lists (form 0.4) or objects (1.0), and nodes that it alone knows.

Reroutes, primitives, notes, bypassed and muted nodes and subgraphs are resolved here as the page does before it queues
a prompt. Reroute points on a link need nothing: the link itself still names both of its ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...models.errors import MagPlusError
from .graph import Graph, GraphNode, Link, Muted
from .node_type import ANY, Registry
from .widgets import widget_values

MUTED, BYPASSED = 2, 4
NOTES = frozenset({"Note", "MarkdownNote"})
REROUTE, PRIMITIVE = "Reroute", "PrimitiveNode"
INPUT_SIDE, OUTPUT_SIDE = -10, -20
"""Ids that stand for a subgraph's own inputs and outputs in its links."""
INPUT_WIDGET = "-1"
"""In the page's list of a subgraph's widgets: this one is an input."""
DEEPEST, NESTED = 100, 20
"""Reroutes and subgraphs in a row beyond which a workflow runs in a circle."""


@dataclass(frozen=True)
class _Value:
    """A number or text that a primitive node puts where its link ends."""

    value: Any


@dataclass
class _Scope:
    """The top level, or the inside of one subgraph node."""

    nodes: dict[int, Mapping[str, Any]]
    links: dict[int, tuple[int, int, int, int]]
    """(origin id, origin slot, target id, target slot) by link id."""
    subgraphs: dict[str, Mapping[str, Any]]
    path: str = ""
    outside: tuple[_Scope, Mapping[str, Any]] | None = None
    names: list[str] = field(default_factory=list)
    """Names of the subgraph's inputs."""


def graph_from_ui(data: Mapping[str, Any], registry: Registry, name: str) -> Graph:
    """Resolve everything that only the page knows; ``name`` is the file's, for errors."""
    definitions = (data.get("definitions") or {}).get("subgraphs") or []
    try:
        top = _scope(data, {one["id"]: one for one in definitions})
        return {node.id: node for node in _walk(top, registry)}
    except MagPlusError:
        raise
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise MagPlusError(
            f"{name}: this workflow cannot be read ({type(error).__name__}: {error}). Open it in ComfyUI and save "
            "it again."
        ) from error


def _scope(data: Mapping[str, Any], subgraphs: dict[str, Mapping[str, Any]], **keywords: Any) -> _Scope:
    links = {}
    for link in data.get("links") or []:
        if isinstance(link, Mapping):
            ends = (link["origin_id"], link["origin_slot"], link["target_id"], link["target_slot"])
            links[link["id"]] = ends
        elif link:
            links[link[0]] = tuple(link[1:5])
    return _Scope({node["id"]: node for node in data["nodes"]}, links, subgraphs, **keywords)


def _inside(scope: _Scope, node: Mapping[str, Any]) -> _Scope:
    if scope.path.count(":") > NESTED:
        raise MagPlusError(f"The subgraph {_title(node)!r} contains itself. Repair the workflow in ComfyUI.")
    definition = scope.subgraphs[node["type"]]
    return _scope(
        definition,
        scope.subgraphs,
        path=f"{scope.path}{node['id']}:",
        outside=(scope, node),
        names=[one["name"] for one in definition.get("inputs") or []],
    )


def _walk(scope: _Scope, registry: Registry) -> Iterator[GraphNode]:
    for node in sorted(scope.nodes.values(), key=lambda node: node.get("order", 0)):
        if node.get("mode") in (MUTED, BYPASSED) or node["type"] in NOTES | {REROUTE, PRIMITIVE}:
            continue
        if node["type"] in scope.subgraphs:
            yield from _walk(_inside(scope, node), registry)
        else:
            yield GraphNode(
                id=f"{scope.path}{node['id']}",
                type=node["type"],
                title=_title(node),
                inputs=_inputs(scope, node, registry),
            )


def _inputs(scope: _Scope, node: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    """Widget values, replaced by a link wherever one ends."""
    kind = registry.get(node["type"])
    values: dict[str, Any] = {} if kind is None else widget_values(kind, node)
    for one in node.get("inputs") or []:
        found = None if one.get("link") is None else _source(scope, one["link"])
        if found is not None:
            values[one["name"]] = found.value if isinstance(found, _Value) else found
    return values


def _source(scope: _Scope, link: int, depth: int = 0) -> Link | Muted | _Value | None:
    """Where the data on a link really comes from; None where nothing is connected in the end."""
    if link not in scope.links:
        return None
    origin, slot, *_ = scope.links[link]
    return _origin(scope, origin, slot, depth)


def _origin(scope: _Scope, origin: int, slot: int, depth: int) -> Link | Muted | _Value | None:
    if depth > DEEPEST:
        raise MagPlusError("The reroutes of this workflow run in a circle. Open it in ComfyUI and repair it.")
    if origin == INPUT_SIDE and scope.outside is not None:
        outer, node = scope.outside
        found = _through(outer, _input_named(node, scope.names[slot]), depth)
        return _promoted(scope, node, scope.names[slot]) if found is None else found
    return _from_node(scope, scope.nodes[origin], slot, depth)


def _from_node(scope: _Scope, node: Mapping[str, Any], slot: int, depth: int) -> Link | Muted | _Value | None:
    if node.get("mode") == MUTED:
        return Muted(_title(node))
    if node["type"] == PRIMITIVE:
        values = node.get("widgets_values") or []
        return _Value(values[0]) if values else None
    if node["type"] == REROUTE or node.get("mode") == BYPASSED:
        return _through(scope, _passed_through(node, slot), depth)
    if node["type"] in scope.subgraphs:
        inner = _inside(scope, node)
        ends = [link for link in inner.links.values() if link[2:] == (OUTPUT_SIDE, slot)]
        return _origin(inner, ends[0][0], ends[0][1], depth + 1) if ends else None
    return Link(f"{scope.path}{node['id']}", slot)


def _through(scope: _Scope, entry: Mapping[str, Any] | None, depth: int) -> Link | Muted | _Value | None:
    link = None if entry is None else entry.get("link")
    return None if link is None else _source(scope, link, depth + 1)


def _input_named(node: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    return next((one for one in node.get("inputs") or [] if one["name"] == name), None)


def _promoted(inside: _Scope, node: Mapping[str, Any], name: str) -> _Value | None:
    """What a subgraph node itself says for an input that it shows as a widget; None leaves it to the node inside.

    Values are stored by name, or in the order in which the page lists those widgets. A widget that is shown without
    being an input is stored in the node inside.
    """
    named = node.get("widgets_values_named") or {}
    if name in named:
        return _Value(named[name])
    listed = (node.get("properties") or {}).get("proxyWidgets")
    shown = _widget_inputs(inside) if listed is None else [entry for where, entry in listed if where == INPUT_WIDGET]
    values = dict(zip(shown, node.get("widgets_values") or [], strict=False))
    return _Value(values[name]) if name in values else None


def _widget_inputs(inside: _Scope) -> list[str]:
    """Names of a subgraph's inputs that end at a widget, in their order."""
    slots = {
        slot
        for origin, slot, target, place in inside.links.values()
        if origin == INPUT_SIDE and target in inside.nodes and "widget" in inside.nodes[target]["inputs"][place]
    }
    return [name for slot, name in enumerate(inside.names) if slot in slots]


def _passed_through(node: Mapping[str, Any], slot: int) -> Mapping[str, Any] | None:
    """The input that a bypassed node hands to its output ``slot``: the one opposite, else the first of that type."""
    inputs, wanted = node.get("inputs") or [], node["outputs"][slot]["type"]
    opposite = inputs[slot : slot + 1]
    for one in [*opposite, *inputs]:
        if one["type"] == wanted:
            return one
    for one in [*opposite, *inputs]:
        if ANY in (one["type"], wanted):
            return one
    return None


def _title(node: Mapping[str, Any]) -> str:
    return node.get("title") or (node.get("properties") or {}).get("Node name for S&R") or node["type"]
