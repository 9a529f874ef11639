# SPDX-License-Identifier: Apache-2.0
"""Between coded pictures and float32 RGB in [0, 1], by explicit matrix and range.

The arithmetic is ours, in float32, and not the scaler's: an 8-bit RGB picture in between would cost half a level of
precision, and releases of PyAV differ in whether they heed a source's matrix and range. The scaler only reorders bytes.
Coefficients and ranges: ITU-T H.273, tables 4 and 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.errors import MagPlusError

BT709 = 1
UNSPECIFIED = 2
BT601 = 6
FULL = 2
"""Values of AVColorSpace and AVColorRange."""

LUMA = {
    BT709: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    BT601: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""Weights of red and blue in luma, by matrix."""

_SUBSAMPLING = {(1, 1): "444", (2, 1): "422", (2, 2): "420", (4, 1): "411", (1, 2): "440", (4, 4): "410"}

_CENTRED = {"mjpeg", "mpeg1video"}
"""Codecs whose chroma samples lie between the luma columns; elsewhere they lie on the even ones (MPEG-2 and later)."""


@dataclass(frozen=True, kw_only=True)
class Coding:
    """How a YUV picture is meant: matrix (AVColorSpace), full or limited range, place of the chroma samples."""

    matrix: int = BT709
    full: bool = False
    centred: bool = False


def coding_of(frame: Any, codec: str) -> Coding:
    """What the frame's tags say. Untagged: BT.709 for high definition (above 576 lines or 1279 columns), else BT.601,
    which is what players assume; a full-range JPEG format is BT.601 (JFIF).
    """
    name = frame.format.name
    jpeg = name.startswith("yuvj")
    matrix = int(frame.colorspace)
    if matrix in (0, UNSPECIFIED, 3):
        large = frame.height > 576 or frame.width >= 1280
        matrix = BT709 if large and codec != "mjpeg" else BT601
    if matrix not in LUMA:
        raise MagPlusError(f"its colour matrix (H.273 number {matrix}) is not supported. Convert it to BT.709 first.")
    return Coding(matrix=matrix, full=jpeg or int(frame.color_range) == FULL, centred=codec in _CENTRED)


def rgb_of(frame: Any, codec: str) -> Tensor:
    """Decoded frame as ``(3, H, W)``; alpha is left out."""
    kind = frame.format
    if kind.name.startswith(("gray", "ya")) and not kind.name.startswith("yaf"):
        return _grey(frame)
    if kind.is_rgb or kind.has_palette or len([c for c in kind.components if not c.is_alpha]) < 3:
        return _rgb(frame)
    coding = coding_of(frame, codec)
    frame = _planar(frame)
    luma, *chroma = frame.format.components[:3]
    levels = 1 << (luma.bits - 8)
    top = (1 << luma.bits) - 1
    y = torch.from_numpy(_plane(frame, 0, luma))
    parts = [torch.from_numpy(_plane(frame, i + 1, c)) - 128 * levels for i, c in enumerate(chroma)]
    y, unit = (y / top, top) if coding.full else ((y - 16 * levels) / (219 * levels), 224 * levels)
    cb, cr = (_upsampled(c / unit, y.shape[-2:], coding.centred) for c in parts)
    return _rgb_from(y, cb, cr, coding.matrix)


def _rgb_from(y: Tensor, cb: Tensor, cr: Tensor, matrix: int) -> Tensor:
    red, blue = LUMA[matrix]
    green = 1 - red - blue
    rgb = torch.empty(3, *y.shape)
    torch.add(y, cr, alpha=2 * (1 - red), out=rgb[0])
    torch.add(y, cb, alpha=2 * (1 - blue), out=rgb[2])
    torch.sub(y, red * rgb[0] + blue * rgb[2], out=rgb[1]).div_(green)
    return rgb.clamp_(0, 1)


def _grey(frame: Any) -> Tensor:
    depth = max(c.bits for c in frame.format.components)
    if frame.format.name not in ("gray", f"gray{depth}le"):
        frame = frame.reformat(format="gray" if depth == 8 else f"gray{depth}le")
    y = torch.from_numpy(_plane(frame, 0, frame.format.components[0]))
    scale = 1 << (depth - 8)
    # Grey is full range unless tagged otherwise, as pictures are.
    y = (y - 16 * scale) / (219 * scale) if int(frame.color_range) == 1 else y / ((1 << depth) - 1)
    return y.clamp_(0, 1).expand(3, -1, -1).contiguous()


def _rgb(frame: Any) -> Tensor:
    kind = frame.format
    depth = max(c.bits for c in kind.components)
    if kind.is_planar and not kind.is_big_endian and depth <= 16:
        planes = [_plane(frame, c.plane, c) for c in kind.components[:3]]
        return torch.from_numpy(np.stack(planes)).div_((1 << depth) - 1)
    packed = frame.to_ndarray(format="rgb24" if depth <= 8 else "rgb48le")
    top = 255 if depth <= 8 else 65535
    return torch.from_numpy(np.ascontiguousarray(packed.transpose(2, 0, 1)).astype(np.float32)).div_(top)


def _planar(frame: Any) -> Any:
    """The same samples with one component to a plane, low byte first."""
    kind = frame.format
    colours = [c for c in kind.components if not c.is_alpha]
    if len({c.plane for c in colours}) == len(colours) and not kind.is_big_endian:
        return frame
    probe = av.VideoFormat(kind.name, 16, 16).components[1]
    depth = colours[0].bits
    name = f"yuv{_SUBSAMPLING[16 // probe.width, 16 // probe.height]}p" + (f"{depth}le" if depth > 8 else "")
    return frame.reformat(format=name)


def _plane(frame: Any, index: int, component: Any) -> NDArray[np.float32]:
    """Samples of a plane ``(h, w)`` without the padding at the end of its rows."""
    plane = frame.planes[index]
    wide = 2 if component.bits > 8 else 1
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: component.height, : component.width * wide]
    return rows.view("<u2" if wide == 2 else np.uint8).astype(np.float32)


def _upsampled(chroma: Tensor, size: tuple[int, int], centred: bool) -> Tensor:
    """Chroma at every luma sample, linear in between."""
    height, width = size
    down = -(-height // chroma.shape[0])
    across = -(-width // chroma.shape[1])
    if down > 1:
        chroma = _stretched(chroma, 0, down, centred=True)[:height]
    if across > 1:
        chroma = _stretched(chroma, 1, across, centred=centred)[:, :width]
    return chroma


def _stretched(values: Tensor, axis: int, factor: int, *, centred: bool) -> Tensor:
    """``values`` with ``factor`` samples for one along an axis; sample 0 lies on sample 0, or centred on the group."""
    offset = (factor - 1) / 2 if centred else 0.0
    size = values.shape[axis]
    place = ((torch.arange(size * factor) - offset) / factor).clamp(0, size - 1)
    low = place.floor().long()
    high = (low + 1).clamp(max=size - 1)
    part = (place - low).view(-1, *[1] * (values.ndim - 1 - axis))
    return torch.lerp(values.index_select(axis, low), values.index_select(axis, high), part)


def encode_yuv(frame: Tensor, *, depth: int, halved: bool) -> list[NDArray[Any]]:
    """BT.709 limited-range planes Y, Cb, Cr of a frame ``(3, H, W)``, of ``depth`` bits.

    ``halved``: 4:2:0, chroma on the even columns and between the rows; H and W must be even then.
    """
    red, blue = LUMA[BT709]
    y = red * frame[0] + (1 - red - blue) * frame[1] + blue * frame[2]
    chroma = [(frame[2] - y) / (2 * (1 - blue)), (frame[0] - y) / (2 * (1 - red))]
    if halved:
        chroma = [_halved(c) for c in chroma]
    levels = 1 << (depth - 8)
    coded = [y * 219 * levels + 16 * levels, *(c * 224 * levels + 128 * levels for c in chroma)]
    kind = "<u2" if depth > 8 else "u1"
    return [c.round().numpy().astype(kind) for c in coded]


def _halved(chroma: Tensor) -> Tensor:
    """Weights 1 2 1 about every even column, mean of two rows: the places from which `rgb_of` interpolates."""
    rows = (chroma[0::2] + chroma[1::2]) / 2
    left = torch.cat([rows[:, :1], rows[:, 1:-1:2]], dim=1)
    return (left + 2 * rows[:, 0::2] + rows[:, 1::2]) / 4


def fill(plane: Any, samples: NDArray[Any]) -> None:
    """Copy samples ``(h, w)`` into a plane of a frame."""
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    data = np.ascontiguousarray(samples).view(np.uint8)
    rows[: data.shape[0], : data.shape[1]] = data


def turned(frame: Tensor, turn: tuple[bool, bool, bool]) -> Tensor:
    """Frame ``(..., H, W)`` with rows and columns swapped, then mirrored left-right, then upside down."""
    swap, mirror, flip = turn
    frame = frame.transpose(-1, -2) if swap else frame
    axes = [axis for axis, wanted in ((-1, mirror), (-2, flip)) if wanted]
    return frame.flip(axes) if axes else frame.contiguous()
