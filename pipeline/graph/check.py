# SPDX-License-Identifier: Apache-2.0
"""Everything that can be wrong with a graph before it runs, as ComfyUI checks it on its server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...models.errors import MagPlusError
from .graph import Graph, GraphNode, Link, Muted
from .node_type import InputType, NodeType, Registry

_CONVERT = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


def check_types(graph: Graph, registry: Registry) -> None:
    """Every node must be of a kind we have."""
    unknown = [str(node) for node in graph.values() if node.type not in registry]
    if not unknown:
        return
    core = ", ".join(sorted(name for name in registry if not name.startswith("MagPlus")))
    raise MagPlusError(
        f"This workflow has nodes of another pack or of ComfyUI itself: {'; '.join(unknown)}. Without ComfyUI only "
        f"MagPlus nodes and {core} can run. Mute or bypass the others and save again, or run the workflow in ComfyUI."
    )


def outputs_to_run(graph: Graph, registry: Registry) -> tuple[list[GraphNode], list[str]]:
    """Output nodes that get all they need, and a remark on each one that is cut off by a muted node."""
    ready, remarks = [], []
    for node in graph.values():
        if not registry[node.type].is_output:
            continue
        cut = _cut_off(graph, registry, node)
        if cut is None:
            ready.append(node)
        else:
            remarks.append(f"{node} is skipped: {cut}")
    if not ready:
        raise MagPlusError(
            "; ".join(remarks) or "This workflow has no node that saves or shows anything. Add a Save Video node."
        )
    return ready, remarks


def _cut_off(graph: Graph, registry: Registry, output: GraphNode) -> str | None:
    """Why an output cannot run because of a muted node, or None."""
    seen, waiting = {output.id}, [output]
    while waiting:
        node = waiting.pop()
        for name, value in node.inputs.items():
            if isinstance(value, Muted):
                one = registry[node.type].input(name)
                if one is not None and one.required:
                    return f'the input {name!r} of {node} needs "{value.title}", which is muted'
            elif isinstance(value, Link) and value.node in graph and value.node not in seen:
                seen.add(value.node)
                waiting.append(graph[value.node])
    return None


def check_node(graph: Graph, registry: Registry, node: GraphNode) -> None:
    """Bring the values of a node to their types, and refuse what does not fit."""
    kind = registry[node.type]
    problems = list(_problems(graph, registry, node, kind))
    if not problems:
        known = {name: value for name, value in node.inputs.items() if not isinstance(value, Link | Muted)}
        complaint = kind.check(known)
        problems = [] if complaint is None else [complaint]
    if problems:
        raise MagPlusError(f"{node}: {'; '.join(problems)}.".replace("..", "."))


def _problems(graph: Graph, registry: Registry, node: GraphNode, kind: NodeType) -> Iterator[str]:
    for one in kind.inputs:
        value = node.inputs.get(one.name)
        if one.name not in node.inputs or isinstance(value, Muted):
            if one.required:
                yield f"the input {one.name!r} is missing; connect or set it"
        elif isinstance(value, Link):
            problem = _link_problem(graph, registry, one, value)
            if problem:
                yield problem
        elif one.widget:
            problem = _convert(node.inputs, one)
            if problem is None and one.name not in kind.checks_itself:
                problem = _limits(one, node.inputs[one.name])
            if problem:
                yield problem


def _link_problem(graph: Graph, registry: Registry, one: InputType, link: Link) -> str | None:
    if link.node not in graph:
        return f"the input {one.name!r} is connected to node {link.node}, which is not there"
    origin = graph[link.node]
    outputs = registry[origin.type].outputs
    if not 0 <= link.slot < len(outputs):
        return f"the input {one.name!r} is connected to output {link.slot} of {origin}, which has {len(outputs)}"
    wire = outputs[link.slot]
    if one.accepts(wire):
        return None
    return f"the input {one.name!r} takes {', '.join(sorted(one.types))} but {origin} gives {wire}"


def _convert(values: dict[str, Any], one: InputType) -> str | None:
    convert = next((_CONVERT[wire] for wire in one.types if wire in _CONVERT), None)
    if convert is None or one.options is not None:
        return None
    try:
        values[one.name] = convert(values[one.name])
    except (TypeError, ValueError):
        return f"{one.name} is {values[one.name]!r}, not {'/'.join(sorted(one.types))}"
    return None


def _limits(one: InputType, value: Any) -> str | None:
    if one.options is not None and value not in one.options:
        shown = ", ".join(map(str, one.options[:12])) + (", ..." if len(one.options) > 12 else "")
        return f"{one.name} is {value!r}, which is not offered; there are: {shown or 'none'}"
    if one.low is not None and value < one.low:
        return f"{one.name} is {value:g}, below its smallest value {one.low:g}"
    if one.high is not None and value > one.high:
        return f"{one.name} is {value:g}, above its largest value {one.high:g}"
    return None
