"""The learned finish: how to blend the two warped pictures, and what both lack."""

from __future__ import annotations

import torch
from torch import Tensor, nn

DILATIONS = (1, 2, 4, 1)
_FEATURES = 3 + 3 + 3 + 2 + 1 + 1 + 1


class Refiner(nn.Module):
    """Residual CNN on both warps. Its last layer starts at zero, which leaves the prior's blend exactly as it is."""

    def __init__(self, *, width: int = 32) -> None:
        super().__init__()
        widths = [_FEATURES] + [width] * len(DILATIONS)
        layers: list[nn.Module] = []
        for index, dilation in enumerate(DILATIONS):
            layers.append(nn.Conv2d(widths[index], widths[index + 1], 3, padding=dilation, dilation=dilation))
            layers.append(nn.ReLU())
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(width, 4, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, still: Tensor, moved: Tensor, motion: Tensor, alpha: Tensor, blend: Tensor) -> Tensor:
        """Picture ``(N, 3, H, W)``.

        ``still`` and ``moved`` ``(N, 3, H, W)`` are reference and frame, both sampled at the same material points,
        ``motion`` ``(N, 2, H, W)`` is the magnified displacement in px, ``alpha`` broadcasts to ``(N, 1, H, W)``,
        ``blend``
        ``(N, 1, H, W)`` the prior's share of ``moved`` in [0, 1].
        """
        length = motion.square().sum(1, keepdim=True).add(1e-8).sqrt()
        log_alpha = alpha.clamp(min=1 / 32).log2().expand(len(moved), 1, *moved.shape[-2:]) / 5
        features = torch.cat([still, moved, moved - still, motion / 8, length / 8, log_alpha, blend], 1)
        out = self.head(self.body(features))
        share = (blend + torch.tanh(out[:, :1])).clamp(0, 1)
        return torch.lerp(still, moved, share) + out[:, 1:]
