"""Windows of pictures."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

STEP_PX = 16


def busiest(change: Tensor, size: tuple[int, int]) -> tuple[int, int]:
    """Top and left of the window of ``size`` with the largest sum of ``change`` ``(H, W)``, to 16 px."""
    sums = F.avg_pool2d(change[None, None], size, stride=STEP_PX)
    row, column = divmod(int(sums.argmax()), sums.shape[-1])
    return row * STEP_PX, column * STEP_PX
