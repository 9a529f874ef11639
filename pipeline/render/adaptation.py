# SPDX-License-Identifier: Apache-2.0
"""How an adaptation goes, as one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .canvas import SERIES, Canvas
from .plot import FONT_PX, PANEL_HEIGHT_PX, Series, draw_panel

WIDTH_PX, HEIGHT_PX = 512, 512
"""As large as a running picture may be without being reduced."""

HEAD_PX, LABEL_PX = 64, 26
LABELS = ("frame", "magnified, before", "magnified, now")


def adaptation_picture(history: Sequence[tuple[int, float, float]], pictures: Sequence[Tensor]) -> Image.Image:
    """Loss and motion error over the steps, and under them three pictures ``(3, h, w)``: a frame, before and now.

    ``history`` holds step, loss and motion error in px; both are drawn as parts of what they were at the start.
    """
    steps, losses, errors = (np.array(column, dtype=np.float64) for column in zip(*history, strict=True))
    best = int(losses.argmin())
    canvas = Canvas(WIDTH_PX, HEAD_PX + PANEL_HEIGHT_PX + LABEL_PX)
    canvas.text(12, 10, f"loss {losses[0]:.3g} -> {losses[best]:.3g} (step {steps[best]:.0f})", size=FONT_PX)
    canvas.text(12, 36, f"motion error {errors[0]:.3g} -> {errors[best]:.3g} px", size=FONT_PX)
    series = [
        Series(label=label, at=steps, values=values / (values[0] or 1.0), colour=colour)
        for label, values, colour in (("loss", losses, SERIES[0]), ("motion error", errors, SERIES[1]))
    ]
    draw_panel(canvas, HEAD_PX, series, unit="of start", end=float(steps[-1]) or 1.0, across="steps")
    side = WIDTH_PX // len(LABELS)
    for k, label in enumerate(LABELS):
        canvas.text(k * side + 6, HEAD_PX + PANEL_HEIGHT_PX + 4, label, size=FONT_PX - 2)
    return _above(canvas.image(), [_reduced(picture, side, HEIGHT_PX - canvas.height) for picture in pictures])


def _above(chart: Image.Image, pictures: Sequence[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (chart.width, chart.height + max(picture.height for picture in pictures)), "white")
    whole.paste(chart, (0, 0))
    for k, picture in enumerate(pictures):
        whole.paste(picture, (k * (chart.width // len(pictures)), chart.height))
    return whole


def _reduced(picture: Tensor, width: int, height: int) -> Image.Image:
    """As large as it can be in that room."""
    values = picture.detach().clamp(0, 1).mul(255).round().to("cpu", torch.uint8).permute(1, 2, 0).contiguous().numpy()
    image = Image.fromarray(values)
    scale = min(width / image.width, height / image.height)
    size = (max(1, round(scale * image.width)), max(1, round(scale * image.height)))
    return image.resize(size, Image.Resampling.LANCZOS)


def as_frame(picture: Image.Image) -> Tensor:
    """A drawn picture as a frame ``(3, H, W)``."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
