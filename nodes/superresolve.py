# SPDX-License-Identifier: Apache-2.0
"""Super-resolve: a generated face at 512 px."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from torch import Tensor

from ..models.precision import PRECISION
from ..models.registry import load_superresolver, superresolver_files
from ..pipeline.motion.superresolve import WINDOW, superresolve
from . import convert, host
from .generators import file_input
from .host import io
from .wires import Loaded, keeping_reference, option_input


class SuperResolve(io.ComfyNode):  # type: ignore[misc]
    """Faces of 256 px to 512 px."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusSuperResolve",
            display_name="Super-resolve Face (MagPlus)",
            category="MagPlus/Face",
            description="MetaPortrait's super-resolution of a face clip from 256 to 512 px, neighbouring frames seen "
            "together. Use it after De-magnify: it invents detail, and what it invents must not be measured or scaled.",
            search_aliases=["upscale face", "gfpgan", "face restoration", "temporal super resolution"],
            inputs=[
                io.Image.Input("images", tooltip="A square face clip of 256 or 512 px, e.g. from De-magnify Motion."),
                file_input("weights", "temporal_gfpgan, converted to safetensors or as published."),
                io.Int.Input(
                    "window",
                    default=WINDOW,
                    min=1,
                    max=64,
                    tooltip="Frames seen together. More needs more memory, some 70 MB a frame; upstream takes 16.",
                ),
                io.Int.Input(
                    "overlap",
                    default=0,
                    min=0,
                    max=32,
                    tooltip="Frames that two windows share and blend, at most half a window. 0 as upstream, which may "
                    "show a seam; more costs time.",
                ),
                option_input(PRECISION),
            ],
            outputs=[io.Image.Output("images", tooltip="The clip at 512 px.")],
        )

    @classmethod
    def validate_inputs(cls, weights: str | None) -> bool | str:
        """A file that is not there is refused before anything runs, with where to get it."""
        return convert.missing_file(weights, superresolver_files())

    @classmethod
    def fingerprint_inputs(cls, weights: str, **_: Any) -> str:
        """Changes when the file is replaced by another one of the same name."""
        return convert.fingerprint(host.weight_path(weights))

    @classmethod
    def execute(cls, *, images: Tensor, weights: str, window: int, overlap: int, **options: Any) -> Any:
        """Load, enlarge."""
        clip = convert.to_clip(images, name="images", device=host.device())
        loaded = _network(weights, cls.fingerprint_inputs(weights), tuple(sorted(options.items())))
        with host.running() as progress:
            pictures = superresolve(clip, loaded.ready(), window=window, overlap=overlap, progress=progress)
            frames = convert.to_images(pictures, len(images))
        return io.NodeOutput(keeping_reference(frames, of=images))


@lru_cache(maxsize=1)
def _network(weights: str, fingerprint: str, options: tuple[tuple[str, Any], ...]) -> Loaded:
    """The network, kept from run to run."""
    model, checkpoint = load_superresolver(host.weight_path(weights), dict(options))
    return Loaded(model=model, weights=(checkpoint.sha256,), handles=host.managed(model))
