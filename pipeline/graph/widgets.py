# SPDX-License-Identifier: Apache-2.0
"""Values of a node's widgets as the page stores them: by name, or in the order in which it draws them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .node_type import NodeType


def widget_values(kind: NodeType, node: Mapping[str, Any]) -> dict[str, Any]:
    """Values by input name. What an older file does not have yet gets its default, as the page does it."""
    stored = node.get("widgets_values")
    named = {**(node.get("widgets_values_named") or {}), **(stored if isinstance(stored, Mapping) else {})}
    places = iter(stored if isinstance(stored, list) else [])
    values: dict[str, Any] = {}
    for part in (True, False):
        group = [one for one in kind.inputs if one.widget and one.required is part]
        for one in group:
            value = next(places, one.default)
            values[one.name] = named.get(one.name, value)
            for _ in range(one.extra_widgets):
                next(places, None)
        if any(one.upload for one in group):
            next(places, None)
    return values
