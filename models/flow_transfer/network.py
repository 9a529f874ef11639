# SPDX-License-Identifier: Apache-2.0
"""Flow Transfer: the driver's dense displacement, laid onto the portrait by the similarity between the two faces."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..checks import check_picture
from ..contracts import DriveResult, Framing, Guides
from ..errors import MagPlusError
from ..geometry import FaceBox, Similarity, between
from ..lkmag.network import LKMag, LKState
from ..sampling import spline_coefficients
from ..warp import border_window, box_window, carry, warp_by

FRAMING = Framing(scale=1.6, shift_y=0.0, size=256)

FADE = 0.35
"""Width of the soft edge outside the face box, as a part of the box's half side."""


@dataclass(frozen=True, kw_only=True)
class FlowSource:
    """The portrait and its face."""

    image: Tensor
    coefficients: Tensor
    box: FaceBox
    window: Tensor
    """Where it may move, ``(1, 1, H, W)`` in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class FlowDrive:
    """The portrait, the prepared reference of the driver, and the way from one to the other."""

    source: FlowSource
    reference: LKState
    to_source: Similarity


class FlowTransfer:
    """Backbone without weights (`models.contracts.AnimationBackbone`).

    Guides ``source_box`` and ``driving_box`` are `FaceBox`es; the driving box is that of the reference frame. Between
    the two faces lies one similarity: position, size and head roll. Different proportions of two faces are not
    modelled: a mouth corner's motion lands where the box says, not where the other mouth is.
    """

    name = "flow"
    framing = FRAMING
    max_sources = 1
    guide_names = frozenset({"source_box", "driving_box", "motion_strength"})

    def __init__(self) -> None:
        # The closed form alone: a trained magnifier leaves still what may be noise, and here motion is passed on.
        self._estimator = LKMag()

    def encode_source(self, sources: Tensor, guides: Guides) -> FlowSource:
        """Spline of the portrait ``(1, 3, H, W)``; needs the guide ``source_box``."""
        if len(sources) != 1:
            raise MagPlusError(f"Flow Transfer takes one source picture, not {len(sources)}.")
        check_picture(sources[0])
        box = _box(guides, "source_box")
        return FlowSource(
            image=sources,
            coefficients=spline_coefficients(sources),
            box=box,
            window=box_window(box, sources, FADE),
        )

    def set_reference(self, source_state: FlowSource, frame: Tensor, guides: Guides) -> FlowDrive:
        """Prepare the driver's reference ``(3, H, W)``; needs the guide ``driving_box``."""
        return FlowDrive(
            source=source_state,
            reference=self._estimator.prepare(frame),
            to_source=between(_box(guides, "driving_box"), source_state.box),
        )

    def drive(self, drive_state: FlowDrive, frames: Tensor, guides: Guides) -> DriveResult:
        """The portrait, moved as the face in ``frames`` ``(N, 3, H, W)`` moved since the reference."""
        measured = self._estimator.displacement(drive_state.reference, frames)
        # Beyond its own picture the driver says nothing; ending there abruptly would tear the portrait.
        known = measured * border_window(measured)
        source = drive_state.source
        height, width = source.image.shape[-2:]
        displacement = carry(known, drive_state.to_source, (height, width)) * source.window
        displacement = displacement * float(guides.get("motion_strength", 1.0))
        return DriveResult(frames=warp_by(source.image, source.coefficients, displacement))


def _box(guides: Guides, name: str) -> FaceBox:
    box = guides.get(name)
    if not isinstance(box, FaceBox):
        raise MagPlusError(f"Flow Transfer needs the guide '{name}', a face box. Give a box or a mask of the face.")
    return box
