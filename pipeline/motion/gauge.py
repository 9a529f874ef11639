# SPDX-License-Identifier: Apache-2.0
"""How large a clip's motion and its noise are, told by the displacement that a magnifier computes anyway."""

from __future__ import annotations

import logging
from dataclasses import replace

from torch import Tensor

from ...models.contracts import Part
from ...models.geometry import FaceBox
from ..clip import ClipInfo
from ..log import log
from ..measure import CurveBuilder, MotionCurve
from ..measure.grid import mask_grid
from .calibrate import is_noise

NOISE = "What is magnified is noise: no motion rises above it"


class MotionGauge:
    """A watch for `magnify`: the motion of what is magnified, against frame ``reference``, from the first frame on.

    ``box`` is the face, None where it is not known; then sizes are in parts of what is magnified. A frame keeps 8 kB,
    on disk where there are many. Use it in a ``with`` statement.
    """

    def __init__(self, info: ClipInfo, box: FaceBox | None, *, reference: int = 0) -> None:
        self._info, self._box, self._reference = info, box, reference
        self._builder: CurveBuilder | None = None

    def __enter__(self) -> MotionGauge:
        return self

    def __exit__(self, *_: object) -> None:
        if self._builder is not None:
            self._builder.__exit__()

    def __call__(self, fields_px: Tensor, part: Part, touched: Tensor) -> None:
        """Take in displacements ``(n, 2, h, w)`` of a part."""
        if self._builder is None:
            self._builder = self._begun(touched.float().cpu())
        here = replace(self._face, cx=self._face.cx - part.columns.start, cy=self._face.cy - part.rows.start)
        self._builder.append(fields_px, fields_box=here)

    def _begun(self, touched: Tensor) -> CurveBuilder:
        """Settle what is looked at: the part of the face that is magnified, or all that is magnified."""
        if self._box is None or not mask_grid(touched, self._box).any():
            self._box = None
        self._face = self._box or _around(touched)
        self._region = mask_grid(touched, self._face)
        return CurveBuilder(box=self._face, rate=self._info.rate, reference=self._reference)

    def curve(self) -> MotionCurve | None:
        """The motion of what was seen; None where the magnifier told none."""
        return None if self._builder is None else self._builder.finish(region=self._region)

    def told(self, *, warn: bool) -> str | None:
        """The same in words, which are logged too: as a warning where it is noise and ``warn`` is asked for."""
        curve = self.curve()
        if curve is None:
            return None
        text = in_words(curve, "the face width" if self._box else "the width of what is magnified")
        log.log(logging.WARNING if warn and is_noise(curve) else logging.INFO, "%s", text)
        return text


def _around(touched: Tensor) -> FaceBox:
    rows, columns = touched.any(1).nonzero(), touched.any(0).nonzero()
    top, left = int(rows[0]), int(columns[0])
    return FaceBox.from_corner(left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top)


def in_words(curve: MotionCurve, whole: str = "the face width") -> str:
    """Peak of a clip's motion in px and in percent of a width, against its noise floor; first of all if it is noise.

    What matters comes first and is short: a node on the canvas shows about 90 characters.
    """
    peak = f"Peak motion {abs(curve.peak_px):.3g} px ({abs(curve.peak_pct_face):.3g} % of {whole})"
    floor_px, floor = curve.noise_floor_px, curve.noise_floor_pct_face
    if floor_px is None or floor is None:
        return f"{peak}; too few frames to know the noise."
    if floor == 0:
        return f"{peak}, no noise."
    times = abs(curve.peak_pct_face) / floor
    text = f"{peak}, {times:{'.0f' if times >= 100 else '.3g'}} x noise ({floor_px:.2g} px)."
    return f"{NOISE}. {text} Check reference, mask and face box, or film with less noise." if is_noise(curve) else text
