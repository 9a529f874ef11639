# SPDX-License-Identifier: Apache-2.0
"""How faces were framed, as one picture to look at before waiting for the result."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ...models.geometry import FaceBox, Similarity, between, compose, inverse
from ..clip import Clip
from ..face.anatomy import FaceMap
from ..face.clip_crop import ClipCrop
from ..face.crop import Crop
from ..face.regions import RegionStrengths
from ..face.sides import Sides
from ..face.track import Faces, Track
from .canvas import SERIES
from .compare import Panel, grid_frames

HEIGHT_PX = 320
FACE, SQUARE, OTHER = SERIES[1], SERIES[4], (255, 255, 255)
SHEET, SHEET_PX = 8, 200
"""Frames on a sheet, and their height."""

Points = NDArray[np.float64]


def alignment_picture(driving: Clip, portrait: Clip, sides: Sides) -> Image.Image:
    """Three panels: the driving reference and the portrait with box and crop, and one face laid over the other."""
    frame, picture = driving.frame(sides.reference).cpu(), portrait.frame(0).cpu()
    panels = [
        Panel(f"driving, frame {sides.reference}", _marked(frame, sides.driving.box, sides.driving.crop)),
        Panel("portrait", _marked(picture, sides.source.box, sides.source.crop)),
        Panel("driving face on portrait", _laid_over(frame, picture, sides)),
    ]
    return _in_rows([panels])


def crop_picture(clip: Clip, crop: ClipCrop, *, reference: int) -> Image.Image:
    """Two panels: a frame with its face box and its crop, and that crop."""
    frame, square = clip.frame(reference).cpu(), crop.crop(reference)
    small = square.resized(HEIGHT_PX)
    inside = _bytes(small.apply(frame[None])[0])
    _draw(inside, _mapped(small.to_crop, corners(crop.box(reference))), FACE)
    label = f"{crop.size} x {crop.size} px"
    panels = [
        Panel(f"frame {reference}", _marked(frame, crop.box(reference), square)),
        Panel(label, [_chunk(inside)]),
    ]
    return _in_rows([panels])


def region_picture(frame: Tensor, face: FaceMap, strengths: RegionStrengths) -> Image.Image:
    """Two panels: a frame with its regions in colour, and how strong each place is, from black to white."""
    frame = frame.cpu()
    size = (frame.shape[-2], frame.shape[-1])
    painted = 0.7 * frame
    for index, share in enumerate(strengths.masks(face, size).values()):
        colour = torch.tensor(SERIES[index % len(SERIES)]).view(3, 1, 1) / 255
        painted = torch.lerp(painted, 0.4 * frame + 0.6 * colour, share)
    alphas = strengths.alpha_map(face, size).log()
    low, high = (float(value) for value in alphas.aminmax())
    grey = ((alphas - low) / max(high - low, 1e-6)).expand(3, -1, -1)
    label = f"alpha {math.exp(low):.3g} to {math.exp(high):.3g}"
    return _in_rows([[Panel(str(strengths), [painted[None].clamp(0, 1)]), Panel(label, [grey[None]])]])


def track_picture(clip: Clip, faces: Faces, found: Track, used: Track) -> Image.Image:
    """Up to eight frames of a clip with the face that is followed, all others thinner, and what became of gaps.

    ``found`` is the track before its gaps were filled, ``used`` after.
    """
    count = len(used)
    shown = sorted({round(k * (count - 1) / max(min(count, SHEET) - 1, 1)) for k in range(min(count, SHEET))})
    gap = next((k for k in range(count) if found[k] is None), None)
    if gap is not None and gap not in shown:
        shown = sorted([*shown[:-1], gap] if len(shown) == SHEET else [*shown, gap])
    panels = []
    for index in shown:
        others = [face for face in faces[index] if face is not found[index]]
        state = "" if found[index] is not None else ", no face" if used[index] is None else ", filled"
        panels.append(Panel(f"frame {index}{state}", _marked(clip.frame(index).cpu(), used[index], others=others)))
    half = -(-len(panels) // 2) if len(panels) > 3 else len(panels)
    return _in_rows([row for row in (panels[:half], panels[half:]) if row], height=SHEET_PX)


def _in_rows(rows: Sequence[Sequence[Panel]], *, height: int = HEIGHT_PX) -> Image.Image:
    (chunk,) = grid_frames(rows, panel_height=height)
    return Image.fromarray(chunk[0].permute(1, 2, 0).mul(255).round().byte().numpy())


def _marked(
    picture: Tensor, box: FaceBox | None, crop: Crop | None = None, others: Sequence[FaceBox] = ()
) -> list[Tensor]:
    """The picture with its face box and its crop, at the panel's size so that lines have one width."""
    height, width = picture.shape[-2:]
    scale = HEIGHT_PX / height
    shrink = np.array([[scale, 0.0, (scale - 1) / 2], [0.0, scale, (scale - 1) / 2]])
    size = (max(1, round(width * scale)), HEIGHT_PX)
    mode = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    pixels = cv2.resize(_bytes(picture), size, interpolation=mode)
    if crop is not None:
        edge = crop.size - 0.5
        square = np.array([[-0.5, -0.5], [edge, -0.5], [edge, edge], [-0.5, edge]])
        _draw(pixels, _mapped(compose(shrink, crop.to_picture), square), SQUARE)
    for other in others:
        _draw(pixels, _mapped(shrink, corners(other)), OTHER, width=1)
    if box is not None:
        _draw(pixels, _mapped(shrink, corners(box)), FACE)
    return [_chunk(pixels)]


def _laid_over(frame: Tensor, picture: Tensor, sides: Sides) -> list[Tensor]:
    """The portrait's crop and the driving face on it, half and half, as the motion will be carried."""
    crop = sides.source.crop.resized(HEIGHT_PX)
    to_crop = compose(crop.to_crop, between(sides.driving.box, sides.source.box))
    below = crop.apply(picture[None])[0]
    above = Crop(to_crop=to_crop, size=HEIGHT_PX).apply(frame[None])[0]
    # Beyond its own picture the driving frame would only repeat its edge.
    inside = _inside(to_crop, frame.shape[-2], frame.shape[-1])
    pixels = _bytes(torch.lerp(below, above, 0.5 * inside))
    _draw(pixels, _mapped(crop.to_crop, corners(sides.source.box)), FACE)
    return [_chunk(pixels)]


def corners(box: FaceBox) -> Points:
    """The four corners of a box ``(4, 2)``, clockwise, in px."""
    turn = math.radians(box.angle_deg)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array([box.width / 2, box.height / 2])
    return half @ rotation.T + np.array([box.cx, box.cy])


def _mapped(transform: Similarity, points: Points) -> Points:
    return points @ transform[:, :2].T + transform[:, 2]


def _inside(to_crop: Similarity, height: int, width: int) -> Tensor:
    x, y = np.meshgrid(np.arange(HEIGHT_PX, dtype=np.float64), np.arange(HEIGHT_PX, dtype=np.float64))
    at = _mapped(inverse(to_crop), np.stack([x, y], axis=-1))
    known = (at >= -0.5).all(-1) & (at[..., 0] < width - 0.5) & (at[..., 1] < height - 0.5)
    return torch.from_numpy(known).float()


def _bytes(picture: Tensor) -> NDArray[np.uint8]:
    """``(H, W, 3)`` of a picture ``(3, H, W)``."""
    return rearrange(picture.clamp(0, 1).mul(255).round().byte(), "c h w -> h w c").contiguous().numpy()


def _draw(pixels: NDArray[np.uint8], points: Points, colour: tuple[int, int, int], width: int = 2) -> None:
    """A closed outline on 8-bit pixels (OpenCV smooths lines on no others), dark below to show on every ground."""
    fixed = np.round(points * 16).astype(np.int32).reshape(-1, 1, 2)
    for shade, thickness in (((0, 0, 0), 2 * width), (colour, width)):
        cv2.polylines(pixels, [fixed], True, shade, thickness, cv2.LINE_AA, 4)


def _chunk(pixels: NDArray[np.uint8]) -> Tensor:
    return rearrange(torch.from_numpy(pixels), "h w c -> 1 c h w").float() / 255
