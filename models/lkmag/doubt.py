# SPDX-License-Identifier: Apache-2.0
"""Which part of a measured displacement is noise, told for a whole picture at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..filters import wide_blur
from .bands import Planes
from .levels import AROUND_PX, ReferenceLevel

DOUBT_PX = 8.0
"""Sigma of the window in which a displacement is told from noise: single pixels cannot be. On still pictures with noise
1.0 to 1.8 % of the places of the three finer levels show 1.5 times the expected variance and more in a window of 4 px,
0.5 to 0.9 % in this."""

NOISE_POWER = (1.5, 1.5, 0.8, 0.8)
"""Squared displacement, in parts of the variance that noise gives it, of which one half is taken for noise, per pyramid
level, finest first. Noise alone shows 0.5 to 1. What is taken on a coarse level is lost to the finer ones, so there it
is less."""
NOISE_STEEPNESS = 8
"""Power of that ratio with which the part that is taken for noise falls."""

DOUBT_POWER = (4.0, 4.0, 2.0, 2.0)
"""The same in parts of its expected squared error, of which the network may take one half."""
DOUBT_STEEPNESS = 4

LIFT = 2.0
"""Expected squared error, in parts of the squared displacement, by which the network may enlarge it, up to twofold."""

CODEC_TEXTURE = 6e-5
"""Smallest eigenvalue of the structure tensor times the length of motion in px at which one half of a displacement that
was measured beside a codec's noise is taken for that noise."""
LEAST_POWER = 1e-12


@dataclass(frozen=True, kw_only=True)
class Proposal(Planes):
    """What a network makes of the windows' last step on a level, before anyone asks what of it is noise."""

    displacement: Tensor
    """``(N, 2, h, w)`` in px."""
    variance: Tensor
    """That noise gives it, ``(N, 1, h, w)`` in px^2, as the next one."""
    error: Tensor
    """Its expected squared error."""
    wish: Tensor
    """By which part to enlarge, or below 0 to shrink it, in [-1, 1]."""
    correction: Tensor
    """To be added, ``(N, 2, h, w)`` in px."""


def judged(proposal: Proposal, level: ReferenceLevel, codec: Tensor) -> Tensor:
    """The displacement ``(N, 2, h, w)`` without what noise explains, and with as much of the network's wish as is free.

    ``codec`` tells how surely all that no motion explains is a codec's noise, ``(N, 1, 1, 1)`` in [0, 1].
    """
    power, variance, error = powers(proposal.displacement.detach(), proposal.variance, proposal.error)
    noise, doubt, lift = liberties(power, variance, error, level.halvings)
    if codec.any():
        noise = torch.lerp(noise, weak_beside_codec(power, level), codec)
    gain = (1 - noise) * (1 + torch.where(proposal.wish < 0, doubt, lift) * proposal.wish)
    return gain * proposal.displacement + proposal.correction


def powers(found: Tensor, variance: Tensor, error: Tensor) -> tuple[Tensor, ...]:
    """Means in the window: squared displacement, its variance and its expected squared error, ``(N, 1, h, w)``."""
    sums = wide_blur(torch.cat([found.square().sum(1, keepdim=True), variance, error], 1), DOUBT_PX)
    return sums.clamp(min=LEAST_POWER).split(1, 1)


def liberties(power: Tensor, variance: Tensor, error: Tensor, halvings: int) -> tuple[Tensor, Tensor, Tensor]:
    """Which part of a displacement is noise, how far it may be and how far it may be enlarged, ``(N, 1, h, w)``.

    From its `powers`, on a level of the pyramid; each in [0, 1].
    """
    return (
        _below(power / (NOISE_POWER[halvings] * variance), NOISE_STEEPNESS),
        _below(power / (DOUBT_POWER[halvings] * error), DOUBT_STEEPNESS),
        (LIFT * error / power).clamp(max=1),
    )


def believed(displacement: Tensor, level: ReferenceLevel, codec: Tensor) -> Tensor:
    """A displacement ``(N, 2, h, w)`` without what weak texture makes of a codec's noise, ``codec`` as in `judged`."""
    if not codec.any():
        return displacement
    power = wide_blur(displacement.detach().square().sum(1, keepdim=True), DOUBT_PX).clamp(min=LEAST_POWER)
    return displacement * (1 - codec * weak_beside_codec(power, level))


def weak_beside_codec(power: Tensor, level: ReferenceLevel) -> Tensor:
    """Which part of a displacement of this squared length is a codec's noise, ``(N, 1, h, w)`` in [0, 1].

    What a codec leaves is neither white nor stationary, so that no variance tells it, and flat places make large
    displacements of it. A motion is as long as textured places around show it, and the weaker a texture beside them,
    the less of what it shows is that motion. A logistic fit to displacements of rendered and of real pictures has the
    exponents 1.9 for texture and 0.92 for that squared length, here 2 and 1; neither the noise, nor copied blocks, nor
    the displacement itself lower its error further.
    """
    trusted = wide_blur(level.texture * power, AROUND_PX) / level.texture_around
    strength = level.texture * trusted.clamp(min=LEAST_POWER)
    return CODEC_TEXTURE**2 / (strength + CODEC_TEXTURE**2)


def _below(ratio: Tensor, steepness: int) -> Tensor:
    """1 far below a ratio of 1, one half at 1, 0 far above."""
    return 1 / (1 + ratio**steepness)
