# SPDX-License-Identifier: Apache-2.0
"""One level of the reference's pyramid: its slopes, and what of them its noise leaves.

Slopes come from the reference alone (inverse-compositional form; Baker and Matthews, 2004): what they are made of is
computed once per clip, and repeated steps converge to zero residual instead of carrying the bias that noisy slopes put
into a single step.

A window multiplies what no motion explains with these slopes, and those that noise has made multiply noise by noise: on
faint skin at noise 0.01 they cost more than the noise of the frame does. So each band of the reference is taken as far
as it exceeds its noise (Wiener's rule), before its slopes are used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..filters import convolve_symmetric, gaussian_blur, gaussian_taps, halve, wide_blur
from ..sampling import spline_coefficients, spline_gradient
from .bands import Planes
from .blocks import WINDOW_PX

WINDOWS_PX = (1.2, 2.4, 4.8, 9.6)
"""Window sigmas at every pyramid level, in that level's px."""

MIDDLE = WINDOWS_PX.index(WINDOW_PX)
"""The window that is asked whether noise comes in blocks."""

TWICED = 11 / 6
"""Noise variance of a Gaussian window that is used twice (Tukey's twicing), in parts of that of one use: in two
dimensions 4 - 4 * 2 / 3 + 1 / 2."""
LEAST_SLOPE = 1e-6
"""Least squared slope (per px) that a window is said to see beside noise."""
LEAST_STRENGTH = 1e-9

AROUND_PX = 64.0
"""Sigma of the window in which textured places tell how long motion is."""

LARGEST_STEP_PX = 1.0
"""What a level is expected to find beyond the coarser one, in its px."""

BANDS_PX = (0.7, 1.4, 2.8)
"""Blurs between which a level is split into bands."""
ENERGY_WIDTHS = 2.0
"""A band's energy is that of a window so many times as wide as its blur."""


@dataclass(frozen=True, kw_only=True)
class NoiseSpectrum:
    """What noise of unit variance leaves in the bands of a level, finest first, by its spectrum."""

    variances: tuple[float, ...]
    slopes: tuple[float, ...]
    """Squared slopes (per px, along one axis) of a cubic spline; last those of what is left below all bands."""


WHITE = NoiseSpectrum(variances=(0.518, 0.092, 0.0153), slopes=(0.814, 0.108, 0.005, 0.0004))
HALVED = NoiseSpectrum(variances=(0.26, 0.155, 0.049), slopes=(0.39, 0.15, 0.0145, 0.0014))
"""After two halvings, and after more of them nearly the same; after one in between."""

CHANCE_LEFT = 0.03
"""Part of a band's noise that its energy exceeds by chance, and that is taken for texture."""
LEAST_ENERGY = 1e-14


@dataclass(frozen=True, kw_only=True)
class Band:
    """Slopes ``(B, 3, h, w)`` of one band, and its energy ``(B, 1, h, w)`` in a window."""

    x: Tensor
    y: Tensor
    energy: Tensor


@dataclass(frozen=True, kw_only=True)
class Windows(Planes):
    """What K windows know of a level. N is 1, or one reference for every frame."""

    products: Tensor
    """Of both slopes, summed over colours, ``(N, 3, h, w)``: xx, xy, yy."""
    inverse: Tensor
    """Damped inverse structure tensor per window, ``(N, K, 3, h, w)``: xx, xy, yy."""
    eigenvalues: Tensor
    """Of each window's structure tensor, ``(N, K, 2, h, w)``."""
    variance: Tensor
    """Of each window's displacement for unit image noise, ``(N, K, h, w)`` in px^2."""

    def step(self, k: int, moments: Tensor) -> Tensor:
        """Lucas and Kanade's step of window ``k`` in px from `Slopes.moments`, both ``(N, 2, h, w)``."""
        xx, xy, yy = self.inverse[:, k].unbind(1)
        x, y = wide_blur(moments, WINDOWS_PX[k]).unbind(1)
        return torch.stack([xx * x + xy * y, xy * x + yy * y], 1)

    def changed_by(self, motion: Tensor) -> Tensor:
        """Moments of what a motion ``(N, 2, h, w)`` changes, by the reference's slopes."""
        (xx, xy, yy), (x, y) = self.products.unbind(1), motion.unbind(1)
        return torch.stack([xx * x + xy * y, xy * x + yy * y], 1)

    def twiced(self, k: int, moments: Tensor) -> Tensor:
        """The step of window ``k``, and the same window's on what that step leaves.

        One use of a window flattens a motion whose width is near its own: a push of sigma 10 px by a fifth in a window
        of sigma 4.8 px. Used twice, by a thirtieth, and what noise adds grows less than in a window as small as that
        takes.
        """
        step = self.step(k, moments)
        return step + self.step(k, moments - self.changed_by(step))

    def gathered(self) -> Tensor:
        """How many times that variance noise alone may show, ``(N, K, h, w)``, 1 or more.

        Where a window's middle has more texture than its rest (an edge, a pore), fewer pixels than it has carry its
        step: by the root of the ratio, as of a window narrower by the root of 2. To tell noise by; windows that are
        weighed by it stay on coarse levels where finer ones know better.
        """
        strength = torch.cat([self.products[:, :1] + self.products[:, 2:], self.eigenvalues.sum(2)], 1)
        return (strength[:, :-1] / (strength[:, 1:] + LEAST_STRENGTH)).clamp(min=1).sqrt()


@dataclass(frozen=True, kw_only=True)
class Slopes:
    """Slopes ``(N, 3, h, w)`` of a level, as far as they exceed its noise."""

    x: Tensor
    y: Tensor
    made_up: Tensor
    """Squared slope that noise explains all the same, ``(N, 1, h, w)``."""
    pixels: Tensor
    """How many each window counts as, ``(K, h, w)``: white noise loses the root of it."""
    noise: Tensor
    """Variance of the difference to a frame, ``(N, 1, 1, 1)``."""
    halvings: int
    """How often the picture was halved: 0 on the finest level."""
    damping: float

    def moments(self, residual: Tensor) -> Tensor:
        """Slopes times a residual ``(N, 3, h, w)``, summed over colours: ``(N, 2, h, w)``."""
        return torch.stack([(self.x * residual).sum(1), (self.y * residual).sum(1)], 1)

    @cached_property
    def texture(self) -> Tensor:
        """Square of the smallest eigenvalue in the window of `MIDDLE`, ``(N, 1, h, w)``."""
        return self.windows.eigenvalues[:, MIDDLE, 1:].square()

    @cached_property
    def texture_around(self) -> Tensor:
        """Its mean in a window of `AROUND_PX`."""
        return wide_blur(self.texture, AROUND_PX)

    @cached_property
    def windows(self) -> Windows:
        """What `WINDOWS_PX` see.

        Each is damped as far as it knows less of a step than `LARGEST_STEP_PX`: one that sees nothing but noise would
        else be off by tens of px, and contradict all that know better.
        """
        x, y = self.x, self.y
        products = torch.cat([(x * x).sum(1, True), (x * y).sum(1, True), (y * y).sum(1, True)], 1)
        both = torch.cat([products, self.made_up], 1)
        tensors = torch.stack([wide_blur(both, sigma) for sigma in WINDOWS_PX], 1)
        damping = self.damping + self.noise / (self.pixels * LARGEST_STEP_PX**2)
        xx, xy, yy = tensors[:, :, 0] + damping, tensors[:, :, 1], tensors[:, :, 2] + damping
        mean, apart = (xx + yy) / 2, (((xx - yy) / 2).square() + xy * xy).sqrt()
        made_up = tensors[:, :, 3]
        # Slopes that noise explains say nothing: in flat parts all of them.
        correlation = 4 * math.pi / 3 * (1 - 4.0**-self.halvings) if self.halvings else 1.0
        least = made_up * (0.5 * correlation / self.pixels).sqrt() + LEAST_SLOPE
        eigenvalues = torch.stack([mean + apart, torch.maximum(mean - apart, damping)], 2)
        real = torch.maximum(eigenvalues - made_up[:, :, None], least[:, :, None]).minimum(eigenvalues)
        return Windows(
            products=products,
            inverse=torch.stack([yy, -xy, xx], 2) / (xx * yy - xy * xy)[:, :, None],
            eigenvalues=eigenvalues,
            variance=(eigenvalues / real.square()).sum(2) * (TWICED * correlation / self.pixels),
        )


@dataclass(frozen=True, kw_only=True)
class ReferenceLevel:
    """What one pyramid level of the reference contributes. B is 1, or one reference for every frame."""

    image: Tensor
    bands: Sequence[Band]
    rest_x: Tensor
    """Slopes of what is left below all bands, ``(B, 3, h, w)``."""
    rest_y: Tensor
    pixels: Tensor
    halvings: int
    least_noise: Tensor
    """Sigma, ``(B, 1, 1, 1)``."""
    damping: float

    def slopes(self, noise: Tensor) -> Slopes:
        """As far as they exceed noise: its variance ``(N, 1, 1, 1)`` is that of this level's difference to a frame."""
        # Two pictures make the noise of a difference, one that of the slopes.
        variance = torch.maximum(noise / 2, self.least_noise.square())
        spectrum = HALVED if self.halvings else WHITE
        x, y, made_up = self.rest_x, self.rest_y, torch.full_like(self.image[:, :1], spectrum.slopes[-1])
        for band, part, slope in zip(self.bands, spectrum.variances, spectrum.slopes[:-1], strict=True):
            taken = (1 - part * variance / (band.energy + LEAST_ENERGY)).clamp(min=0)
            x, y = x + taken * band.x, y + taken * band.y
            made_up = made_up + slope * (taken.square() + CHANCE_LEFT)
        return Slopes(
            x=x,
            y=y,
            made_up=3 * variance * made_up,
            pixels=self.pixels,
            noise=noise,
            halvings=self.halvings,
            damping=self.damping,
        )


def reference_level(image: Tensor, *, damping: float, least_noise: Tensor, halvings: int = 0) -> ReferenceLevel:
    """Bands of one level ``(B, 3, h, w)``; ``damping`` is added to the squared slopes (per px) of every window."""
    bands, rest = [], image
    for sigma in BANDS_PX:
        lower = gaussian_blur(rest, sigma)
        band = rest - lower
        energy = wide_blur(band.square().mean(1, True), ENERGY_WIDTHS * sigma).clamp(min=0)
        bands.append(Band(x=spline_gradient(band, 3), y=spline_gradient(band, 2), energy=energy))
        rest = lower
    return ReferenceLevel(
        image=image,
        bands=bands,
        rest_x=spline_gradient(rest, 3),
        rest_y=spline_gradient(rest, 2),
        pixels=torch.stack([_pixels(image, sigma) for sigma in WINDOWS_PX]),
        halvings=halvings,
        least_noise=least_noise,
        damping=damping,
    )


def _pixels(image: Tensor, sigma: float) -> Tensor:
    """`Slopes.pixels` of one window: fewer near borders, where a window sees the mirrored picture twice.

    Of the coarse levels of a small picture that is all there is: 20 px, where the widest window would count 34.
    """
    rows, columns = (_counted(size, sigma).to(image) for size in image.shape[-2:])
    return rows[:, None] * columns


def _counted(size: int, sigma: float) -> Tensor:
    """Pixels that a Gaussian along a line of ``size`` counts as, at each of them."""
    taps = gaussian_taps(sigma)
    # Away from both ends it is the same everywhere.
    seen = min(size, 4 * len(taps))
    weights = convolve_symmetric(torch.eye(seen)[None, None], taps, 2)[0, 0]
    counted = 1 / weights.square().sum(1)
    middle = counted[seen // 2].expand(size - seen)
    return torch.cat([counted[: seen // 2], middle, counted[seen // 2 :]])


def rounding_noise(pictures: Tensor) -> Tensor:
    """Least noise sigma to assume beside references ``(B, 3, H, W)``: the rounding of 8 bits where it shows, else 1e-4.

    Measured noise alone would be zero where two rounded frames agree to the last bit, and every window infinitely sure
    of a motion that rounding has swallowed.
    """
    levels = (pictures * 255).flatten(1)
    eight_bit = (levels - levels.round()).abs().amax(1) < 1e-3
    return torch.where(eight_bit, 1 / 255 / math.sqrt(12), 1e-4).to(pictures).view(-1, 1, 1, 1)


def pyramid(images: Tensor, levels: int) -> list[Tensor]:
    """Finest level first; stops early where the next one would be under 12 px."""
    out = [images]
    while len(out) < levels and min(out[-1].shape[-2:]) >= 24:
        out.append(halve(out[-1]))
    return out


def coefficients_of(levels: Sequence[Tensor]) -> list[Tensor]:
    """Spline coefficients of every pyramid level."""
    return [spline_coefficients(level) for level in levels]
