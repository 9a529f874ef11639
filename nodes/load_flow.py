# SPDX-License-Identifier: Apache-2.0
"""Load Flow Estimator: optical flow for the loss of Adapt Magnifier and for all that measures motion."""

from __future__ import annotations

from typing import Any

from ..models.registry import estimator_files, load_estimator
from . import convert, host
from .generators import NOTHING_YET
from .host import io
from .wires import FlowEstimator, Loaded


class LoadFlow(io.ComfyNode):  # type: ignore[misc]
    """Weights to a flow estimator."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusLoadFlow",
            display_name="Load Flow Estimator (MagPlus)",
            category="MagPlus/Measure",
            description="A network that measures motion: RAFT or ARFlow. The pack measures well without one; give it "
            "to any node that measures as an independent witness, or to Adapt Magnifier as FlowMag's authors do.",
            search_aliases=["optical flow", "raft", "arflow", "pwc", "motion estimation"],
            inputs=[
                io.Combo.Input(
                    "weights",
                    options=host.weight_files() or [NOTHING_YET],
                    tooltip="raft-things.pth, pwclite_ar.tar, or a training checkpoint of FlowMag, which holds one of "
                    f"the two. Files lie in models/{host.KIND}; what a file is, is told by its content.",
                ),
            ],
            outputs=[
                FlowEstimator.Output(
                    "estimator", tooltip="For Motion Report, Spot Expression and the like, and Adapt Magnifier."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, weights: str | None) -> bool | str:
        """A file that is not there is refused before anything runs, with where to get it."""
        return convert.missing_file(weights, estimator_files())

    @classmethod
    def fingerprint_inputs(cls, weights: str) -> str:
        """Changes when the file is replaced by another one of the same name."""
        return convert.fingerprint(host.weight_path(weights))

    @classmethod
    def execute(cls, *, weights: str) -> Any:
        """Read and recognise the file."""
        model, checkpoint = load_estimator(host.weight_path(weights))
        return io.NodeOutput(Loaded(model=model, weights=(checkpoint.sha256,), handles=host.managed(model)))
