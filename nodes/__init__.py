# SPDX-License-Identifier: Apache-2.0
"""The pack's nodes. Thin: each converts, calls one function of the pipeline, and converts back."""

from __future__ import annotations

from typing import Any

from . import host
from .adapt import AdaptMagnifier
from .animate import AnimatePortrait
from .calibrate import CalibrateStrength
from .compare import CompareClips
from .crop_face import CropFace
from .demagnify import DemagnifyMotion
from .emoportraits import EMOPortraitsGuides
from .generators import FOMM, FSRT, EMOPortraits, FlowTransfer, KeyFace, MetaPortrait
from .load_flow import LoadFlow
from .load_video import LoadVideo
from .long_clip import LongClip
from .magnifier import LoadMagnifier
from .magnify import MagnifyMotion
from .metaportrait import MetaPortraitGuides
from .microscope import MotionMicroscope
from .paste_back import PasteBack
from .region_mask import RegionMask
from .report import MotionReport
from .response import ResponseCurve
from .restore_head import RestoreHeadMotion
from .save_video import SaveVideo
from .spot import SpotExpression
from .stabilise_head import StabiliseHead
from .superresolve import SuperResolve
from .track_face import TrackFace

NODES: tuple[Any, ...] = (
    LoadVideo,
    SaveVideo,
    LongClip,
    TrackFace,
    CropFace,
    PasteBack,
    StabiliseHead,
    RestoreHeadMotion,
    RegionMask,
    LoadMagnifier,
    MagnifyMotion,
    FlowTransfer,
    KeyFace,
    FOMM,
    FSRT,
    MetaPortrait,
    MetaPortraitGuides,
    EMOPortraits,
    EMOPortraitsGuides,
    AnimatePortrait,
    DemagnifyMotion,
    SuperResolve,
    CompareClips,
    CalibrateStrength,
    ResponseCurve,
    MotionReport,
    SpotExpression,
    MotionMicroscope,
    LoadFlow,
    AdaptMagnifier,
)


class Extension(host.ComfyExtension):  # type: ignore[misc]
    """What ComfyUI asks for."""

    async def on_load(self) -> None:
        """Make the weights folder known before any node lists it."""
        host.register_folders()

    async def get_node_list(self) -> list[Any]:
        """All nodes."""
        return list(NODES)
