# SPDX-License-Identifier: Apache-2.0
"""Sizes that a network can take, around pictures of any size."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Padding:
    """Pixels put on at each side."""

    left: int
    right: int
    top: int
    bottom: int

    @classmethod
    def to_multiple(cls, pictures: Tensor, multiple: int, *, least: int = 0) -> Padding:
        """What takes ``(N, C, H, W)`` to sides that are multiples of a number and not below ``least``."""
        height, width = pictures.shape[-2:]
        rows, columns = (-(-max(side, least) // multiple) * multiple - side for side in (height, width))
        return cls(left=columns // 2, right=columns - columns // 2, top=rows // 2, bottom=rows - rows // 2)

    def put_on(self, pictures: Tensor) -> Tensor:
        """Larger pictures: the edge pixels go on outside."""
        sides = (self.left, self.right, self.top, self.bottom)
        return F.pad(pictures, sides, mode="replicate") if any(sides) else pictures

    def take_off(self, values: Tensor) -> Tensor:
        """The part that was there before."""
        height, width = values.shape[-2:]
        return values[..., self.top : height - self.bottom, self.left : width - self.right]
