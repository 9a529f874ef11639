# SPDX-License-Identifier: Apache-2.0
"""The learned survey: what of a motion near its noise is to be believed, seen from more than one place.

Windows and `WindowWeigher` judge a place by what is within some tens of px. Whether faint motion is one is told by the
whole neighbourhood: whether anything moves there, how far, and in which shape. This network reads the evidence in cells
(`cells.py`), offers every cell what windows of many sizes say of it, and chooses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..filters import gaussian_blur, wide_blur
from .cells import CELL_PX, Cells, Sums
from .levels import SLOPE_NOISE, SLOPE_NOISE_HALVED, product

FINE_CELLS, COARSE_CELLS, FAITHFUL_CELLS = (1.0, 2.0, 4.0, 8.0), (1.0, 4.0), (1.0, 2.5)
"""Sigmas, in cells, of the windows on the finest level, on the next one, and of those on the finest that keep to small
motions where a texture tells one direction only."""
TYPICAL = FINE_CELLS.index(4.0)
"""The window by whose step and error the others are counted."""
COARSE_CORRELATION = 3.14
"""Times as much noise as if that of the coarser level were white (`levels.SLOPE_NOISE_HALVED`)."""
AROUND_CELLS = 10.0
"""Sigma of the neighbourhood in which a typical motion and its error are told."""
STEADY_CELLS = 4.0
"""Sigma of the window in which motion is compared with its noise, to tell whether the surveyor is asked at all."""
ASKED_POWER = 100.0
"""Squared displacement in parts of the variance that noise gives it, of which the surveyor is half asked. Where there
is more, the displacement is known to the tenth of its length, and it stays."""

KNOWN_PX2 = 4.0
"""Squared error of typical windows in a neighbourhood up to which the surveyor is asked, and from twice of it on not at
all: there nobody knows anything, and what windows offer is of any length."""

ROUNDING = 2.0
"""Noise in parts of that of rounding up to which there is no other, and from one more on there is."""

LIFT = 2.0
"""Typical squared error, in parts of the typical squared motion, by which the result may be enlarged, up to twofold."""

LARGEST_PX, LARGEST_VARIANCE, LARGEST_POWER = 32.0, 64.0, 1e3
LEAST_PART = 0.3
"""Of a slope's power: half of it is left where noise explains all. The bound is a smooth one, lest a hundredth of more
or less noise change what a weak texture offers."""
RIDGE = 1e-3

_CHOICES = len(FINE_CELLS) + len(COARSE_CELLS) + len(FAITHFUL_CELLS) + 1
_FEATURES = 5 * _CHOICES + 10
_OUTPUTS = _CHOICES + 4


@dataclass(frozen=True, kw_only=True)
class Offers:
    """What K windows say of every cell, and what it is to be measured by."""

    displacement: Tensor
    """``(N, K, 2, h, w)`` in px; last what the level's search found."""
    error: Tensor
    """Expected squared error by noise, ``(N, K, h, w)`` in px^2."""
    typical_error: Tensor
    """Of the neighbourhood, ``(N, h, w)`` in px^2, as is the next one."""
    typical_power: Tensor
    texture: Tensor
    """Smallest eigenvalue of the structure tensor (per px) in three windows, ``(N, 3, h, w)``."""
    noise: Tensor
    """Variance of the noise, ``(N, 1, 1)``."""
    local: Tensor
    """The same or, where more is left, the residual's, ``(N, h, w)``."""


def offers_of(cells: Cells) -> Offers:
    """Windows of all sizes, weighed by nothing yet."""
    noise = torch.maximum(cells.fine.noise, cells.least_noise)[:, 0].square()
    local = torch.maximum(gaussian_blur(cells.residual, 1.2)[:, 0], noise)
    coarse_noise = cells.coarse.noise[:, 0].square().clamp(min=1e-8)
    # Two pictures make the noise of a residual, one that of the slopes; three colours and all of a cell's pixels.
    made_up = 3 * CELL_PX**2 * SLOPE_NOISE * torch.maximum(noise / 2, cells.least_noise[:, 0].square())
    made_up_coarse = 3 * CELL_PX**2 * SLOPE_NOISE_HALVED / 4 * (coarse_noise / 2) / 4

    # What is left in blocks does not lose itself in a window.
    seen, seen_coarse = local * cells.fine.coarseness[:, 0], coarse_noise * cells.coarse.coarseness[:, 0]
    fine = [_window(cells.fine, sigma, made_up, seen) for sigma in FINE_CELLS]
    coarse = [_window(cells.coarse, s, made_up_coarse, seen_coarse * COARSE_CORRELATION) for s in COARSE_CELLS]
    textured = cells.fine.products[:, 0] + cells.fine.products[:, 2] + 1e-12
    textured = textured / textured.mean((1, 2), keepdim=True)
    around = wide_blur(textured[:, None], AROUND_CELLS)[:, 0]

    def typical(values: Tensor) -> Tensor:
        return wide_blur((values * textured)[:, None], AROUND_CELLS)[:, 0] / around

    moves = typical(_power(cells.windows)) + 1e-8
    faithful = [_faithful(cells.fine, sigma, made_up, seen, moves) for sigma in FAITHFUL_CELLS]
    known = cells.variance[:, 0].clamp(min=1e-10)
    displacements = [w.displacement for w in (*fine, *coarse, *faithful)]
    errors = [w.error for w in (*fine, *coarse, *faithful)]
    return Offers(
        displacement=torch.stack([*displacements, cells.found], 1),
        error=torch.stack([*errors, known], 1) + 1e-10,
        typical_error=typical(errors[TYPICAL].clamp(min=1e-10).log()).exp(),
        typical_power=typical(_power(displacements[TYPICAL])) + 1e-10,
        texture=torch.stack([fine[0].least / 48, fine[2].least / 48, coarse[0].least / 12], 1),
        noise=noise,
        local=local,
    )


def _power(displacement: Tensor) -> Tensor:
    return displacement.square().sum(1).clamp(max=LARGEST_POWER)


@dataclass(frozen=True, kw_only=True)
class _Window:
    displacement: Tensor
    error: Tensor
    least: Tensor
    """Smallest eigenvalue of the sums of squared slopes."""


def _window(sums: Sums, sigma: float, made_up: Tensor, noise: Tensor) -> _Window:
    """Lucas and Kanade's step in a window around every cell, on top of the mean displacement there."""
    products, mean, moments = _seen(sums, sigma, made_up)
    half, apart, _ = _eigen(products)
    ridge = RIDGE * 2 * half + 1e-9
    least, most = (half - apart).clamp(min=0) + ridge, half + apart + ridge
    error = noise / _count(sigma) * ((least + made_up) / least.square() + (most + made_up) / most.square())
    return _Window(
        displacement=(mean + _solved(products, moments, ridge)).clamp(-LARGEST_PX, LARGEST_PX),
        error=error.clamp(max=LARGEST_VARIANCE),
        least=least,
    )


def _faithful(sums: Sums, sigma: float, made_up: Tensor, noise: Tensor, power: Tensor) -> _Window:
    """The same where motion of this squared length is expected: what noise outweighs stays near nothing, direction by
    direction, so that an edge tells its own without making up the other."""
    products, mean, moments = _seen(sums, sigma, made_up)
    moments = moments + product(products, mean)
    ridge = 2 * noise / _count(sigma) / power
    xx, xy, yy = products.unbind(1)
    determinant = ((xx + ridge) * (yy + ridge) - xy.square()).clamp(min=1e-30)
    error = noise / _count(sigma) * (xx + yy + 2 * ridge) / determinant
    return _Window(displacement=_solved(products, moments, ridge), error=error.clamp(max=LARGEST_VARIANCE), least=ridge)


def _count(sigma: float) -> float:
    """How many cells a window counts as."""
    return 4 * math.pi * sigma**2


def _seen(sums: Sums, sigma: float, made_up: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Products in a window without what noise made up, mean displacement, and the moments of what differs from it."""
    products = _tamed(gaussian_blur(sums.products, sigma), made_up)
    mean = gaussian_blur(sums.displacement, sigma)
    off = sums.displacement - mean
    moments = sums.moments + product(sums.products, off) - made_up[:, None] * off
    return products, mean, gaussian_blur(moments, sigma)


def _tamed(products: Tensor, made_up: Tensor) -> Tensor:
    """Without what noise makes up of their eigenvalues; where that is nearly all, a smooth bound keeps some of them."""
    half, apart, across = _eigen(products)

    def real(eigenvalue: Tensor) -> Tensor:
        over = eigenvalue - made_up
        return (over + (over.square() + (LEAST_PART * eigenvalue).square()).sqrt()) / 2

    most, least = real(half + apart), real((half - apart).clamp(min=0))
    middle, turn = (most + least) / 2, (most - least) / 2 / apart
    return torch.stack([middle + turn * across, turn * products[:, 1], middle - turn * across], 1)


def _eigen(products: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of both eigenvalues, half of their difference, and half of that of the diagonal."""
    xx, xy, yy = products.unbind(1)
    across = (xx - yy) / 2
    return (xx + yy) / 2, (across.square() + xy.square() + 1e-30).sqrt(), across


def _solved(products: Tensor, moments: Tensor, ridge: Tensor) -> Tensor:
    (xx, xy, yy), (x, y) = products.unbind(1), moments.unbind(1)
    xx, yy = xx + ridge, yy + ridge
    determinant = (xx * yy - xy.square()).clamp(min=1e-30)
    return torch.stack([(yy * x - xy * y) / determinant, (xx * y - xy * x) / determinant], 1)


class Surveyor(nn.Module):
    """A small U-Net on cells: three sizes, 16 px at the coarsest, and a blur of sigma 40 px in its middle.

    It weighs the offers by a softmax (with one more that stands for no motion), by their expected errors as long as
    nothing was learned, may shrink the result, enlarge it by what an estimate between noise and motion loses, and
    correct it by as much as windows are expected to err.
    """

    def __init__(self, *, widths: tuple[int, int, int] = (40, 48, 64)) -> None:
        super().__init__()
        first, second, third = widths
        self.enter = nn.Conv2d(_FEATURES, first, 1)
        self.down = nn.ModuleList([_Block(first, first), _Block(first, second), _Block(second, third)])
        self.middle = _Block(2 * third, third)
        self.up = nn.ModuleList([_Block(third + second, second), _Block(second + first, first)])
        self.settle = _Norm(first)
        self.head = nn.Conv2d(first, _OUTPUTS, 1)
        self.trust = nn.Parameter(torch.ones(1))
        """Power of the expected squared errors by which offers are weighed, in halves."""
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)
        # What the search found is the likeliest of all offers at first.
        dict(self.head.named_parameters())["bias"].data[_CHOICES - 1] = 1.0

    def answer(self, cells: Cells) -> tuple[Tensor, Tensor]:
        """The displacement of every cell, ``(N, 2, h, w)`` in px, and how far it is `asked`."""
        offers = offers_of(cells)
        return self(cells, offers), asked(cells, offers)

    def forward(self, cells: Cells, offers: Offers) -> Tensor:
        """The displacement of every cell, ``(N, 2, h, w)`` in px."""
        out = self._read(_features(offers, cells))
        logits = out[:, :_CHOICES] - 0.5 * self.trust * _in_parts(offers).clamp(1e-3, 1e3).log()
        # One more choice is to stay, a little less likely than the others at first.
        weights = torch.cat([logits, out[:, _CHOICES + 2 : _CHOICES + 3] - 1], 1).softmax(1)[:, :_CHOICES]
        wish = torch.tanh(out[:, _CHOICES + 3 :])
        lift = (LIFT * offers.typical_error / offers.typical_power).clamp(max=1)[:, None]
        weights = weights * (1 + torch.where(wish < 0, 1.0, lift) * wish)
        likely = 4 * offers.typical_power[:, None]
        offered = offers.displacement * (likely / (likely + offers.error))[:, :, None]
        reach = torch.minimum(offers.error[:, TYPICAL], offers.typical_error).sqrt()[:, None]
        correction = reach * torch.tanh(out[:, _CHOICES : _CHOICES + 2])
        return (weights[:, :, None] * offered).sum(1) + correction

    def _read(self, features: Tensor) -> Tensor:
        kept, now = [], self.enter(features)
        for index, block in enumerate(self.down):
            now = block(F.avg_pool2d(now, 2) if index else now)
            kept.append(now)
        now = self.middle(torch.cat([now, gaussian_blur(now, 2.5)], 1))
        for block, beside in zip(self.up, kept[1::-1], strict=True):
            # align_corners=False: areas of cells, not their centres, coincide after halving.
            finer = F.interpolate(now, size=beside.shape[-2:], mode="bilinear", align_corners=False)
            now = block(torch.cat([finer, beside], 1))
        return self.head(self.settle(now))


def asked(cells: Cells, offers: Offers) -> Tensor:
    """How far the surveyor is asked, ``(N, 1, h, w)`` in [0, 1]: not where motion clearly exceeds its noise, not where
    there is nothing but rounding, which no variance tells, and not where a whole neighbourhood tells nothing."""
    power = torch.maximum(cells.found.detach().square().sum(1), cells.windows.square().sum(1))[:, None]
    power, variance = gaussian_blur(power, STEADY_CELLS), gaussian_blur(cells.variance, STEADY_CELLS) + 1e-12
    noisy = (cells.fine.noise / cells.least_noise - ROUNDING).clamp(0, 1)
    known = (2 - offers.typical_error[:, None] / KNOWN_PX2).clamp(0, 1)
    return known * torch.maximum(noisy, cells.codec) / (1 + (power / (ASKED_POWER * variance)).square())


def _in_parts(offers: Offers) -> Tensor:
    """Expected errors in parts of the typical one."""
    return offers.error / offers.typical_error[:, None]


def _features(offers: Offers, cells: Cells) -> Tensor:
    """Each offer in parts of its error and of the typical motion, errors, textures and noise; all of order one."""
    found, error, power = offers.displacement, offers.error, offers.typical_power
    height, width = found.shape[-2:]

    def everywhere(values: Tensor) -> Tensor:
        return values.expand(-1, -1, height, width)

    texture = (offers.texture + 1e-8).log() + 9
    noise, least = cells.fine.noise, cells.least_noise
    return torch.cat(
        [
            torch.asinh(found / error.sqrt()[:, :, None]).flatten(1, 2) / 3,
            torch.asinh(2 * found / power.sqrt()[:, None, None]).flatten(1, 2) / 2,
            _in_parts(offers).log() / 4,
            (power / offers.typical_error).log().clamp(-5, 12)[:, None] / 4,
            (offers.local / offers.noise).log()[:, None] / 2,
            texture / 4,
            everywhere((noise / least).log()) / 4,
            everywhere(noise.log() + 4.6) / 4,
            everywhere(cells.codec),
            everywhere(cells.fine.coarseness.log()) / 4,
            everywhere(cells.coarse.coarseness.log()) / 4,
        ],
        1,
    )


class _Norm(nn.Module):
    """Mean 0 and variance 1 over the channels of each place: no place depends on what is far away."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.offset = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, values: Tensor) -> Tensor:
        centred = values - values.mean(1, keepdim=True)
        return centred * (centred.square().mean(1, keepdim=True) + 1e-4).rsqrt() * self.gain + self.offset


class _Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()
        self.norm = _Norm(out)
        self.first = nn.Conv2d(out, out, 3, padding=1)
        self.second = nn.Conv2d(out, out, 3, padding=1)
        nn.init.normal_(self.second.weight, std=0.1 / math.sqrt(out))
        self.second.register_parameter("bias", nn.Parameter(torch.zeros(out)))

    def forward(self, values: Tensor) -> Tensor:
        values = self.enter(values)
        return values + self.second(F.relu(self.first(self.norm(values))))
