# SPDX-License-Identifier: Apache-2.0
"""Square crops around a face, and the way back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.contracts import Framing
from ...models.geometry import FaceBox, Similarity, compose, inverse, similarity, similarity_scale
from ...models.sampling import sample_spline, spline_coefficients
from ..clip import CHUNK, Clip, ClipInfo, since

MAX_WORK_PX = 512
"""Side at which a crop is magnified at most; a face is then some 300 px wide, enough for motions of 0.02 px."""

WHOLE_PX = 1e-9
"""How far a crop may be from whole pixels and still stand on them."""
SPLINE_PX = 16
"""How far a spline looks around: its coefficients depend on 13 pixels to each side, and it reads two more."""


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A square of a picture, resampled to ``size`` px. ``to_crop`` maps picture to crop coordinates."""

    to_crop: Similarity
    size: int

    @property
    def to_picture(self) -> Similarity:
        """Maps crop to picture coordinates."""
        return inverse(self.to_crop)

    @property
    def whole(self) -> Crop:
        """What leaves a picture that is this crop already as it is."""
        return Crop(to_crop=np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), size=self.size)

    def apply(self, pictures: Tensor) -> Tensor:
        """Crops ``(N, 3, size, size)`` of ``(N, 3, H, W)``; beyond the picture its edge is continued.

        Shrinking averages first (no aliasing), enlarging is cubic.
        """
        size = (self.size, self.size)
        return torch.stack([resampled(picture, self.to_crop, size, limits=(0, 1)) for picture in pictures])

    def resized(self, size: int) -> Crop:
        """The same square at another resolution."""
        factor = size / self.size
        # Pixel areas, not pixel centres, are scaled: -0.5 stays -0.5.
        rescale = similarity(factor, 0, (-0.5, -0.5), (-0.5, -0.5))
        return Crop(to_crop=compose(rescale, self.to_crop), size=size)


def resampled(
    picture: Tensor, to_target: Similarity, size: tuple[int, int], *, limits: tuple[float, float] | None = None
) -> Tensor:
    """A picture ``(C, H, W)`` seen through a similarity, on a grid of ``size`` (height, width).

    Beyond the picture its edge is continued. A window of whole pixels is cut out, not resampled, so that its motion
    keeps every bit; all else is cut off at ``limits``, which a spline may overshoot.
    """
    scale = similarity_scale(to_target)
    if scale == 1 and np.array_equal(to_target, np.round(to_target)):
        return _window(picture, to_target, size)
    x, y = np.meshgrid(np.arange(size[1], dtype=np.float64), np.arange(size[0], dtype=np.float64))
    back = inverse(to_target)
    at = np.einsum("ij,jhw->ihw", back[:, :2], np.stack([x, y])) + back[:, 2].reshape(2, 1, 1)
    # The spectrum above the target's Nyquist frequency must go before, or sub-pixel motion turns into shimmer.
    sigma = 0.5 * math.sqrt(1 / scale**2 - 1) if scale < 1 else 0.0
    part, corner = _surroundings(picture, at, margin=SPLINE_PX + math.ceil(4 * sigma))
    if sigma > 0:
        pixels = part.permute(1, 2, 0).contiguous().numpy()
        pixels = cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        part = torch.from_numpy(pixels.reshape(*part.shape[1:], -1)).permute(2, 0, 1)
    coordinates = torch.from_numpy(at - np.array(corner).reshape(2, 1, 1)).to(part)[None]
    out = sample_spline(spline_coefficients(part[None]), coordinates)[0]
    return out if limits is None else out.clamp(*limits)


def _window(picture: Tensor, to_target: Similarity, size: tuple[int, int]) -> Tensor:
    x, y = (-int(value) for value in to_target[:, 2])
    height, width = picture.shape[-2:]
    rows = torch.arange(y, y + size[0]).clamp(0, height - 1)
    columns = torch.arange(x, x + size[1]).clamp(0, width - 1)
    return picture[:, rows][:, :, columns]


def _surroundings(picture: Tensor, at: NDArray[np.float64], *, margin: int) -> tuple[Tensor, tuple[int, int]]:
    """The part of a picture that matters to samples at ``at`` ``(2, h, w)``, and its corner (x, y)."""
    spans = []
    for coordinates, length in zip(at, (picture.shape[-1], picture.shape[-2]), strict=True):
        start = min(max(math.floor(coordinates.min()) - margin, 0), length - 1)
        spans.append((start, max(min(math.ceil(coordinates.max()) + margin + 1, length), start + 1)))
    (left, right), (top, bottom) = ((min(a, max(0, b - 3)), b) for a, b in spans)
    return picture[:, top:bottom, left:right], (left, top)


def frame_face(box: FaceBox, framing: Framing) -> Crop:
    """Crop of a face as a backbone wants it, at the backbone's size."""
    side = framing.scale * box.height
    centre = (box.cx, box.cy + framing.shift_y * side)
    middle = (framing.size - 1) / 2
    to_crop = similarity(framing.size / side, 0, centre, (middle, middle))
    # A face that was cropped for this framing already is taken as it is: rounding must not cost an interpolation.
    whole = np.round(to_crop)
    return Crop(to_crop=whole if np.abs(to_crop - whole).max() < WHOLE_PX else to_crop, size=framing.size)


def frame_whole(height: int, width: int, size: int) -> Crop:
    """The largest centred square of a picture, for want of a face box."""
    side = min(height, width)
    middle = (size - 1) / 2
    centre = ((width - 1) / 2, (height - 1) / 2)
    return Crop(to_crop=similarity(size / side, 0, centre, (middle, middle)), size=size)


def native(crop: Crop) -> Crop:
    """The crop at the resolution of its picture (at most MAX_WORK_PX), on whole pixels where no scaling is left."""
    side = crop.size / similarity_scale(crop.to_crop)
    if side > MAX_WORK_PX:
        return crop.resized(MAX_WORK_PX)
    size = max(16, round(side))
    picture_centre = crop.to_picture @ np.array([(crop.size - 1) / 2, (crop.size - 1) / 2, 1.0])
    corner = np.round(picture_centre - (size - 1) / 2)
    return Crop(to_crop=np.array([[1.0, 0.0, -corner[0]], [0.0, 1.0, -corner[1]]]), size=size)


@dataclass(frozen=True)
class CroppedClip:
    """A clip seen through one crop."""

    clip: Clip
    crop: Crop

    @property
    def info(self) -> ClipInfo:
        info = self.clip.info
        return ClipInfo(height=self.crop.size, width=self.crop.size, rate=info.rate, count=info.count, name=info.name)

    def chunks(self, size: int = CHUNK) -> Iterator[Tensor]:
        for chunk in self.clip.chunks(size):
            yield self.crop.apply(chunk)

    def chunks_from(self, first: int, size: int = CHUNK) -> Iterator[Tensor]:
        """The chunks from frame ``first`` on."""
        for chunk in since(self.clip, first).chunks(size):
            yield self.crop.apply(chunk)

    def frame(self, index: int) -> Tensor:
        return self.crop.apply(self.clip.frame(index)[None])[0]
