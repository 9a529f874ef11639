# SPDX-License-Identifier: Apache-2.0
"""One line of a clip over time: motion too small to see becomes the slope of an edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ...models.errors import MagPlusError
from ..clip import CHUNK, Clip
from ..measure.flow import DisplacementEstimator
from ..progress import Progress, silent
from .canvas import INK, SERIES, Canvas
from .plot import FONT_PX, nice_ticks

Picture = NDArray[np.float32]

VERTICAL, HORIZONTAL = LINES = ("vertical line", "horizontal line")

SLICE_WIDTH_PX, SLICE_HEIGHT_PX = 560, 220
LEFT_PX, RIGHT_PX, HEAD_PX, FOOT_PX, GAP_PX = 64, 16, 32, 54, 10
VIEW_PX = 200
"""Width of the frame beside its slice, in which the line is marked."""
MARK = SERIES[1]
HALF_LINES = 1
"""Lines on either side that are averaged with the chosen one: less noise, hardly less motion."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line through a picture: across it at ``position`` (0 to 1), from ``start`` to ``stop`` (0 to 1) along it."""

    direction: str = VERTICAL
    position: float = 0.5
    start: float = 0.0
    stop: float = 1.0

    def __post_init__(self) -> None:
        if self.direction not in LINES:
            raise MagPlusError(f"There is no '{self.direction}'. Choose one of: {', '.join(LINES)}.")
        if not 0 <= self.start < self.stop <= 1:
            raise MagPlusError(f"The line from {self.start:g} to {self.stop:g} has no length. Give it one.")

    def span(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of it; whichever it lies across is `HALF_LINES` to either side."""
        along, across = (height, width) if self.direction == VERTICAL else (width, height)
        first = min(int(self.start * along), along - 2)
        part = slice(first, max(round(self.stop * along), first + 2))
        middle = min(round(self.position * (across - 1)), across - 1)
        thin = slice(max(middle - HALF_LINES, 0), middle + HALF_LINES + 1)
        return (part, thin) if self.direction == VERTICAL else (thin, part)


def liveliest(
    clip: Clip, direction: str, estimator: DisplacementEstimator | None = None, *, reference: int = 0
) -> float:
    """Position of the line whose brightness changes most over time, or by an ``estimator`` of that which moves most.

    What moves along the line is seen in its slice, what moves across it is not: of the displacement against the
    reference frame the part along the line counts.
    """
    if estimator is None:
        change = _variance(clip)
    else:
        first, along = clip.frame(reference), int(direction == VERTICAL)
        moved = [estimator(first, frame[None])[0, along].square() for chunk in clip.chunks(CHUNK) for frame in chunk]
        change = torch.stack([field.cpu().double() for field in moved]).mean(0)
    across = change.mean(0 if direction == VERTICAL else 1)
    smooth = torch.nn.functional.avg_pool1d(across[None, None], 5, 1, 2, count_include_pad=False)[0, 0]
    return int(smooth.argmax()) / max(len(smooth) - 1, 1)


def _variance(clip: Clip) -> Tensor:
    """Of the brightness over time ``(H, W)``."""
    total, squares, count = torch.zeros(1), torch.zeros(1), 0
    for frames in clip.chunks(CHUNK):
        grey = frames.float().mean(1).cpu().double()
        total, squares, count = total + grey.sum(0), squares + (grey**2).sum(0), count + len(grey)
    return squares / count - (total / count) ** 2


def x_t_slice(clip: Clip, line: Line, *, stage: str = "slice", progress: Progress = silent) -> Picture:
    """The line in every frame side by side: ``(length, T, 3)``, time to the right."""
    rows, columns = line.span(clip.info.height, clip.info.width)
    parts, done = [], 0
    for frames in clip.chunks(CHUNK):
        part = frames[..., rows, columns].float().mean(-1 if line.direction == VERTICAL else -2)
        parts.append(part.cpu().permute(2, 0, 1).numpy())
        for frame in frames:
            done += 1
            progress(stage, done, clip.info.count, frame)
    return np.concatenate(parts, axis=1).astype(np.float32)


def microscope_picture(
    clips: Sequence[tuple[str, Clip]], line: Line, *, reference: int = 0, progress: Progress = silent
) -> tuple[Image.Image, list[Picture]]:
    """Slices of labelled clips under each other, each beside its frame; time in ms, place in px. And the slices."""
    slices = [x_t_slice(clip, line, progress=progress) for _, clip in clips]
    height = HEAD_PX + SLICE_HEIGHT_PX
    canvas = Canvas(VIEW_PX + LEFT_PX + SLICE_WIDTH_PX + RIGHT_PX, (height + GAP_PX) * len(clips) + FOOT_PX - GAP_PX)
    left = VIEW_PX + LEFT_PX
    pasted: list[tuple[Image.Image, int, int]] = []
    for k, ((label, clip), found) in enumerate(zip(clips, slices, strict=True)):
        top = k * (height + GAP_PX)
        canvas.text(left, top + 6, f"{label}, {line.direction} at {line.position:.2f}", size=FONT_PX)
        pasted.append((_stretched(found), left, top + HEAD_PX))
        pasted.append((_view(clip.frame(reference), line), 8, top + HEAD_PX))
        _place_axis(canvas, line, clip, left, top + HEAD_PX)
    _time_axis(canvas, clips[0][1], left, (height + GAP_PX) * len(clips) - GAP_PX)
    whole = canvas.image()
    for picture, x, y in pasted:
        whole.paste(picture, (x, y))
    return whole, slices


def _stretched(found: Picture) -> Image.Image:
    """In its final size: smooth along the line, every frame a column of its own."""
    tall = cv2.resize(found, (found.shape[1], SLICE_HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
    columns = (np.arange(SLICE_WIDTH_PX) * found.shape[1]) // SLICE_WIDTH_PX
    return Image.fromarray((tall[:, columns].clip(0, 1) * 255).round().astype(np.uint8))


def _view(frame: Tensor, line: Line) -> Image.Image:
    """The frame with the line, as large as there is room."""
    values = frame.detach().clamp(0, 1).mul(255).round().to("cpu", torch.uint8).permute(1, 2, 0).contiguous().numpy()
    height, width = values.shape[:2]
    scale = min((VIEW_PX - 16) / width, SLICE_HEIGHT_PX / height)
    rows, columns = line.span(height, width)
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    small = cv2.resize(values, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    middle = [((s.start + s.stop - 1) / 2 + 0.5) * scale for s in (rows, columns)]
    if line.direction == VERTICAL:
        ends = (middle[1], rows.start * scale), (middle[1], rows.stop * scale)
    else:
        ends = (columns.start * scale, middle[0]), (columns.stop * scale, middle[0])
    first, last = ((round(x), round(y)) for x, y in ends)
    return Image.fromarray(cv2.line(np.ascontiguousarray(small), first, last, MARK, 2, cv2.LINE_AA))


def _place_axis(canvas: Canvas, line: Line, clip: Clip, left: float, top: float) -> None:
    rows, columns = line.span(clip.info.height, clip.info.width)
    along = rows if line.direction == VERTICAL else columns
    length = along.stop - along.start
    for value in nice_ticks(along.start, along.stop, 4):
        y = top + (value - along.start) / length * SLICE_HEIGHT_PX
        canvas.line([(left - 5, y), (left, y)], INK, width=1.5)
        unit = " px" if value == nice_ticks(along.start, along.stop, 4)[0] else ""
        anchor = "ra" if y < top + FONT_PX else "rd" if y > top + SLICE_HEIGHT_PX - FONT_PX else "rm"
        canvas.text(left - 8, y, f"{value:g}{unit}", size=FONT_PX - 2, anchor=anchor)


def _time_axis(canvas: Canvas, clip: Clip, left: float, top: float) -> None:
    frame_ms = float(1000 / clip.info.rate)
    end = frame_ms * (clip.info.count or 1)
    for at in nice_ticks(0, end, 7):
        x = left + (at + frame_ms / 2) / end * SLICE_WIDTH_PX
        if x < left + SLICE_WIDTH_PX - 40:
            canvas.line([(x, top), (x, top + 6)], INK, width=1.5)
            canvas.text(x, top + 9, f"{at:g}", size=FONT_PX, anchor="ma")
    canvas.text(left + SLICE_WIDTH_PX, top + 9, "ms", size=FONT_PX, anchor="ra")
