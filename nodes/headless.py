# SPDX-License-Identifier: Apache-2.0
"""Our nodes, and stand-ins for a few core ones, as the headless runner wants them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from ..pipeline.graph import InputType, NodeCall, NodeResult, NodeType, Registry
from .host import describe

WIDGETS = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})
"""Types for which the page draws a widget; all others are sockets."""

UPLOADS = ("image_upload", "video_upload", "audio_upload")


def registry(classes: Iterable[Any]) -> Registry:
    """Node types by id."""
    types = [node_type(one) for one in classes]
    return {one.id: one for one in types}


def node_type(node: Any) -> NodeType:
    """A node class in the runner's terms."""
    about = describe(node)
    names = tuple(inspect.signature(node.validate_inputs).parameters) if hasattr(node, "validate_inputs") else ()
    return NodeType(
        id=about["id"],
        inputs=tuple(_input(one) for one in about["inputs"]),
        outputs=tuple(one["type"] for one in about["outputs"]),
        is_output=about["output_node"],
        run=lambda call: _run(node, call),
        check=lambda values: _check(node, names, values),
        checks_itself=frozenset(names),
    )


def _input(about: Mapping[str, Any]) -> InputType:
    options = about.get("options")
    default = about.get("default", options[0] if options else None)
    return InputType(
        name=about["id"],
        types=frozenset(about["type"].split(",")),
        required=not about.get("optional", False),
        widget=about["type"] in WIDGETS and not about.get("forceInput", False),
        default=default,
        options=tuple(options) if options is not None else None,
        low=about.get("min"),
        high=about.get("max"),
        extra_widgets=int(bool(about.get("control_after_generate"))),
        upload=any(about.get(name) for name in UPLOADS),
    )


def _check(node: Any, names: tuple[str, ...], values: Mapping[str, Any]) -> str | None:
    if not names or not set(names) <= set(values):
        return None
    answer = node.validate_inputs(**{name: values[name] for name in names})
    return answer if isinstance(answer, str) else None


def _run(node: Any, call: NodeCall) -> NodeResult:
    """Run a copy of the class that knows its place in the graph, as ComfyUI does it."""
    extra = None if call.workflow is None else {"workflow": call.workflow}
    hidden = SimpleNamespace(unique_id=call.node_id, prompt=call.prompt, extra_pnginfo=extra)
    placed: Any = type(node.__name__, (node,), {"hidden": hidden})
    result = placed.execute(**call.inputs)
    shown = getattr(result, "ui", None)
    return NodeResult(
        values=tuple(result.args), shown=shown if isinstance(shown, dict) else shown.as_dict() if shown else {}
    )
