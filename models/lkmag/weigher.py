# SPDX-License-Identifier: Apache-2.0
"""The learned judge of the Lucas-Kanade windows: which one to trust where, and by how much the prior errs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..filters import wide_blur
from .doubt import DOUBT_PX, Proposal
from .level import WINDOWS_PX
from .prior import TRUST, Estimate, Evidence, trust_logits

DILATIONS = (1, 2, 4, 2, 1)
MAX_CORRECTION_PX = 0.25
"""Bound of the free correction, in px of the level: the network chooses among measurements and invents no motion. Nor
may it correct by more than the prior's own expected error."""

_CHOICES = len(WINDOWS_PX) + 1
_FEATURES = 2 * len(WINDOWS_PX) + _CHOICES + 3 + 4
_OUTPUTS = _CHOICES + 1 + 2 + 1


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
            layers.append(nn.ReLU())
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(width, _OUTPUTS, 1)
        self.trust = nn.Parameter(torch.tensor(TRUST))
        """As `prior.TRUST`: what is magnified may take less from windows that know little than what is measured."""
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, evidence: Evidence, now: Estimate) -> Proposal:
        """From the present estimate and the steps measured at it, on any pyramid level."""
        height, width = now.displacement.shape[-2:]
        both = torch.cat([_features(evidence), _measured(now)], 1)
        both = F.avg_pool2d(F.pad(both, (0, width % 2, 0, height % 2), mode="replicate"), 2)
        out = self.head(self.body(torch.cat([both[:, :-_MEASURED], _standing(both[:, -_MEASURED:])], 1)))
        # align_corners=False: pixel areas, not pixel centres, coincide after halving.
        out = F.interpolate(out, scale_factor=2, mode="bilinear", align_corners=False)[..., :height, :width]
        weights = (trust_logits(evidence.error, self.trust) + out[:, :_CHOICES]).softmax(1)
        error = (evidence.error * weights).sum(1, keepdim=True).detach()
        reach = error.sqrt().clamp(max=MAX_CORRECTION_PX)
        return Proposal(
            displacement=now.displacement + (evidence.steps * weights[:, :, None]).sum(1),
            variance=(evidence.variance * weights).sum(1, keepdim=True).detach(),
            error=error,
            wish=torch.tanh(out[:, _CHOICES : _CHOICES + 1]),
            correction=reach * torch.tanh(out[:, _CHOICES + 1 : _CHOICES + 3]),
            caution=torch.tanh(out[:, _CHOICES + 3 :]),
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


_MEASURED = 5


def _measured(now: Estimate) -> Tensor:
    """Of what was found so far: displacement, its square, variance and expected squared error, ``(N, 5, h, w)``."""
    found = now.displacement
    return torch.cat([found, found.square().sum(1, True), now.variance[:, None], now.error[:, None]], 1)


def _standing(measured: Tensor) -> Tensor:
    """How it stands out of its noise, from means of 2 x 2 px: the displacement itself and, in the window in which noise
    is told, the logarithms of its square in parts of variance and of error, each of order one."""
    found, squares = measured[:, :2], measured[:, 2:]
    power, variance, error = wide_blur(squares, DOUBT_PX / 2).clamp(min=1e-12).split(1, 1)
    alone = torch.tanh(found / (4 * (squares[:, 1:2] + 1e-8).sqrt()))
    return torch.cat([alone, *((power / other).log().clamp(-6, 6) / 4 for other in (variance, error))], 1)
