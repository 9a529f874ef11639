# SPDX-License-Identifier: Apache-2.0
"""What a displacement leaves of a frame unexplained, and what noise it shows: a camera's or a codec's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..filters import wide_blur
from ..sampling import sample_spline
from .level import MIDDLE_PX, WINDOWS_PX, ReferenceLevel, Slopes, pixels_of
from .light import light_between

SAMPLED = 3
"""Every so many-th pixel is asked for a median: noise is then known to half a percent in 288 x 288 px."""

CODEC_HALVINGS = 1
"""Levels up to so many halvings are fine ones."""
CODEC_SEEN, CODEC_LEAST = 1 / 255, 1e-3
"""Root mean square from which a place of a fine level differs, and below which no codec matters: rounding to 8 bits."""
CODEC_MARGIN = 4.0
"""So many times more than white noise leaves there is not yet called coarse, but in a fine level's last step."""
CODEC_CHANCE = 12.0
"""In that one half counts of so many times more, of twice as many four fifths, and of half of it a tenth."""
WHITE_SHARES = pixels_of(MIDDLE_PX) / 0.79
"""What white noise leaves in that window, typically, is one part in so many."""


@dataclass(frozen=True, kw_only=True)
class Unexplained:
    """What is left of a reference minus the warped frame, and the noise that it shows."""

    residual: Tensor
    """``(N, 3, h, w)``, in the light of the reference."""
    moments: Tensor
    """`Slopes.moments` of the residual."""
    noise: Tensor
    """Sigma per frame, ``(N, 1, 1, 1)``."""
    coarseness: Tensor
    """How many times the variance of white noise a window must expect, ``(N, K, 1, 1)``, 1 or more."""

    def rows(self, kept: slice) -> Unexplained:
        """A band of it."""
        return Unexplained(
            residual=self.residual[..., kept, :],
            moments=self.moments[..., kept, :],
            noise=self.noise,
            coarseness=self.coarseness,
        )


def remainder(
    level: ReferenceLevel, frame_coefficients: Tensor, grid: Tensor, displacement: Tensor
) -> tuple[Tensor, Tensor]:
    """The reference minus the frame that a displacement warps to it, and its noise, as in `Unexplained`."""
    warped = sample_spline(frame_coefficients, grid + displacement)
    residual = level.image + light_between(level.image, warped).on(level.image) - warped
    return residual, _noise_sigma(level, residual)


def noise_power(residual: Tensor, noise: Tensor) -> Tensor:
    """Variance of the noise, place by place, ``(N, 1, h, w)``: no less than that of the picture.

    A camera's noise goes with brightness, and what is black or clipped has none.
    """
    local = wide_blur(residual.square().mean(1, keepdim=True), RESIDUAL_PX)
    return torch.maximum(local, noise.square())


RESIDUAL_PX = 4.8
"""Sigma of the window in which what is unexplained is taken for noise."""


def unexplained(slopes: Slopes, residual: Tensor, noise: Tensor, *, settled: bool) -> Unexplained:
    """What a `remainder` tells of its noise; ``settled`` in a level's last step, when motion has been found."""
    moments = slopes.moments(residual)
    times = _coarse_times(slopes, residual.detach(), moments.detach())
    return Unexplained(
        residual=residual,
        moments=moments,
        noise=noise,
        coarseness=_coarseness(times, settled=settled and slopes.halvings <= CODEC_HALVINGS),
    )


def _noise_sigma(level: ReferenceLevel, residual: Tensor) -> Tensor:
    """Robust noise level of the residual: by single pixels or by what small windows see, whichever tells less.

    Most windows of a detailed picture have an edge in them that no displacement explains; single pixels are told apart
    from it. Of two pictures of 8 bits most pixels are alike, as long as little moves: windows know of the few others.
    """
    power, least = _power_of_pixels(level, residual.detach()), level.least_noise.flatten(1)
    windows = wide_blur(residual.detach().square().mean(1, keepdim=True), RESIDUAL_PX).clamp(min=0)
    power = torch.minimum(power, windows.flatten(1)[:, ::SAMPLED].median(1, keepdim=True).values)
    return torch.maximum(power, (LEAST_ROUNDED * least).square()).sqrt().view(-1, 1, 1, 1)


LEAST_ROUNDED = 0.6
"""Least difference of two pictures of 8 bits, in parts of what rounding makes of one: where there is texture, rounding
hides no motion from all pixels of a window."""


def _power_of_pixels(level: ReferenceLevel, residual: Tensor) -> Tensor:
    """Robust variance ``(N, 1)`` by single pixels.

    Two pictures of 8 bits that are compared pixel by pixel differ by whole levels, and a median of those knows small
    noise to half a level only; so as much as rounding is added evenly, and taken off again.
    """
    values, least = residual.flatten(1)[:, ::SAMPLED], level.least_noise.flatten(1)
    if not level.halvings:
        # Multiples of the golden ratio fill the interval evenly, the same way every time.
        evenly = (torch.arange(values.shape[1], device=values.device) * GOLDEN).remainder(1) - 0.5
        values = values + evenly * (math.sqrt(12) * least)
    power = (values.abs().median(1, keepdim=True).values / 0.6745).square()
    if not level.halvings:
        power = power - least.square()
    return torch.maximum(power, least.square())


GOLDEN = (math.sqrt(5) - 1) / 2


def _coarse_times(slopes: Slopes, residual: Tensor, moments: Tensor) -> Tensor:
    """How many times more than white noise survives a blur, ``(N,)``: a codec's noise comes in blocks.

    White noise loses all but one part in the pixels of a window that blurs it. What no motion explains is blurred by
    the middle window and compared with itself in that window, place by place: a motion that is still to be found is
    coarse, too, but in its own place. On fine levels, where most of it has been found, the places that differ are asked
    alone as well, since blocks that a codec has left out show nothing.
    """
    step = slopes.middle.step(0, wide_blur(moments, MIDDLE_PX))
    left = residual - slopes.x * step[:, :1] - slopes.y * step[:, 1:]
    kept = wide_blur(left, MIDDLE_PX).square().mean(1)
    power = wide_blur(left.square().mean(1, keepdim=True), MIDDLE_PX)[:, 0].clamp(min=0)
    share = kept / (power + CODEC_LEAST**2)
    ratio = _typical(share)
    if slopes.halvings <= CODEC_HALVINGS:
        ratio = torch.maximum(ratio, _typical(share.where(power > CODEC_SEEN**2, torch.nan)))
    return ratio * WHITE_SHARES


def _typical(values: Tensor) -> Tensor:
    """Median of each picture's, those that are nan left out; 0 where all are."""
    return values.flatten(1)[:, ::SAMPLED].nanmedian(1).values.nan_to_num(0)


def _coarseness(times: Tensor, *, settled: bool) -> Tensor:
    """`Unexplained.coarseness`: what is still clearly coarse in a fine level's last step counts in full.

    A window that takes such noise for white trusts itself too much.
    """
    counted = times**3 / (times.square() + CODEC_CHANCE**2) if settled else times / CODEC_MARGIN
    return torch.cat([counted.view(-1, 1, 1, 1).clamp(1, pixels_of(sigma)) for sigma in WINDOWS_PX], 1)
