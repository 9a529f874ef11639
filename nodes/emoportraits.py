# SPDX-License-Identifier: Apache-2.0
"""What EMOPortraits needs beyond pixels: a mask and head poses, for Animate Portrait."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..models.catalog import BACKBONES
from ..models.guides import Given, read_guides
from .arrays import NO_FILE, array_input, array_of, fingerprint_arrays
from .host import io
from .wires import Guides


class EMOPortraitsGuides(io.ComfyNode):  # type: ignore[misc]
    """Mask and head poses."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusEMOPortraitsGuides",
            display_name="EMOPortraits Guides (MagPlus)",
            category="MagPlus/Face",
            description="The mask of the portrait's head for EMOPortraits and, for who has no head pose regressor, "
            "head poses. Everything may be left open; without a mask the background moves with the head.",
            search_aliases=["head mask", "head pose", "segmentation"],
            inputs=[
                array_input("source_theta", "Head pose of the portrait, .npy (4, 4) in the input folder, instead of "
                            "the regressor's."),
                array_input("driving_theta", "Head pose of the driving clip, .npy (4, 4) of its reference frame or "
                            "(frames, 4, 4)."),
                io.Mask.Input(
                    "source_mask",
                    optional=True,
                    tooltip="White on the portrait's head with hair and neck, black on clothes and background, at the "
                    "portrait's size. Any segmentation node gives one.",
                ),
            ],
            outputs=[Guides.Output("guides", tooltip="For Animate Portrait.")],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, source_theta: str, driving_theta: str, **_: Any) -> str:
        """Changes when a file is written anew."""
        return fingerprint_arrays(source_theta, driving_theta)

    @classmethod
    def execute(cls, *, source_theta: str, driving_theta: str, source_mask: Tensor | None = None) -> Any:
        """Read what is given."""
        files = {"source_theta": source_theta, "driving_theta": driving_theta}
        given: dict[str, Given] = {name: array_of(file) for name, file in files.items() if file != NO_FILE}
        if source_mask is not None:
            given["source_mask"] = source_mask.cpu().numpy()
        return io.NodeOutput(read_guides(BACKBONES["emoportraits"].guides, given, of="EMOPortraits"))
