# SPDX-License-Identifier: Apache-2.0
"""How a training goes, as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from .canvas import SERIES, Canvas
from .plot import PANEL_HEIGHT_PX, TITLE_FONT_PX, TITLE_HEIGHT_PX, WIDTH_PX, Series, draw_panel

PANELS = (
    ("dB more than untrained", ("psnr_db", "clean_psnr_db")),
    ("gain and px", ("gain", "error_px", "keypoint_px")),
    ("% of the motion", ("error_pct",)),
    ("parts of the motion", ("error", "faint_error", "coded_error")),
)
LABELS = {
    "psnr_db": "PSNR",
    "clean_psnr_db": "PSNR without noise",
    "gain": "motion gain",
    "error_px": "magnified error, px",
    "keypoint_px": "keypoints off, px",
    "error_pct": "error of the generator's motion",
    "error": "error",
    "faint_error": "error of faint motion",
    "coded_error": "error beside a codec",
}


def training_picture(history: Sequence[Mapping[str, float]], *, title: str) -> Image.Image:
    """Validation scores over the steps, those that a training has; PSNR as what was gained since the first entry."""
    steps = np.array([entry["step"] for entry in history])
    known = [(unit, [name for name in names if name in history[0]]) for unit, names in PANELS]
    panels = [(unit, names) for unit, names in known if names]
    canvas = Canvas(WIDTH_PX, TITLE_HEIGHT_PX + PANEL_HEIGHT_PX * len(panels))
    canvas.text(WIDTH_PX / 2, TITLE_HEIGHT_PX / 2 + 4, title, size=TITLE_FONT_PX, anchor="mm")
    for k, (unit, names) in enumerate(panels):
        series = []
        for colour, name in zip(SERIES, names, strict=False):
            values = np.array([entry[name] for entry in history])
            values = values - values[0] if name.endswith("_db") else values
            series.append(Series(label=LABELS[name], at=steps, values=values, colour=colour))
        top = TITLE_HEIGHT_PX + PANEL_HEIGHT_PX * k
        draw_panel(canvas, top, series, unit=unit, end=float(steps[-1]) or 1.0, across="steps")
    return canvas.image()
