# SPDX-License-Identifier: Apache-2.0
"""Drawn faces: colours and motion as continuous functions, evaluated at real-valued places, so that the truth is exact.

A face is described in its own coordinates: the face box is 1 wide and `BOX_HEIGHT` high, its centre is the origin, y
points down. What its skin does (`Action`) and how its head is held (`Pose`) bring a point of it to a place in the
picture; a pixel is coloured by the point that comes to lie there, found by fixed-point iteration. No picture is warped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ...models.geometry import FaceBox
from ..train.textures import Texture, faded, random_texture, spline_noise

Rng = np.random.Generator

BOX_HEIGHT = 1.25
ITERATIONS = 24
"""Of the inverse. A step leaves at most 0.4 of the error: 1e-9 of the motion remains."""
CLOSE = 1e-9
"""Error of the inverse at which it is done, in face widths."""
TEXTURE_PX = 160.0
"""Width of a face in the px of `train.textures`, which sets how fine its skin is."""

Push = tuple[float, float, float, float, float, float]
"""A gaussian push: centre x, y, sigma x, y, and displacement x, y at the centre."""


def _both(push: Push) -> list[Push]:
    x, y, sx, sy, dx, dy = push
    return [(-x, y, sx, sy, -dx, dy), (x, y, sx, sy, dx, dy)]


ACTIONS: Mapping[str, Sequence[Push]] = {
    "brows": _both((0.2, -0.28, 0.13, 0.085, 0.0, -1.0)),
    "frown": _both((0.11, -0.26, 0.08, 0.08, -0.8, 0.6)),
    "eyes": _both((0.235, -0.17, 0.1, 0.05, 0.0, 0.7)),
    "nose": _both((0.07, 0.11, 0.07, 0.08, 0.15, -1.0)),
    "cheeks": _both((0.27, 0.09, 0.11, 0.1, 0.1, -1.0)),
    "mouth left": [(-0.18, 0.31, 0.1, 0.09, -0.75, -0.66)],
    "mouth right": [(0.18, 0.31, 0.1, 0.09, 0.75, -0.66)],
    "mouth": _both((0.18, 0.31, 0.1, 0.09, 0.75, -0.66)),
    "chin": [(0.0, 0.48, 0.15, 0.09, 0.0, -1.0)],
}
"""What skin can do, region by region, for an average face; lengths as parts of the face width."""

ANCHORS: Mapping[str, tuple[float, float]] = {
    "left brow": (-0.235, -0.27),
    "right brow": (0.235, -0.27),
    "left eye": (-0.235, -0.163),
    "right eye": (0.235, -0.163),
    "nose": (0.0, 0.12),
    "left cheek": (-0.27, 0.1),
    "right cheek": (0.27, 0.1),
    "left mouth corner": (-0.18, 0.31),
    "right mouth corner": (0.18, 0.31),
    "chin": (0.0, 0.5),
}
"""Places on an average face."""


@dataclass(frozen=True, kw_only=True)
class Pose:
    """How a head is held: shift in face widths, angles in degrees, size as a factor."""

    shift: tuple[float, float] = (0.0, 0.0)
    roll_deg: float = 0.0
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class State:
    """One moment: strength of each of `ACTIONS` (its largest displacement in percent of the face width), and pose."""

    actions: Mapping[str, float] = field(default_factory=dict)
    pose: Pose = field(default_factory=Pose)


REST = State()


@dataclass(frozen=True, kw_only=True)
class View:
    """Where the face at rest lies in a picture of ``size`` px (height, width)."""

    size: tuple[int, int]
    centre: tuple[float, float]
    width_px: float

    @property
    def box(self) -> FaceBox:
        """The face at rest."""
        return FaceBox(cx=self.centre[0], cy=self.centre[1], width=self.width_px, height=BOX_HEIGHT * self.width_px)

    def grid(self) -> Tensor:
        """Pixel centres ``(P, 2)`` in face coordinates, float64."""
        y, x = (torch.arange(n, dtype=torch.float64) for n in self.size)
        at = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).view(-1, 2)
        return (at - torch.tensor(self.centre, dtype=torch.float64)) / self.width_px


class Face:
    """One identity. The same seed gives the same face."""

    def __init__(self, seed: Sequence[int] | int) -> None:
        rng = np.random.default_rng(seed)
        self._stretch = torch.from_numpy(1 + 0.05 * rng.uniform(-1, 1, 2))
        self._shift_y = 0.015 * rng.uniform(-1, 1)
        self._depth = 1 + 0.15 * float(rng.uniform(-1, 1))
        self.paint = _Look(rng).paint
        self._background = _background(rng)

    def _own(self, at: Tensor) -> Tensor:
        """Places on this face to those of the average face: it is wider or longer, and its features lie elsewhere."""
        return (at - at.new_tensor([0.0, self._shift_y])) / self._stretch.to(at)

    def place(self, name: str) -> Tensor:
        """Where one of `ANCHORS` lies on this face, ``(1, 2)``."""
        at = torch.tensor([ANCHORS[name]], dtype=torch.float64)
        return at * self._stretch + torch.tensor([0.0, self._shift_y], dtype=torch.float64)

    def moved(self, at: Tensor, state: State) -> Tensor:
        """Where the points ``(P, 2)`` of the face come to lie, both in face coordinates."""
        own = self._own(at)
        out = at + _skin(own, state.actions)
        pose = state.pose
        if pose == Pose():
            return out
        yaw, pitch, roll = (math.radians(a) for a in (pose.yaw_deg, pose.pitch_deg, pose.roll_deg))
        z = self._depth * _depth(own)
        x = math.cos(yaw) * out[:, 0] + math.sin(yaw) * z
        y = math.cos(pitch) * out[:, 1] + math.sin(pitch) * z
        turned = torch.stack([math.cos(roll) * x - math.sin(roll) * y, math.sin(roll) * x + math.cos(roll) * y], 1)
        return pose.scale * turned + at.new_tensor(pose.shift)

    def origin(self, at: Tensor, state: State) -> Tensor:
        """Which points of the face come to lie at ``at``."""
        if state == REST:
            return at
        q = at - at.new_tensor(state.pose.shift)
        for _ in range(ITERATIONS):
            step = self.moved(q, state) - at
            q = q - step
            if float(step.abs().max()) < CLOSE:
                break
        return q

    def render(self, view: View, state: State, *, finer: int = 1) -> Tensor:
        """Picture ``(3, H, W)`` float32 in [0, 1]; each pixel the mean of ``finer`` x ``finer`` points in it."""
        at = _fine_grid(view, finer)
        q = self.origin(at, state).float()
        colours, matte = self.paint(q)
        behind = self._background(at.float())
        picture = torch.lerp(behind, colours, matte).clamp(0, 1)
        height, width = view.size
        picture = picture.T.reshape(1, 3, height * finer, width * finer)
        return torch.nn.functional.avg_pool2d(picture, finer)[0]

    def displacement(self, view: View, start: State, end: State) -> Tensor:
        """True displacement ``(2, H, W)`` in px of what each pixel shows at ``start``; the background stands still."""
        at = view.grid()
        q = self.origin(at, start)
        matte = self.paint(q.float())[1].double()
        field_px = (self.moved(q, end) - at) * (matte > 0.5) * view.width_px
        return field_px.T.reshape(2, *view.size).float()

    def matte(self, view: View, state: State = REST) -> Tensor:
        """Where the head is, ``(H, W)`` in [0, 1]."""
        return self.paint(self.origin(view.grid(), state).float())[1].view(view.size)


def _fine_grid(view: View, finer: int) -> Tensor:
    if finer == 1:
        return view.grid()
    (height, width), (cx, cy) = view.size, view.centre
    # The middle of a pixel's points is the pixel's centre.
    finely = View(
        size=(finer * height, finer * width),
        centre=(finer * (cx + 0.5) - 0.5, finer * (cy + 0.5) - 0.5),
        width_px=finer * view.width_px,
    )
    return finely.grid()


def _skin(at: Tensor, actions: Mapping[str, float]) -> Tensor:
    """Displacement ``(P, 2)`` in face widths of points of the average face."""
    out = torch.zeros_like(at)
    for name, strength in actions.items():
        if strength == 0:
            continue
        for cx, cy, sx, sy, dx, dy in ACTIONS[name]:
            weight = torch.exp(-((at[:, :1] - cx) ** 2 / (2 * sx**2)) - (at[:, 1:] - cy) ** 2 / (2 * sy**2))
            out = out + weight * at.new_tensor([dx, dy]) * (strength / 100 / math.hypot(dx, dy))
    return out


def _depth(at: Tensor) -> Tensor:
    """Towards the camera, in face widths: a rounded head with a nose (the sizes of `face.depth`, without its edges)."""
    x, y = at[:, 0], at[:, 1]
    ball = 0.5 * torch.exp(-(x**2) / (2 * 0.42**2) - y**2 / (2 * 0.6**2))
    return ball + 0.13 * torch.exp(-(x**2) / (2 * 0.09**2) - (y - 0.1) ** 2 / (2 * 0.13**2))


Layer = tuple[Tensor, Tensor]
"""Colours ``(P, 3)`` and matte ``(P, 1)``."""


def _background(rng: Rng) -> Texture:
    texture = faded(random_texture(rng, TEXTURE_PX * 2), rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8, 3).tolist())
    return lambda at: texture((at + 1.0) * TEXTURE_PX)


class _Look:
    """Features of one face, drawn one over the other."""

    def __init__(self, rng: Rng) -> None:
        tone = rng.uniform(0.35, 0.85) * np.array([1.1, 0.85 + 0.1 * rng.uniform(), 0.65 + 0.2 * rng.uniform()])
        self.tone = torch.tensor(np.clip(tone, 0.08, 0.95), dtype=torch.float32)
        self.hair = torch.tensor(rng.uniform(0.03, 0.45) * np.array([1.1, 0.9, 0.7]), dtype=torch.float32)
        self.brow = self.hair * 0.8
        self.lips = self.tone * torch.tensor([0.95, 0.6, 0.62]) * float(rng.uniform(0.8, 1.05))
        self.iris = torch.tensor(rng.uniform(0.08, 0.5, 3), dtype=torch.float32)
        self.light = torch.tensor([rng.uniform(-0.25, 0.25), rng.uniform(-0.25, 0.1)], dtype=torch.float32)
        self.edge = float(rng.uniform(0.009, 0.015))
        self.brow_arch, self.brow_thick = float(rng.uniform(0.4, 1.6)), float(rng.uniform(0.014, 0.03))
        self.eye = (float(rng.uniform(0.085, 0.105)), float(rng.uniform(0.034, 0.05)))
        self.mouth = (float(rng.uniform(0.16, 0.2)), float(rng.uniform(0.035, 0.06)))
        self.smile = float(rng.uniform(-0.6, 0.6))
        self.hairline = float(rng.uniform(-0.5, -0.4))
        self.fold = float(rng.uniform(0.0, 0.12))
        self.spots = torch.tensor(rng.uniform([-0.42, -0.42], [0.42, 0.55], (14, 2)), dtype=torch.float32)
        self.spot_size = torch.tensor(rng.uniform(0.006, 0.014, 14), dtype=torch.float32)
        self.spot_ink = torch.tensor(rng.uniform(-0.25, 0.06, 14), dtype=torch.float32)
        size = 2 * TEXTURE_PX
        self.shading = spline_noise(rng, finest_px=18, size_px=size, octaves=3, power=1.0, strength=0.06, grey=0.9)
        self.pores = spline_noise(
            rng, finest_px=3, size_px=size, octaves=3, power=0.4, strength=float(rng.uniform(0.015, 0.035)), grey=0.9
        )

    def paint(self, at: Tensor) -> Layer:
        x, y = at[:, :1], at[:, 1:]
        texture = (at.clamp(-0.95, 0.95) + 1.0) * TEXTURE_PX
        noise = self.shading(texture) + self.pores(texture)
        hair = self.hair * (0.4 + 1.2 * noise)
        shade = 1 - 0.35 * (x**2 + 0.6 * y**2) / 0.3 * 0.5 + (at @ self.light)[:, None]
        skin = self.tone * shade * (0.5 + noise)
        skin = self._spots(at, skin)
        skin = self._nose(x, y, skin)
        skin = self._brows(x, y, skin)
        skin = self._eyes(x, y, skin)
        skin = self._mouth(x, y, skin)
        inside = self._ellipse(x, y - 0.02, 0.48, 0.6)
        forehead = torch.sigmoid((y - self.hairline - 0.3 * x**2) / (2 * self.edge))
        colours = torch.lerp(hair, skin, inside * forehead)
        head = torch.maximum(self._ellipse(x, y + 0.1, 0.56, 0.6), inside)
        return colours, head

    def _ellipse(self, x: Tensor, y: Tensor, a: float, b: float) -> Tensor:
        radius = torch.sqrt((x / a) ** 2 + (y / b) ** 2 + 1e-8)
        return torch.sigmoid((1 - radius) * min(a, b) / self.edge)

    def _spots(self, at: Tensor, skin: Tensor) -> Tensor:
        distance = torch.cdist(at, self.spots) / self.spot_size
        return skin * (1 + (torch.exp(-0.5 * distance**2) @ self.spot_ink)[:, None])

    def _nose(self, x: Tensor, y: Tensor, skin: Tensor) -> Tensor:
        def glow(cx: float, cy: float, sx: float, sy: float) -> Tensor:
            return torch.exp(-0.5 * ((x.abs() - cx) / sx) ** 2 - 0.5 * ((y - cy) / sy) ** 2)

        shade = 0.12 * glow(0.0, 0.05, 0.02, 0.1) - 0.25 * glow(0.075, 0.1, 0.02, 0.05)
        shade = shade - 0.45 * glow(0.04, 0.155, 0.016, 0.01) - 0.12 * glow(0.0, 0.175, 0.05, 0.015)
        along = 0.115 + 0.35 * (y - 0.13)
        fold = torch.exp(-0.5 * ((x.abs() - along) / 0.013) ** 2 - 0.5 * ((y - 0.2) / 0.06) ** 2)
        return skin * (1 + shade - self.fold * fold)

    def _brows(self, x: Tensor, y: Tensor, skin: Tensor) -> Tensor:
        away = x.abs() - 0.235
        line = -0.275 + self.brow_arch * away**2 - 0.1 * away
        thick = self.brow_thick * (1.15 - 2.2 * away)
        cover = torch.sigmoid((thick - (y - line).abs()) / (0.8 * self.edge))
        cover = cover * torch.sigmoid((0.125 - away.abs()) / (1.2 * self.edge))
        return torch.lerp(skin, self.brow.expand_as(skin), 0.85 * cover)

    def _eyes(self, x: Tensor, y: Tensor, skin: Tensor) -> Tensor:
        a, b = self.eye
        across, down = x.abs() - 0.235, y + 0.163
        open_ = self._ellipse(across, down, a, b)
        middle = x - torch.sign(x) * 0.235
        ball = torch.full_like(skin, 0.85)
        ball = torch.lerp(ball, self.iris.expand_as(skin), self._ellipse(middle, down, 0.042, 0.042))
        ball = torch.lerp(ball, torch.full_like(skin, 0.03), self._ellipse(middle, down, 0.018, 0.018))
        skin = torch.lerp(skin, ball, open_)
        radius = torch.sqrt((across / a) ** 2 + (down / b) ** 2 + 1e-8)
        lid = torch.exp(-0.5 * ((radius - 1) * b / 0.009) ** 2) * torch.sigmoid(-down / 0.01)
        crease = torch.exp(-0.5 * ((radius - 1.6) * b / 0.009) ** 2) * torch.sigmoid(-(down + 0.02) / 0.01)
        return skin * (1 - 0.8 * lid) * (1 - 0.22 * crease)

    def _mouth(self, x: Tensor, y: Tensor, skin: Tensor) -> Tensor:
        a, b = self.mouth
        line = 0.31 + self.smile * x**2
        cover = self._ellipse(x, y - line, a, b)
        skin = torch.lerp(
            skin, self.lips.expand_as(skin) * (skin.mean(1, keepdim=True) / self.tone.mean()), 0.8 * cover
        )
        inner = torch.sigmoid((a - x.abs()) / self.edge)
        crack = torch.exp(-0.5 * ((y - line) / 0.009) ** 2) * inner
        below = torch.exp(-0.5 * (x / 0.09) ** 2 - 0.5 * ((y - line - 0.095) / 0.016) ** 2)
        return skin * (1 - 0.7 * crack) * (1 - 0.15 * below)
