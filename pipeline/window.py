# SPDX-License-Identifier: Apache-2.0
"""Windows of pictures."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

STEP_PX = 16


def busiest(change: Tensor, size: tuple[int, int]) -> tuple[int, int]:
    """Top and left of the window of ``size`` with the largest sum of ``change`` ``(H, W)``, to 16 px."""
    rest = STEP_PX - 1  # without it, up to 15 rows and columns at the end would be in no window
    sums = F.avg_pool2d(F.pad(change, (0, rest, 0, rest))[None, None], size, stride=STEP_PX)
    places = divmod(int(sums.argmax()), sums.shape[-1])
    top, left = (min(k * STEP_PX, whole - cut) for k, whole, cut in zip(places, change.shape, size, strict=True))
    return top, left
