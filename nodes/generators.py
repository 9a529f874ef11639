"""The frozen generators: weights and options of the model, for Animate Portrait."""

from __future__ import annotations

from typing import Any

from ..models.registry import load_backbone
from . import host
from .host import io
from .wires import Backbone, Loaded


class FlowTransfer(io.ComfyNode):  # type: ignore[misc]
    """The built-in generator."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusFlowTransfer",
            display_name="Flow Transfer (MagPlus)",
            category="MagPlus/Face",
            description="The built-in generator: moves the portrait's own pixels as the driving face moves. It needs "
            "no weights and shows no teeth or eyes that the portrait does not show.",
            search_aliases=["face animation backbone", "generator", "reenactment", "live portrait"],
            inputs=[],
            outputs=[Backbone.Output("backbone", tooltip="For Animate Portrait.")],
        )

    @classmethod
    def execute(cls) -> Any:
        """Build it."""
        model, _ = load_backbone("flow", [], {})
        return io.NodeOutput(Loaded(model=model, weights=("flow",), handles=host.managed(model)))
