"""The pack's nodes. Thin: each converts, calls one function of the pipeline, and converts back."""

from __future__ import annotations

from typing import Any

from . import host
from .animate import AnimatePortrait
from .compare import CompareClips
from .demagnify import DemagnifyMotion
from .generators import FOMM, FSRT, FlowTransfer
from .load_video import LoadVideo
from .magnifier import LoadMagnifier
from .magnify import MagnifyMotion
from .report import MotionReport
from .save_video import SaveVideo

NODES: tuple[Any, ...] = (
    LoadVideo,
    SaveVideo,
    LoadMagnifier,
    MagnifyMotion,
    FlowTransfer,
    FOMM,
    FSRT,
    AnimatePortrait,
    DemagnifyMotion,
    CompareClips,
    MotionReport,
)


class Extension(host.ComfyExtension):  # type: ignore[misc]
    """What ComfyUI asks for."""

    async def on_load(self) -> None:
        """Make the weights folder known before any node lists it."""
        host.register_folders()

    async def get_node_list(self) -> list[Any]:
        """All nodes."""
        return list(NODES)
