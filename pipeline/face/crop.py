"""Square crops around a face, and the way back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from ...models.contracts import Framing
from ...models.geometry import FaceBox, Similarity, compose, inverse, similarity, similarity_scale
from ..clip import CHUNK, Clip, ClipInfo

MAX_WORK_PX = 512
"""Side at which a crop is magnified at most; a face is then some 300 px wide, enough for motions of 0.02 px."""


@dataclass(frozen=True, kw_only=True)
class Crop:
    """An upright square of a picture, resampled to ``size`` px. ``to_crop`` maps picture to crop coordinates."""

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
        return torch.stack([self._one(picture) for picture in pictures])

    def _one(self, picture: Tensor) -> Tensor:
        scale = similarity_scale(self.to_crop)
        # A crop that is a window of whole pixels is cut out, not resampled: its motion keeps every bit.
        if scale == 1 and np.array_equal(self.to_crop, np.round(self.to_crop)):
            return self._window(picture)
        pixels = picture.permute(1, 2, 0).contiguous().numpy()
        if scale < 1:
            # The spectrum above the crop's Nyquist frequency must go before, or sub-pixel motion turns into shimmer.
            sigma = 0.5 * math.sqrt(1 / scale**2 - 1)
            pixels = cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        grid = np.stack(np.meshgrid(np.arange(self.size), np.arange(self.size)), 0).reshape(2, -1)
        at = (self.to_picture[:, :2] @ grid + self.to_picture[:, 2:]).reshape(2, self.size, self.size)
        return _sample(pixels, at)

    def _window(self, picture: Tensor) -> Tensor:
        x, y = (-int(value) for value in self.to_crop[:, 2])
        height, width = picture.shape[-2:]
        rows = torch.arange(y, y + self.size).clamp(0, height - 1)
        columns = torch.arange(x, x + self.size).clamp(0, width - 1)
        return picture[:, rows][:, :, columns]

    def resized(self, size: int) -> Crop:
        """The same square at another resolution."""
        factor = size / self.size
        # Pixel areas, not pixel centres, are scaled: -0.5 stays -0.5.
        rescale = similarity(factor, 0, (-0.5, -0.5), (-0.5, -0.5))
        return Crop(to_crop=compose(rescale, self.to_crop), size=size)


def _sample(pixels: np.ndarray, at: np.ndarray) -> Tensor:
    from ...models.sampling import sample_spline, spline_coefficients  # noqa: PLC0415

    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    coordinates = torch.from_numpy(at).to(image)[None]
    return sample_spline(spline_coefficients(image), coordinates)[0].clamp(0, 1)


def frame_face(box: FaceBox, framing: Framing) -> Crop:
    """Crop of a face as a backbone wants it, at the backbone's size."""
    side = framing.scale * box.height
    centre = (box.cx, box.cy + framing.shift_y * side)
    middle = (framing.size - 1) / 2
    return Crop(to_crop=similarity(framing.size / side, 0, centre, (middle, middle)), size=framing.size)


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

    def frame(self, index: int) -> Tensor:
        return self.crop.apply(self.clip.frame(index)[None])[0]
