# SPDX-License-Identifier: Apache-2.0
"""Running a graph: every node once, in order, its results kept only as long as somebody still needs them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ...models.errors import MagPlusError
from .check import check_node, check_types, outputs_to_run
from .graph import Graph, GraphNode, Link, Muted, api_form
from .node_type import NodeCall, NodeResult, NodeType, Registry


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a node that saves or shows something has left for the user."""

    node: GraphNode
    shown: Mapping[str, Any]


class NodeFailedError(RuntimeError):
    """A fault inside a node, with the node's name; the cause has the traceback."""


def execute(
    graph: Graph,
    registry: Registry,
    *,
    workflow: Mapping[str, Any] | None = None,
    remark: Callable[[str], None] = lambda _: None,
    started: Callable[[GraphNode], None] = lambda _: None,
) -> list[Finished]:
    """Run all output nodes and what they need, each node once.

    Everything is checked before the first node starts. ``remark`` gets a sentence on each output that a muted node
    cuts off, ``started`` each node before it runs. A `MagPlusError` of a node is raised again with the node's name.
    """
    check_types(graph, registry)
    outputs, remarks = outputs_to_run(graph, registry)
    for sentence in remarks:
        remark(sentence)
    order = _in_order(graph, outputs)
    for node in order:
        check_node(graph, registry, node)
    prompt = api_form(graph)
    waiting = Counter(link.node for node in order for link in _links(node))
    results: dict[str, NodeResult] = {}
    finished = []
    for node in order:
        started(node)
        kind = registry[node.type]
        call = NodeCall(
            inputs=_arguments(kind, node, results), node_id=node.id, prompt=prompt, workflow=workflow
        )  # fmt: skip
        result = _run(kind, node, call)
        del call
        if kind.is_output:
            finished.append(Finished(node=node, shown=result.shown))
        if waiting[node.id]:
            results[node.id] = result
        for link in _links(node):
            waiting[link.node] -= 1
            if not waiting[link.node]:
                results.pop(link.node, None)
    return finished


def _run(kind: NodeType, node: GraphNode, call: NodeCall) -> NodeResult:
    try:
        # ComfyUI runs nodes in this mode; a result that is equal here must be made in the same one.
        with torch.inference_mode():
            result = kind.run(call)
    except MagPlusError as error:
        raise MagPlusError(f"{node}: {error}") from error
    except Exception as error:
        raise NodeFailedError(f"{node} failed: {type(error).__name__}: {error}") from error
    if len(result.values) < len(kind.outputs):
        raise NodeFailedError(f"{node} gave {len(result.values)} values for {len(kind.outputs)} outputs")
    return result


def _in_order(graph: Graph, outputs: list[GraphNode]) -> list[GraphNode]:
    """All nodes that the outputs need, each after those it needs itself; without recursion, for long chains."""
    done: dict[str, GraphNode] = {}
    for output in outputs:
        path = {output.id: _links(output)}
        while path:
            node = graph[next(reversed(path))]
            link = next(path[node.id], None)
            if link is None:
                done[node.id] = node
                del path[node.id]
            elif link.node in path:
                raise MagPlusError(f"{graph[link.node]} needs its own result: the workflow runs in a circle there.")
            elif link.node in graph and link.node not in done:
                path[link.node] = _links(graph[link.node])
    return list(done.values())


def _links(node: GraphNode) -> Iterator[Link]:
    return (value for value in node.inputs.values() if isinstance(value, Link))


def _arguments(kind: NodeType, node: GraphNode, results: Mapping[str, NodeResult]) -> dict[str, Any]:
    """Arguments by name; inputs that the node does not have are left out, as ComfyUI does it."""
    values = {}
    for name, value in node.inputs.items():
        if not isinstance(value, Muted):
            values[name] = results[value.node].values[value.slot] if isinstance(value, Link) else value
    return {one.name: values[one.name] for one in kind.inputs if one.name in values}
