# SPDX-License-Identifier: Apache-2.0
"""How far each place of a picture has moved, in colours of one fixed scale, with the bar that explains them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..clip import Clip
from ..measure.flow import DisplacementEstimator
from .canvas import INK, WHITE, Canvas
from .compare import Panel

SHARE = 0.7
"""Of the colour; the rest is the frame in grey, by which places are recognised."""
BAR_WIDTH = 0.42
"""Width of the panel with the colour bar, in panel heights."""


def heat_panels(
    clips: Sequence[tuple[str, Clip]],
    estimator: DisplacementEstimator,
    *,
    scale_px: float,
    reference: int,
    height: int,
) -> list[Panel]:
    """A panel per clip and the colour bar at the end."""
    panels = [
        Panel(label, heat_frames(clip, estimator, scale_px=scale_px, reference=reference)) for label, clip in clips
    ]
    bar = colour_bar(scale_px, height)
    return [*panels, Panel("px", (bar.expand(len(chunk), -1, -1, -1) for chunk in clips[0][1].chunks()))]


def heat_frames(clip: Clip, estimator: DisplacementEstimator, *, scale_px: float, reference: int) -> Iterator[Tensor]:
    """Chunks ``(n, 3, H, W)``: the length of the displacement against the reference, over each frame in grey."""
    first = clip.frame(reference)
    for frames in clip.chunks():
        lengths = torch.cat([estimator(first, frame[None]) for frame in frames]).norm(dim=1).cpu().numpy()
        grey = frames.detach().float().cpu().mean(1, keepdim=True)
        yield SHARE * torch.from_numpy(coloured(lengths / scale_px)) + (1 - SHARE) * grey


def coloured(parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values ``(N, H, W)``, 0 to 1 and clipped beyond, as colours ``(N, 3, H, W)`` from dark to bright."""
    levels = (np.clip(parts, 0, 1) * 255).round().astype(np.uint8)
    pictures = [cv2.cvtColor(cv2.applyColorMap(one, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB) for one in levels]
    return np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32) / 255


def colour_bar(scale_px: float, height: int) -> Tensor:
    """The scale ``(1, 3, height, w)``, from 0 at the bottom to ``scale_px`` and more at the top."""
    width, size = max(56, round(BAR_WIDTH * height)), max(11, min(22, height // 12))
    canvas = Canvas(width, height)
    top, bottom = size, height - size
    for part in (0.0, 0.5, 1.0):
        y = bottom + (top - bottom) * part
        canvas.line([(0.36 * width, y), (0.44 * width, y)], INK, width=1.5)
        more = ">" if part == 1 else ""
        canvas.text(0.48 * width, y, f"{more}{scale_px * part:.3g}", size=size, anchor="lm")
    picture = torch.from_numpy(np.array(canvas.image())).permute(2, 0, 1).float() / WHITE[0]
    steps = np.linspace(1, 0, bottom - top, dtype=np.float32)[:, None]
    ramp = SHARE * coloured(steps[None])[0] + (1 - SHARE) * 0.5
    left, right = round(0.1 * width), round(0.36 * width)
    picture[:, top:bottom, left:right] = torch.from_numpy(ramp)
    return picture[None]
