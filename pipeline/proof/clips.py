# SPDX-License-Identifier: Apache-2.0
"""Micro-expressions on drawn faces, as a camera and a codec give them, and what a portrait should do in answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from ...models.contracts import Framing
from ..clip import TensorClip
from ..face.frame import Framed, frame_side
from ..media import H264, kept_by
from .faces import Face, Pose, State, View

FACE_PX = 250.0
"""Width of every face of the proof; displacements are given in px of it."""
PICTURE_PX = 400
BETWEEN_S = 0.08
"""From the peak of the first region to that of the second."""
HALF_S = 0.16
"""From rest to peak."""
FIRST_PEAK_S = 0.2
SECONDS = 0.64
NOISE = 0.01
SWAY_HZ = 0.8
PROOF = 0x9200F
"""Part of the seeds of these faces, and of no others."""

Kind = Literal["micro", "still"]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One clip: who, what, how strongly, and how it was taken."""

    name: str
    part: Literal["fit", "score", "null"]
    pair: int
    """Which two faces: driver and portrait."""
    actions: tuple[str, str]
    peak_px: float
    """Of either region, on a face of `FACE_PX`; 0 = nothing moves."""
    rate: int = 25
    codec: bool = False
    sway_deg: float = 0.0
    """Yaw to either side, with a shift of the head of half a percent of its width."""
    noise: float = NOISE

    @property
    def condition(self) -> str:
        """What it stands for in the table."""
        if self.part == "null":
            return "still, H.264" if self.codec else "still, noise"
        if self.codec:
            return "H.264 input"
        if self.sway_deg:
            return f"head sway {self.sway_deg:g} deg"
        return "noise" if self.rate <= 25 else f"{self.rate} fps"

    @property
    def count(self) -> int:
        """Number of frames."""
        return math.ceil(SECONDS * self.rate)

    @property
    def times_s(self) -> np.ndarray:
        return np.arange(self.count) / self.rate

    def strengths(self) -> np.ndarray:
        """Strength of both actions ``(T, 2)``, peak 1; the first frame is at rest."""
        away = self.times_s[:, None] - (FIRST_PEAK_S + BETWEEN_S * np.arange(2))
        return 0.5 + 0.5 * np.cos(np.pi * np.clip(away / HALF_S, -1, 1))

    def states(self) -> list[State]:
        """What the face does in every frame."""
        pct = 100 * self.peak_px / FACE_PX
        turn = np.sin(math.tau * SWAY_HZ * self.times_s)
        states = []
        for (first, second), sway in zip(self.strengths(), turn, strict=True):
            pose = Pose(yaw_deg=self.sway_deg * sway, shift=(0.005 * sway, 0.0)) if self.sway_deg else Pose()
            states.append(State(actions=dict(zip(self.actions, (pct * first, pct * second), strict=True)), pose=pose))
        return states

    @property
    def driver(self) -> Face:
        return Face((PROOF, self.pair, 0))

    @property
    def portrait(self) -> Face:
        return Face((PROOF, self.pair, 1))


VIEW = View(size=(PICTURE_PX, PICTURE_PX), centre=(199.5, 196.5), width_px=FACE_PX)


def driving_clip(scenario: Scenario) -> TensorClip:
    """The driver's clip with noise, through a codec where the scenario says so."""
    face, seed = scenario.driver, crc32(scenario.name.encode())
    still = face.render(VIEW, State())
    states = scenario.states() if scenario.peak_px or scenario.sway_deg else [State()] * scenario.count
    clean = torch.stack([still if state == State() else face.render(VIEW, state) for state in states])
    draw = torch.Generator().manual_seed(seed)
    seen = (clean + scenario.noise * torch.randn(clean.shape, generator=draw)).clamp(0, 1)
    seen = (seen * 255).round() / 255
    rate = Fraction(scenario.rate)
    return TensorClip(kept_by(H264, seen, rate) if scenario.codec else seen, rate, scenario.name)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What the portrait should do, on the grid of a generator's crop, in px of a face of `FACE_PX`."""

    fields: Tensor
    """True displacement ``(T, 2, h, w)``."""
    regions: tuple[Tensor, Tensor]
    """Where each of the two actions moves by more than half its peak, ``(h, w)`` bool."""
    directions: tuple[Tensor, Tensor]
    """Unit vectors ``(2, h, w)`` of each action."""
    moving: Tensor
    """Where the two together ever move by more than a fifth of the peak, ``(h, w)`` bool."""
    still: Tensor
    """Face on which neither moves by more than a twentieth, ``(h, w)`` bool."""
    active: Tensor
    """Frames in which one of them is above a fifth, ``(T,)`` bool."""


def goal_of(scenario: Scenario, framing: Framing) -> Goal:
    """The same states on the portrait's own face, evaluated where the crop's pixels are: exact, nothing resampled."""
    face, view = scenario.portrait, crop_view(framing)
    scale = FACE_PX / view.width_px
    states = scenario.states()
    fields = torch.stack([scale * face.displacement(view, State(), state) for state in states])
    single = [face.displacement(view, State(), State(actions={name: 1.0})) for name in scenario.actions]
    lengths = [one.norm(dim=0) / one.norm(dim=0).max() for one in single]
    head = face.matte(view) > 0.9
    strongest = torch.maximum(*lengths)
    return Goal(
        fields=fields,
        regions=(lengths[0] > 0.5, lengths[1] > 0.5),
        directions=tuple(one / one.norm(dim=0).clamp(min=1e-9) for one in single),
        moving=strongest > 0.2,
        still=(strongest < 0.05) & head,
        active=torch.from_numpy(scenario.strengths().max(1) > 0.2),
    )


def framed(framing: Framing) -> Framed:
    """Every picture of the proof in a generator's frame."""
    return frame_side("drawn face", VIEW.size, VIEW.box, framing)


def crop_view(framing: Framing) -> View:
    """Where the face lies in a generator's crop."""
    box = framed(framing).box_in_crop
    size = framing.size
    return View(size=(size, size), centre=(box.cx, box.cy), width_px=box.width)


PAIRINGS = (("brows", "mouth left"), ("cheeks", "chin"), ("nose", "mouth right"), ("frown", "mouth"))


def scenarios(*, small: bool = False) -> list[Scenario]:
    """All clips of the proof; ``small`` is what the tests can afford."""
    if small:
        peaks: Mapping[str, tuple[float, ...]] = {"fit": (1.0,), "score": (0.3, 1.0)}
        pairs: Mapping[str, tuple[int, ...]] = {"fit": (0,), "score": (2,)}
    else:
        peaks = {"fit": (0.3, 1.0), "score": (0.1, 0.2, 0.35, 0.5, 0.7, 1.0)}
        pairs = {"fit": (0, 1), "score": (2, 3)}
    out = [
        Scenario(name=f"{part}-{pair}-{peak}", part=part, pair=pair, actions=PAIRINGS[pair % 4], peak_px=peak)  # type: ignore[arg-type]
        for part in peaks
        for pair in pairs[part]
        for peak in peaks[part]
    ]
    if small:
        return [*out, _null("null-noise", codec=False)]
    for pair in (2, 3):
        shared = {"part": "score", "pair": pair, "actions": PAIRINGS[pair % 4], "peak_px": 0.5}
        out.append(Scenario(name=f"codec-{pair}", codec=True, **shared))  # type: ignore[arg-type]
        out.append(Scenario(name=f"sway-{pair}", sway_deg=1.0, **shared))  # type: ignore[arg-type]
    shared = {"part": "score", "pair": 4, "actions": PAIRINGS[0], "peak_px": 0.5}
    out += [Scenario(name=f"fps-{rate}", rate=rate, **shared) for rate in (60, 200)]  # type: ignore[arg-type]
    return [*out, _null("null-noise", codec=False), _null("null-codec", codec=True)]


def _null(name: str, *, codec: bool) -> Scenario:
    return Scenario(name=name, part="null", pair=5, actions=PAIRINGS[0], peak_px=0.0, codec=codec)
