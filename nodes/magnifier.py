# SPDX-License-Identifier: Apache-2.0
"""Load Magnifier: the network that enlarges motion."""

from __future__ import annotations

from typing import Any

from ..models.precision import PRECISION
from ..models.registry import BUILTIN, load_magnifier, magnifier_files
from . import convert, host
from .host import io
from .wires import Loaded, Magnifier, option_input


class LoadMagnifier(io.ComfyNode):  # type: ignore[misc]
    """Weights to a magnifier."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusLoadMagnifier",
            display_name="Load Magnifier (MagPlus)",
            category="MagPlus/Motion",
            description="The network that measures and scales motion: the built-in one, or weights of your own from "
            "models/magplus. What a file is, is told by its content, not by its name.",
            search_aliases=["motion magnification model", "lkmag", "flowmag", "magplus weights"],
            inputs=[
                io.Combo.Input(
                    "weights",
                    options=[BUILTIN, *host.weight_files()],
                    default=BUILTIN,
                    tooltip="'builtin' comes with the pack; other names are files in models/magplus, of FlowMag for "
                    "example.",
                ),
                option_input(PRECISION),
            ],
            outputs=[
                Magnifier.Output("magnifier", tooltip="For Magnify and De-magnify Motion."),
            ],
        )

    @classmethod
    def validate_inputs(cls, weights: str | None) -> bool | str:
        """A file that is not there is refused before anything runs, with where to get it."""
        return weights == BUILTIN or convert.missing_file(weights, magnifier_files())

    @classmethod
    def fingerprint_inputs(cls, weights: str, **_: Any) -> str:
        """Changes when the file is replaced by another one of the same name."""
        return weights if weights == BUILTIN else convert.fingerprint(host.weight_path(weights))

    @classmethod
    def execute(cls, *, weights: str, precision: str = str(PRECISION.default)) -> Any:
        """Read and recognise the file."""
        options = {} if precision == PRECISION.default else {PRECISION.name: precision}
        model, checkpoint = load_magnifier(weights if weights == BUILTIN else host.weight_path(weights), options)
        sums = (checkpoint.sha256,) if checkpoint else ()
        return io.NodeOutput(Loaded(model=model, weights=sums, handles=host.managed(model)))
