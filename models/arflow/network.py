# SPDX-License-Identifier: Apache-2.0
"""PWC-lite as a flow estimator. Names are those of checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..padding import Padding
from ..sampling import pixel_grid, sample_linear

WIDTHS = (16, 32, 64, 96, 128, 192)
"""Of the levels, finest (half the picture) first."""

LEVELS = 5
"""Levels in use, from a 64th to a quarter of the picture's size."""

STEP = 64
FACTOR = 4
"""Between the finest flow and the picture."""

REACH_PX = 4
REDUCED = 32
_CORRELATIONS = (2 * REACH_PX + 1) ** 2
_DILATIONS = (1, 2, 4, 8, 16, 1)
_CONTEXT = (128, 128, 128, 96, 64, 32)


class ARFlow(nn.Module):
    """Flow estimator (`models.contracts.FlowEstimator`). It has no norms, so training mode changes nothing."""

    name = "arflow"

    def __init__(self) -> None:
        super().__init__()
        self.feature_pyramid_extractor = FeaturePyramid()
        self.flow_estimators = Estimator(_CORRELATIONS + REDUCED + 2)
        self.context_networks = Context(REDUCED + 2)
        self.conv_1x1 = nn.ModuleList(_conv(width, REDUCED, kernel=1) for width in WIDTHS[: -LEVELS - 1 : -1])

    def flow(self, first: Tensor, second: Tensor, *, quick: bool = False) -> Tensor:
        """Flow in px ``(N, 2, H, W)`` of pictures ``(N, 3, H, W)`` in [0, 1] of any size."""
        padding = Padding.to_multiple(first, STEP)
        return padding.take_off(self(padding.put_on(first), padding.put_on(second))[0])

    def forward(self, first: Tensor, second: Tensor) -> list[Tensor]:
        """Flows of all levels, finest first, each at 4 times its level's size and in px of that size.

        H and W are multiples of 64.
        """
        levels = zip(self.feature_pyramid_extractor(first), self.feature_pyramid_extractor(second), strict=True)
        flow: Tensor | None = None
        flows = []
        for index, (here, there) in enumerate(list(levels)[: -LEVELS - 1 : -1]):
            if flow is None:
                flow, moved = here.new_zeros(len(here), 2, *here.shape[-2:]), there
            else:
                flow = _enlarged(2 * flow, 2)
                moved = sample_linear(there, pixel_grid(*there.shape[-2:], like=there) + flow)
            flow = self._refined(here, moved, flow, self.conv_1x1[index])
            flows.append(_enlarged(FACTOR * flow, FACTOR))
        return flows[::-1]

    def _refined(self, here: Tensor, moved: Tensor, flow: Tensor, reduce: nn.Module) -> Tensor:
        seen = F.leaky_relu(correlations(here, moved), 0.1)
        features, step = self.flow_estimators(torch.cat([seen, reduce(here), flow], dim=1))
        flow = flow + step
        return flow + self.context_networks(torch.cat([features, flow], dim=1))


def correlations(first: Tensor, second: Tensor) -> Tensor:
    """Mean products of ``(N, C, h, w)`` with ``second`` moved by -4 to 4 px, rows outermost: ``(N, 81, h, w)``."""
    height, width = first.shape[-2:]
    around = F.pad(second, [REACH_PX] * 4)
    shifts = range(2 * REACH_PX + 1)
    return torch.stack(
        [(first * around[..., y : y + height, x : x + width]).mean(dim=1) for y in shifts for x in shifts], dim=1
    )


def _enlarged(values: Tensor, factor: int) -> Tensor:
    # Aligned corners, as the weights were trained.
    return F.interpolate(values, scale_factor=factor, mode="bilinear", align_corners=True)


def _conv(
    channels_in: int, channels_out: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1, active: bool = True
) -> nn.Sequential:
    padding = (kernel - 1) * dilation // 2
    layer = nn.Conv2d(channels_in, channels_out, kernel, stride=stride, padding=padding, dilation=dilation)
    return nn.Sequential(layer, nn.LeakyReLU(0.1)) if active else nn.Sequential(layer)


class FeaturePyramid(nn.Module):
    """Features at 1/2 to 1/64 of the picture's size."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Sequential(_conv(a, b, stride=2), _conv(b, b)) for a, b in pairwise((3, *WIDTHS)))

    def forward(self, pictures: Tensor) -> list[Tensor]:
        levels = [pictures]
        for conv in self.convs:
            levels.append(conv(levels[-1]))
        return levels[1:]


class Estimator(nn.Module):
    """Features ``(N, 32, h, w)`` and a step of the flow; each layer sees the two before it."""

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels_in, 128)
        self.conv2 = _conv(128, 128)
        self.conv3 = _conv(128 + 128, 96)
        self.conv4 = _conv(128 + 96, 64)
        self.conv5 = _conv(96 + 64, REDUCED)
        self.predict_flow = _conv(64 + REDUCED, 2, active=False)

    def forward(self, given: Tensor) -> tuple[Tensor, Tensor]:
        before = self.conv1(given)
        last = self.conv2(before)
        for layer in (self.conv3, self.conv4, self.conv5):
            before, last = last, layer(torch.cat([before, last], dim=1))
        return last, self.predict_flow(torch.cat([before, last], dim=1))


class Context(nn.Module):
    """A correction of the flow that sees far."""

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        widths: Sequence[int] = (channels_in, *_CONTEXT)
        layers = [_conv(a, b, dilation=d) for (a, b), d in zip(pairwise(widths), _DILATIONS, strict=True)]
        self.convs = nn.Sequential(*layers, _conv(widths[-1], 2, active=False))

    def forward(self, given: Tensor) -> Tensor:
        return self.convs(given)
