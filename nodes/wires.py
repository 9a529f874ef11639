# SPDX-License-Identifier: Apache-2.0
"""What our own wires carry, and the inputs that several nodes share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..models.errors import MagPlusError
from ..models.options import Option
from ..pipeline.face.given import Numbers
from ..pipeline.face.sides import Sides
from ..pipeline.motion.animate import STRENGTHS
from ..pipeline.motion.auto import CALMEST
from ..pipeline.motion.loop import GAINS
from . import host
from .host import io

Magnifier = io.Custom("MAGPLUS_MAGNIFIER")
Guides = io.Custom("MAGPLUS_GUIDES")
"""Guides by name, as `models.guides.read_guides` gives them."""
Backbone = io.Custom("MAGPLUS_BACKBONE")
Crop = io.Custom("MAGPLUS_CROP")
"""A `ClipCrop`: one clip seen through a square."""
BothSides = io.Custom("MAGPLUS_SIDES")
"""`Sides`: how driving clip and portrait lie in an animation."""
Head = io.Custom("MAGPLUS_HEAD")
"""`HeadMotion`: what Stabilise Head took out."""
AlphaMap = io.Custom("MAGPLUS_ALPHA")
"""Magnification factor per pixel of the reference frame, ``(H, W)``."""
FlowEstimator = io.Custom("MAGPLUS_FLOW")
BoundingBox = io.Custom("BOUNDING_BOX")
Landmarks = io.Custom("FACE_LANDMARKS")

MAX_FRAME = 1_000_000
MAX_PX = 16384


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A network on a wire: the model, what weights it has, and ComfyUI's handles on it."""

    model: Any
    weights: tuple[str, ...] = ()
    """SHA-256 of each file, none for what comes with the pack."""
    handles: tuple[Any, ...] = ()

    def ready(self) -> Any:
        """The model, on the device where it is computed."""
        host.fetch(self.handles)
        return self.model


def reference_input(*, calmest: bool = False) -> Any:
    """The reference frame, first of the chain; with ``calmest`` it may be asked for."""
    return io.Int.Input(
        "reference_index",
        default=0,
        min=CALMEST if calmest else 0,
        max=MAX_FRAME,
        tooltip="Frame, counted from 0, against which all motion is taken: one with a calm face. The whole chain must "
        "use the same one, so connect this from the node before."
        + (" -1 looks for the calmest frame; then connect the output to the nodes that follow." if calmest else ""),
    )


def box_inputs(side: str, what: str) -> list[Any]:
    """Widgets for a face box in px."""
    hint = f"Face box on the {what}"
    return [
        io.Int.Input(f"{side}_x", default=0, min=-MAX_PX, max=MAX_PX, tooltip=f"{hint}: left edge, in px."),
        io.Int.Input(f"{side}_y", default=0, min=-MAX_PX, max=MAX_PX, tooltip=f"{hint}: top edge, in px."),
        io.Int.Input(
            f"{side}_width",
            default=0,
            min=0,
            max=MAX_PX,
            tooltip=f"{hint}: width in px, ear to ear. 0 here and below: the whole picture stands for the face.",
        ),
        io.Int.Input(
            f"{side}_height", default=0, min=0, max=MAX_PX, tooltip=f"{hint}: height in px, hairline to chin."
        ),
        io.Float.Input(
            f"{side}_angle",
            default=0.0,
            min=-180.0,
            max=180.0,
            step=0.5,
            advanced=True,
            tooltip=f"{hint}: roll of the head in degrees, clockwise on the screen.",
        ),
    ]


def box_socket(id: str, tooltip: str) -> Any:
    """A face box from another node. The page would draw a widget for it, whose numbers count without any connection."""
    return BoundingBox.Input(id, optional=True, extra_dict={"forceInput": True}, tooltip=tooltip)


def fps_input(tooltip: str, *, optional: bool = False, advanced: bool = False) -> Any:
    """Frames per second."""
    return io.Float.Input(
        "fps",
        optional=optional,
        default=25.0,
        min=0.01,
        max=10_000.0,
        step=0.01,
        advanced=advanced,
        tooltip=tooltip,
    )


def fps_for(purpose: str, *, optional: bool = False) -> Any:
    """Frames per second, for what is told in Hz."""
    tooltip = f"{purpose}: frames per second of the clip; connect it from Load Video."
    return fps_input(tooltip, optional=optional, advanced=True)


def target_input(tooltip: str, *, advanced: bool | None = None) -> Any:
    """Size of motion to magnify to."""
    about: dict[str, Any] = {"default": 3.0, "min": 0.1, "max": 50.0, "step": 0.1, "advanced": advanced}
    return io.Float.Input("target_pct_face", tooltip=tooltip, **about)


def alpha_inputs(auto: str, number: str) -> list[Any]:
    """How far to magnify. ``auto`` and ``number`` say what each mode does."""
    return [
        io.Combo.Input(
            "alpha_mode",
            options=["auto", "number"],
            default="auto",
            tooltip=f"'auto' {auto} brings its peak to target_pct_face; 'number' {number}.",
        ),
        io.Float.Input(
            "alpha",
            default=8.0,
            min=0.03125,
            max=256.0,
            step=0.05,
            tooltip="How many times larger the motion becomes, in mode 'number'. Above 1 enlarges, below 1 calms, 1 "
            "changes nothing. The built-in magnifier takes 1/32 to 32, FlowMag up to 256.",
        ),
        target_input(
            "Mode 'auto': size of the peak motion to reach, in percent of the face width. More gives a larger alpha.",
            advanced=True,
        ),
    ]


def intensity_input(tooltip: str) -> Any:
    """How strong the result moves."""
    return io.Float.Input("intensity", default=1.0, min=0.0, max=10.0, step=0.05, tooltip=tooltip)


def strength_input(purpose: str = "") -> Any:
    """How far the generator moves."""
    return io.Float.Input(
        "motion_strength",
        default=1.0,
        min=STRENGTHS[0],
        max=STRENGTHS[1],
        step=0.01,
        optional=True,
        advanced=True,
        tooltip=f"{purpose}Scales the motion inside the generator: 1 as it is, 1/alpha undoes the magnification "
        "there instead of when it is de-magnified, 0 gives a still portrait.",
    )


def gain_input(who: str) -> Any:
    """Which gain is measured and undone; ``who`` does it."""
    return io.Combo.Input(
        "gain",
        options=list(GAINS),
        default="face",
        optional=True,
        advanced=True,
        tooltip=f"What {who} measures and undoes: 'face' one gain, 'regions' a gain for each part of the face, for "
        "generators that pass on brows less than the mouth. Parts that do not move keep the whole face's.",
    )


def face_sockets(without_landmarks: str) -> list[Any]:
    """Where the face and its parts are: landmarks, or the crop that the clip shows."""
    return [
        Landmarks.Input(
            "landmarks",
            optional=True,
            tooltip="From ComfyUI's MediaPipe node: where the parts of the face are. Not connected: where they are in "
            f"an average face of the box.{without_landmarks}",
        ),
        Crop.Input("crop", optional=True, tooltip="From Crop Face, whose square 'images' show: tells the face."),
    ]


def box_sockets(side: str, what: str, *, per_frame: bool = False) -> list[Any]:
    """The same from other nodes; they win over the widgets."""
    used = "each frame has its own" if per_frame else "that of the reference frame is used"
    return [
        box_socket(
            f"{side}_box",
            f"Face box on the {what} from another node, in px, instead of the numbers. Of a list with one "
            f"entry per frame {used}.",
        ),
        io.Mask.Input(
            f"{side}_mask",
            optional=True,
            tooltip=f"Mask of the face on the {what} (white = face), instead of the numbers: its position, size and "
            "tilt are used.",
        ),
    ]


def numbers_of(values: Mapping[str, Any], side: str) -> Numbers:
    """The five numbers of `box_inputs`."""
    x, y, width, height, angle = (float(values[f"{side}_{k}"]) for k in ("x", "y", "width", "height", "angle"))
    return (x, y, width, height, angle)


def option_input(option: Option) -> Any:
    """A widget for an option of a model."""
    about: dict[str, Any] = {"default": option.default, "tooltip": f"{option.help[:1].upper()}{option.help[1:]}."}
    if option.choices:
        return io.Combo.Input(option.name, options=list(option.choices), **about)
    if isinstance(option.default, bool):
        return io.Boolean.Input(option.name, **about)
    if isinstance(option.default, float):
        return io.Float.Input(option.name, min=option.low, max=option.high, step=0.01, **about)
    return io.Int.Input(option.name, min=option.low, max=option.high, **about)


def magnifier_input() -> Any:
    """The magnifier, the built-in one where nothing is connected."""
    return Magnifier.Input(
        "magnifier",
        optional=True,
        tooltip="From Load Magnifier. Not connected: the built-in one, which needs no file.",
    )


def estimator_input(of: str = "", otherwise: str = "the pack's spline fit, which needs no file") -> Any:
    """What measures motion; ``otherwise`` says what does where nothing is connected."""
    return FlowEstimator.Input(
        "estimator",
        optional=True,
        tooltip=f"What measures the motion{of}, from Load Flow Estimator. Not connected: {otherwise}.",
    )


_TAG = "magplus_reference_index"


def with_reference(images: Tensor, index: int) -> Tensor:
    """Frames that remember which of them is the reference. Other nodes' results do not, and are taken as they are."""
    setattr(images, _TAG, index)
    return images


def keeping_reference(images: Tensor, of: Tensor) -> Tensor:
    """Frames that remember what others remember, of which they were made one by one."""
    return with_reference(images, getattr(of, _TAG)) if hasattr(of, _TAG) else images


def check_reference(index: int, **wires: Tensor | Sides | None) -> None:
    """One reference rules the chain: refuse what a node of ours made against another frame."""
    for name, wire in wires.items():
        made = wire.reference if isinstance(wire, Sides) else getattr(wire, _TAG, index)
        if made != index:
            raise MagPlusError(
                f"'{name}' was made against reference frame {made}, here it is frame {index}. All nodes of a chain "
                "need the same one: connect reference_index from the node before."
            )
