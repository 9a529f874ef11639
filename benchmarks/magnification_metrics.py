"""What is measured of a magnified picture against the rendered truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from magplus.models.filters import gaussian_blur
from magplus.models.sampling import pixel_grid, sample_linear, sample_spline, spline_coefficients
from torch import Tensor

BORDER_PX = 8
"""Left out everywhere: what moves in from outside cannot be known."""


def inner(values: Tensor) -> Tensor:
    return values[..., BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]


def psnr(a: Tensor, b: Tensor, region: Tensor | None = None) -> float:
    """In dB, of ``(3, H, W)``, all or where ``region`` ``(H, W)`` is true."""
    squared = inner((a - b).square().mean(0))
    if region is not None:
        squared = squared[inner(region)]
    return float(-10 * squared.mean().clamp(min=1e-10).log10())


def ssim(a: Tensor, b: Tensor) -> float:
    """Wang et al. 2004: luma, gaussian window of sigma 1.5."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    x, y = ((picture * weights).sum(0)[None, None] for picture in (a, b))
    mx, my = gaussian_blur(x, 1.5), gaussian_blur(y, 1.5)
    vx, vy = gaussian_blur(x * x, 1.5) - mx * mx, gaussian_blur(y * y, 1.5) - my * my
    common = gaussian_blur(x * y, 1.5) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    index = (2 * mx * my + c1) * (2 * common + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return float(inner(index).mean())


def moving(motion: Tensor) -> Tensor:
    """Where ``(2, H, W)`` is more than a tenth of its largest, ``(H, W)``."""
    length = motion.square().sum(0).sqrt()
    return length > 0.1 * length.max()


class MotionError:
    """Where each point of a truth stands in other pictures: Gauss-Newton against the clean rendered picture.

    No magnifier can use it, since it needs the truth: its gradients are free of noise. The search starts from the right
    motion, from that of the input and from halfway between them (``change`` is their difference in px), and keeps per
    point what leaves the least difference.
    """

    STARTS = (0.0, 0.5, 1.0)
    STEPS = 8
    WINDOW_PX = 4.0

    def __init__(self, truth: Tensor, change: Tensor) -> None:
        grey = truth.mean(0)[None, None]
        self._coefficients = spline_coefficients(grey)
        self._gradient = torch.cat([_slope(grey, 3), _slope(grey, 2)], 1)
        self._starts = torch.cat([s * change[None] for s in self.STARTS])
        products = torch.cat(
            [self._gradient[:, :1] ** 2, self._gradient[:, :1] * self._gradient[:, 1:], self._gradient[:, 1:] ** 2], 1
        )
        xx, xy, yy = gaussian_blur(products, self.WINDOW_PX)[0]
        smallest = (xx + yy) / 2 - (((xx - yy) / 2).square() + xy.square()).sqrt()
        self.counted = inner(smallest > TEXTURE)
        """Points whose place can be told, of the inner part."""
        # In a picture of almost nothing but flat areas no place can be told.
        self._usable = float(self.counted.float().mean()) > 0.02

    def __call__(self, picture: Tensor) -> float:
        """Mean end-point error in px of all points whose place can be told; nan where there are too few."""
        if not self._usable:
            return float("nan")
        return float(inner(self._error(picture.mean(0)[None, None])).square().sum(0).sqrt()[self.counted].mean())

    def _error(self, grey: Tensor) -> Tensor:
        """Displacement ``(2, H, W)`` from where a point should be to where it is."""
        grid = pixel_grid(*grey.shape[-2:], like=grey)
        # picture(p) = truth(p + offset): the point that should be at p + offset is at p.
        offset = self._starts.clone()
        for _ in range(self.STEPS):
            gradient = sample_linear(self._gradient.expand(len(offset), -1, -1, -1), grid + offset)
            gx, gy = gradient[:, :1], gradient[:, 1:]
            difference = grey - sample_spline(self._coefficients.expand(len(offset), -1, -1, -1), grid + offset)
            sums = gaussian_blur(
                torch.cat([gx * gx, gx * gy, gy * gy, gx * difference, gy * difference], 1), self.WINDOW_PX
            )
            xx, xy, yy, bx, by = sums.split(1, 1)
            xx, yy = xx + 1e-6, yy + 1e-6
            determinant = (xx * yy - xy * xy).clamp(min=1e-12)
            step = torch.cat([yy * bx - xy * by, xx * by - xy * bx], 1) / determinant
            offset = offset + step.clamp(-1, 1)
        left = gaussian_blur(difference.square(), self.WINDOW_PX)
        best = left.argmin(0, keepdim=True).expand(1, 2, -1, -1)
        return -offset.gather(0, best)[0]


class MotionGain:
    """Which part of the true motion a picture shows: the strength of motion whose rendered picture is nearest to it.

    Least squares of colours where it moves, up to contrast and brightness: the nearest of the renderer's pictures of
    all `STRENGTHS` and the input's own, then one step along their derivative by the strength. Noise moves nothing to
    first order: in the mean with a picture that had the same noise with its sign turned it cancels. All is compared
    after a blur, as what is finer than the grid of pixels lies otherwise in every rendered picture.

    Told point by point and averaged, the gain of pictures with noise is another: the true motion itself, by spline
    warps at alpha 1/32 and noise 0.01, comes out at 1.7 and 2.4, as the nearest place of a weak point is often that of
    the input. Here it is 1.001 and 0.979.
    """

    STRENGTHS = tuple(k / 10 for k in range(-2, 16))
    BLUR_PX = 1.0
    STEP = 0.02
    LEAST_CONTRAST = 0.05

    def __init__(self, picture: Callable[[float], Tensor], own: float, motion: Tensor) -> None:
        """``picture(s)`` is what is seen at ``s`` times the true motion ``(2, H, W)``; ``own`` the input's ``s``."""
        self._moving = inner(moving(motion))
        self._rendered = {s: self._seen(picture(s)) for s in {own, *self.STRENGTHS}}
        self._slopes = {
            at: (self._seen(picture(at + self.STEP)) - self._seen(picture(at - self.STEP))) / (2 * self.STEP)
            for at in (0.0, 1.0)
        }

    def __call__(self, picture: Tensor) -> float:
        """The part, 1 is right."""
        seen = self._seen(picture)
        nearest = min(self._rendered, key=lambda s: self._left(seen, self._rendered[s]))
        return nearest + self._beyond(seen, nearest)

    def pretended(self, still: Tensor) -> float:
        """Part of the motion that a picture of the reference at rest seems to show."""
        return self._beyond(self._seen(still), 0.0)

    def _seen(self, picture: Tensor) -> Tensor:
        colours = inner(gaussian_blur(picture[None], self.BLUR_PX)[0])[:, self._moving]
        return colours - colours.mean(1, keepdim=True)

    def _left(self, seen: Tensor, rendered: Tensor) -> float:
        contrast = max(float((seen * rendered).sum() / rendered.square().sum().clamp(min=1e-12)), self.LEAST_CONTRAST)
        return float((seen / contrast - rendered).square().sum())

    def _beyond(self, seen: Tensor, strength: float) -> float:
        """How much more motion than ``strength``: a picture and its derivative, fitted to what is seen."""
        basis = torch.stack([self._rendered[strength].flatten(), self._slope(strength).flatten()]).double()
        contrast, change = torch.linalg.solve(basis @ basis.T, basis @ seen.flatten().double()).tolist()
        return change / max(contrast, self.LEAST_CONTRAST)

    def _slope(self, strength: float) -> Tensor:
        if strength in self._slopes:
            return self._slopes[strength]
        # At the ends, and at a strength of the input's own that is none of these, what is nearest to either side.
        low = max((s for s in self.STRENGTHS if s < strength), default=self.STRENGTHS[0])
        high = min((s for s in self.STRENGTHS if s > max(strength, low)), default=strength)
        return (self._rendered[high] - self._rendered[low]) / (high - low)


TEXTURE = 2e-6
"""Least eigenvalue of the structure tensor, squared grey levels per px, of a point whose place can be told."""


def _slope(grey: Tensor, dim: int) -> Tensor:
    size = grey.shape[dim]
    pad = (1, 1, 0, 0) if dim == 3 else (0, 0, 1, 1)
    padded = F.pad(spline_coefficients(grey), pad, mode="replicate")
    smooth = padded.narrow(dim, 2, size) - padded.narrow(dim, 0, size)
    other = 5 - dim
    edge = F.pad(smooth, (0, 0, 1, 1) if dim == 3 else (1, 1, 0, 0), mode="replicate")
    length = grey.shape[other]
    return (edge.narrow(other, 0, length) + 4 * edge.narrow(other, 1, length) + edge.narrow(other, 2, length)) / 12


def leak(picture: Tensor, truth: Tensor, motion: Tensor, input_motion: Tensor) -> float:
    """Change where nothing moves, in 1/255: root mean square of the smoothed difference."""
    still = (motion.square().sum(0).sqrt() < 0.1) & (input_motion.square().sum(0).sqrt() < 0.1)
    difference = inner(gaussian_blur((picture - truth)[None], 2.0)[0].square().mean(0))[inner(still)]
    return 255 * float(difference.mean().sqrt()) if difference.numel() > 100 else float("nan")


def rms(values: Tensor) -> float:
    """Root mean square of the inner part."""
    return float(inner(values).square().mean().sqrt())


def mean(values: Sequence[float]) -> float:
    """Of what is known."""
    known = [v for v in values if not math.isnan(v)]
    return sum(known) / len(known) if known else float("nan")
