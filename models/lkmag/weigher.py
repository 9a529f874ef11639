# SPDX-License-Identifier: Apache-2.0
"""The learned judge of the Lucas-Kanade windows: which one to trust where, and by how much the prior errs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..filters import doubled, means_of_four
from .doubt import Proposal
from .levels import WINDOWS_PX
from .prior import Evidence, trust_logits

DILATIONS = (1, 2, 4, 2, 1)
MAX_CORRECTION_PX = 0.25
"""Bound of the free correction, in px of the level: the network chooses among measurements and invents no motion. Nor
may it correct by more than the prior's own expected error."""

_CHOICES = len(WINDOWS_PX) + 1
_FEATURES = 2 * len(WINDOWS_PX) + _CHOICES + 3
_OUTPUTS = _CHOICES + 1 + 2


class WindowWeigher(nn.Module):
    """Small dilated CNN, shared by all pyramid levels.

    It works at half the level's resolution: trust changes slowly, and what it weighs is measured at every pixel.

    Its last layer starts at zero, which leaves the prior exactly as it is: softmax weights from the prior's own
    expected errors, gain 1, correction 0, but for what noise explains: that is taken away by rule (`doubt.judged`).
    Above the noise floor nothing is, whatever was learned: what the network takes away is multiplied by a doubt that
    falls steeply as soon as what was measured exceeds its expected error. What it adds is bounded by what an estimate
    between noise and motion loses.
    """

    def __init__(self, *, width: int = 32) -> None:
        super().__init__()
        widths = [_FEATURES] + [width] * len(DILATIONS)
        layers: list[nn.Module] = []
        for index, dilation in enumerate(DILATIONS):
            layers.append(nn.Conv2d(widths[index], widths[index + 1], 3, padding=dilation, dilation=dilation))
            layers.append(nn.ReLU(inplace=True))
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(width, _OUTPUTS, 1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, evidence: Evidence, displacement: Tensor) -> Proposal:
        """From the present displacement ``(N, 2, h, w)`` and the steps measured at it, on any pyramid level."""
        height, width = displacement.shape[-2:]
        features = means_of_four(_features(evidence)).contiguous(memory_format=torch.channels_last)
        out = doubled(self.head(self.body(features)).contiguous())[..., :height, :width]
        weights = (trust_logits(evidence.error) + out[:, :_CHOICES]).softmax(1)
        error = (evidence.error * weights).sum(1, keepdim=True).detach()
        reach = error.sqrt().clamp(max=MAX_CORRECTION_PX)
        return Proposal(
            displacement=displacement + (evidence.steps * weights[:, :, None]).sum(1),
            variance=(evidence.variance * weights).sum(1, keepdim=True).detach(),
            error=error,
            wish=torch.tanh(out[:, _CHOICES : _CHOICES + 1]),
            correction=reach * torch.tanh(out[:, _CHOICES + 1 :]),
        )


def _features(evidence: Evidence) -> Tensor:
    """Steps, log errors, residual strength, signed grey residual and noise, each of order one."""
    n, _, _, height, width = evidence.steps.shape
    grey = evidence.residual.mean(1, keepdim=True) / evidence.noise
    strength = evidence.residual.square().mean(1, keepdim=True).add(1e-8).log() / 8
    noise = (evidence.noise.log() / 4).expand(n, 1, height, width)
    steps = evidence.steps[:, :-1].flatten(1, 2)
    # In units of their expected error, softly bounded: the same picture of agreement at 0.02 px and at 2 px.
    typical = evidence.error.amin(1, keepdim=True).add(1e-8).sqrt()
    return torch.cat(
        [torch.tanh(steps / (4 * typical)), evidence.error.add(1e-8).log() / 8, strength, grey.clamp(-8, 8) / 8, noise],
        1,
    )
