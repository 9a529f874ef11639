# SPDX-License-Identifier: Apache-2.0
"""What a format keeps of a clip, found out by writing and reading it."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from .formats import Format
from .reader import open_clip
from .writer import ClipWriter


def kept_by(format: Format, frames: Tensor, rate: Fraction) -> Tensor:
    """Frames ``(T, 3, H, W)`` in [0, 1] as a video of this format gives them back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"clip{format.suffixes[0]}"
        with ClipWriter(path, rate=rate, format=format) as writer:
            writer.write(frames)
        return torch.cat(list(open_clip(path).chunks()))
