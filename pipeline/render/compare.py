# SPDX-License-Identifier: Apache-2.0
"""Clips side by side, each under its own label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ...models.errors import MagPlusError
from ..clip import CHUNK, Clip
from .canvas import WHITE, Canvas, text_width

STRIP_COLOUR = (32, 32, 32)
MIN_FONT_PX = 8
GAP_PX = 4
"""Between neighbours, so that two pictures do not read as one."""


@dataclass(frozen=True)
class Panel:
    """A clip, or an iterator over chunks ``(n, 3, H, W)``, and what is written above it (ASCII)."""

    label: str
    frames: Clip | Iterable[Tensor]


def grid_frames(rows: Sequence[Sequence[Panel]], *, panel_height: int = 256) -> Iterator[Tensor]:
    """Frames ``(n, 3, H, W)`` in [0, 1] that show all panels in rows, in chunks of at most CHUNK frames.

    Every panel is brought to ``panel_height`` px and keeps its shape; its label stands on a strip of its own, so that
    it is legible whatever the frame shows. Rows are filled up to the widest one, and both sides are even, as H.264
    wants. All panels must have the same number of frames: an error names the one that ends first.
    """
    if not rows or not all(rows):
        raise MagPlusError("There is nothing to put side by side. Give at least one clip in each row.")
    if panel_height < 16:
        raise MagPlusError(f"Panels of {panel_height} px are too small to show anything. Give 16 px or more.")
    layout = [[_Column(panel, panel_height) for panel in row] for row in rows]
    columns = [column for row in layout for column in row]
    total = 0
    while True:
        sizes = {column.fill() for column in columns}
        if 0 in sizes:
            ended = [column.panel.label for column in columns if not column.ready]
            if len(ended) < len(columns):
                raise MagPlusError(
                    f"Panel '{ended[0]}' ends after {total} frames, others go on. Give clips of the same length."
                )
            return
        count = min(*sizes, CHUNK)
        total += count
        yield _even(_stacked([_side_by_side([column.take(count) for column in row]) for row in layout]))


class _Column:
    """A panel being read: frames that have arrived and are not shown yet, in their final size."""

    def __init__(self, panel: Panel, height: int) -> None:
        self.panel = panel
        self._height = height
        # a Clip is asked for its chunks; anything else is iterated as it is
        chunks = getattr(panel.frames, "chunks", None)
        self._source: Iterator[Tensor] = chunks() if chunks is not None else iter(panel.frames)  # type: ignore[arg-type]
        self._strip: Tensor | None = None
        self._frames: list[Tensor] = []

    @property
    def ready(self) -> int:
        """Frames at hand."""
        return sum(len(chunk) for chunk in self._frames)

    def fill(self) -> int:
        """Read on if nothing is at hand; the number of frames at hand, 0 at the end."""
        while not self.ready:
            chunk = next(self._source, None)
            if chunk is None:
                return 0
            self._frames = [_resized(chunk, self._height)]
        return self.ready

    def take(self, count: int) -> Tensor:
        """The next ``count`` frames under the label."""
        frames = torch.cat(self._frames)
        self._frames = [frames[count:]]
        if self._strip is None:
            self._strip = label_strip(self.panel.label, frames.shape[-1], self._height)
        return torch.cat([self._strip.expand(count, -1, -1, -1), frames[:count]], dim=-2)


def label_strip(label: str, width: int, panel_height: int) -> Tensor:
    """``label`` in white on dark, ``(3, h, width)``, h about a tenth of the panel; a long one in smaller letters."""
    height = max(18, round(panel_height / 10))
    size = round(0.62 * height)
    while size > MIN_FONT_PX and text_width(label, size) > width - 8:
        size -= 1
    while label and text_width(label, size) > width - 4:
        label = label[:-1]
    canvas = Canvas(width, height, STRIP_COLOUR)
    canvas.text(width / 2, height / 2, label, size=size, colour=WHITE, anchor="mm")
    return rearrange(torch.from_numpy(np.array(canvas.image())), "h w c -> c h w").float() / 255


def _resized(frames: Tensor, height: int) -> Tensor:
    """Frames at ``height`` px, their shape kept: averaged when they shrink, cubic when they grow."""
    old_height, old_width = frames.shape[-2:]
    width = max(1, round(old_width * height / old_height))
    if (height, width) == (old_height, old_width):
        return frames.detach().float().cpu()
    mode = cv2.INTER_AREA if height < old_height else cv2.INTER_CUBIC
    pictures = rearrange(frames.detach().float().cpu(), "n c h w -> n h w c").numpy()
    resized = np.stack([cv2.resize(picture, (width, height), interpolation=mode) for picture in pictures])
    return rearrange(torch.from_numpy(resized), "n h w c -> n c h w").clamp(0, 1)


def _side_by_side(panels: Sequence[Tensor]) -> Tensor:
    spaced = [_padded(panel, panel.shape[-1] + GAP_PX, panel.shape[-2]) for panel in panels[:-1]]
    return torch.cat([*spaced, panels[-1]], dim=-1)


def _stacked(rows: Sequence[Tensor]) -> Tensor:
    """Rows under each other, filled up on the right with the colour of the strip."""
    width = max(row.shape[-1] for row in rows)
    return torch.cat([_padded(row, width, row.shape[-2]) for row in rows], dim=-2)


def _even(frames: Tensor) -> Tensor:
    height, width = frames.shape[-2:]
    return _padded(frames, width + width % 2, height + height % 2)


def _padded(frames: Tensor, width: int, height: int) -> Tensor:
    right, below = width - frames.shape[-1], height - frames.shape[-2]
    return torch.nn.functional.pad(frames, (0, right, 0, below), value=STRIP_COLOUR[0] / 255)
