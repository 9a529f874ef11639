# SPDX-License-Identifier: Apache-2.0
"""What the runner has to know about a kind of node. Whoever owns the node classes translates them into this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

ANY = "*"


@dataclass(frozen=True, kw_only=True)
class InputType:
    """One input. ``types`` are the wire types it takes; a widget also takes a value from the file itself."""

    name: str
    types: frozenset[str]
    required: bool = True
    widget: bool = False
    default: Any = None
    options: tuple[Any, ...] | None = None
    low: float | None = None
    high: float | None = None
    extra_widgets: int = 0
    """Widgets that the page puts right behind this one and that never reach the node, e.g. what to do after a run."""
    upload: bool = False
    """The page adds an upload button, which takes a place of its own behind the last required widget."""

    def accepts(self, wire: str) -> bool:
        """Whether a wire of type ``wire`` (several are separated by commas) may end here."""
        offered = set(wire.split(","))
        return ANY in offered or ANY in self.types or bool(offered & self.types)


@dataclass(frozen=True, kw_only=True)
class NodeCall:
    """Everything a node is run with: its inputs, and what ComfyUI keeps in hidden inputs."""

    inputs: Mapping[str, Any]
    node_id: str
    prompt: Mapping[str, Any]
    workflow: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class NodeResult:
    """Values of the outputs, and what the node would show on the page."""

    values: tuple[Any, ...]
    shown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NodeType:
    """A kind of node: its id in a file, its inputs in the order of its schema, the wire types of its outputs."""

    id: str
    inputs: tuple[InputType, ...]
    outputs: tuple[str, ...]
    run: Callable[[NodeCall], NodeResult]
    is_output: bool = False
    check: Callable[[Mapping[str, Any]], str | None] = lambda _: None
    """Complaint about the values that are known before the run, or None."""
    checks_itself: frozenset[str] = frozenset()
    """Inputs whose options and limits ``check`` judges instead of the runner."""

    def input(self, name: str) -> InputType | None:
        """The input of that name."""
        return next((one for one in self.inputs if one.name == name), None)


Registry = Mapping[str, NodeType]
