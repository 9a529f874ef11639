# SPDX-License-Identifier: Apache-2.0
"""Workflows without a ComfyUI: reading both of its file forms, checking them and running them in order."""

from .check import check_types
from .execute import Finished, execute
from .graph import Graph, GraphNode, Link, api_form
from .node_type import InputType, NodeCall, NodeResult, NodeType, Registry
from .workflow import apply_setting, read_workflow, to_graph

__all__ = [
    "Finished",
    "Graph",
    "GraphNode",
    "InputType",
    "Link",
    "NodeCall",
    "NodeResult",
    "NodeType",
    "Registry",
    "api_form",
    "apply_setting",
    "check_types",
    "execute",
    "read_workflow",
    "to_graph",
]
