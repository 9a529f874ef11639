# SPDX-License-Identifier: Apache-2.0
"""How a generator answers to motion of every size: the figure that says where it hears nothing and where it saturates.

Measured on drawn faces with exactly known motion, one region at a time, on portraits of another identity. A generator
trained on photographs may answer otherwise on photographs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...models.contracts import AnimationBackbone, DisplacementMagnifier
from ...models.errors import MagPlusError
from ...models.warp import border_window
from ..clip import TensorClip
from ..motion.encoded import EncodedSources
from ..motion.fitting import Escape, fitting, with_gradients
from ..motion.magnify import estimator_of, magnify
from ..progress import Progress, silent
from ..render.loglog import COLOURS, Line, LogPanel, draw_log_panels
from .arms import ALPHA_MOST, TARGET_PCT_FACE, generated
from .clips import VIEW, crop_view, framed
from .faces import ACTIONS, Face, State
from .judge import interval

CPU = torch.device("cpu")
RESPONSE = 0x4E59
"""Part of the seeds of these faces, and of no others."""
REGIONS = ("brows", "eyes", "nose", "cheeks", "mouth", "chin")
LEAST_PCT, MOST_PCT, STEPS = 0.02, 10.0, 10
FOLD = 0.75
"""Largest change of displacement per length: more would fold the skin, so that small regions end below 10 %."""
NOISE, NOISE_FRAMES = 0.01, 8
NEAR = 0.8
"""Part of its largest gain at which a generator is said to answer."""


def sizes_pct(steps: int) -> tuple[float, ...]:
    """``steps`` sizes of motion, evenly spaced in their logarithm, in percent of the face width."""
    if steps < 2:
        raise MagPlusError(f"A sweep of {steps} steps shows no course. Give 2 or more.")
    return tuple(float(f"{value:.3g}") for value in np.geomspace(LEAST_PCT, MOST_PCT, steps))


INPUTS_PCT = sizes_pct(STEPS)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came out for one size of motion in one region, by face; percent of the face width."""

    region: str
    through: str
    """``direct``, or ``magplus``: magnified to the target, and the result scaled back by 1 / alpha."""
    input_pct: float
    outputs_pct: Sequence[float]
    """Along the true motion."""
    errors: Sequence[float]
    """RMS error of the field on the head, in parts of the true one."""

    @property
    def output_pct(self) -> float:
        """Mean over the faces."""
        return _mean(self.outputs_pct)

    @property
    def error(self) -> float:
        """Mean over the faces."""
        return _mean(self.errors)

    def report(self) -> dict[str, Any]:
        """Means, and their 95 % bootstrap intervals over the faces."""
        return {
            "input_pct": self.input_pct,
            "output_pct": self.output_pct,
            "output_interval_pct": interval(self.outputs_pct)[1:],
            "error": self.error,
            "error_interval": interval(self.errors)[1:],
        }


@dataclass(frozen=True, kw_only=True)
class Response:
    """All answers of a generator, and what follows from them."""

    backbone: str
    target_pct: float
    answers: Sequence[Answer]
    floor_pct: Mapping[str, float]
    """Standard deviation of a region's output when a still face with noise drives it."""

    def curve(self, region: str, through: str) -> list[Answer]:
        """Answers of one region, by size."""
        return [a for a in self.answers if a.region == region and a.through == through]

    def gain(self, region: str) -> np.ndarray:
        """Output over input, driven directly."""
        return np.array([a.output_pct / a.input_pct for a in self.curve(region, "direct")])

    def answers_from(self, region: str) -> float | None:
        """Least input with `NEAR` of the largest gain, in percent; None where no gain is above zero."""
        gains, curve = self.gain(region), self.curve(region, "direct")
        return next((a.input_pct for a, g in zip(curve, gains, strict=True) if g >= NEAR * gains.max() > 0), None)

    def saturates_at(self, region: str) -> float | None:
        """Least input above the largest gain's at which less than `NEAR` of it is left; None: not in this range."""
        gains, curve = self.gain(region), self.curve(region, "direct")
        top = int(gains.argmax())
        return next(
            (a.input_pct for a, g in zip(curve[top:], gains[top:], strict=True) if g < NEAR * gains.max()), None
        )

    @property
    def recommended_pct(self) -> float:
        """The size that is passed on best: least mean error of all regions that reach it, ten times above the noise."""
        floor = max(self.floor_pct.values())
        by_size: dict[float, list[float]] = {}
        for answer in self.answers:
            if answer.through == "direct":
                by_size.setdefault(answer.input_pct, []).append(answer.error)
        most = max(len(errors) for errors in by_size.values())
        full = {size: math.fsum(e) / len(e) for size, e in by_size.items() if len(e) == most}
        heard = {size: error for size, error in full.items() if size >= 10 * floor} or full
        return min(heard, key=lambda size: heard[size])

    def report(self) -> dict[str, Any]:
        """For ``json.dumps``."""
        return {
            "backbone": self.backbone,
            "measured_on": "drawn faces",
            "target_pct_face": self.target_pct,
            "recommended_target_pct_face": self.recommended_pct,
            "regions": {
                region: {
                    "noise_floor_pct_face": self.floor_pct[region],
                    "answers_from_pct_face": self.answers_from(region),
                    "saturates_at_pct_face": self.saturates_at(region),
                    **{
                        through: [answer.report() for answer in self.curve(region, through)]
                        for through in ("direct", "magplus")
                    },
                }
                for region in self.floor_pct
            },
        }


def measure_response(
    backbone: AnimationBackbone,
    magnifier: DisplacementMagnifier,
    *,
    faces: int = 2,
    inputs_pct: Sequence[float] = INPUTS_PCT,
    regions: Sequence[str] = REGIONS,
    target_pct: float = TARGET_PCT_FACE,
    device: torch.device = CPU,
    escape: Escape = with_gradients,
    progress: Progress = silent,
) -> Response:
    """Sweep the size of the motion in every region; the input has no noise, the noise floor is measured apart.

    ``device`` is where the networks are; ``escape`` leads out of a mode without gradients, see `fitting`.
    """
    backbone = fitting(backbone, escape=escape)
    found: dict[tuple[str, str, float], list[tuple[float, float]]] = {}
    floors: dict[str, list[float]] = {region: [] for region in regions}
    done = 0
    for pair in range(faces):
        bench = _Bench(backbone, magnifier, Face((RESPONSE, pair, 0)), Face((RESPONSE, pair, 1)), device)
        noise = bench.noise(seed=pair)
        for region in regions:
            floors[region].append(float(bench.along(noise, region).std()))
            for size in inputs_pct:
                if size <= _fold_limit(region):
                    for through, alpha in (("direct", None), ("magplus", min(max(target_pct / size, 1.0), ALPHA_MOST))):
                        answer = bench.answer(region, size, alpha)
                        found.setdefault((region, through, size), []).append(answer)
                done += 1
                progress("response", done, faces * len(regions) * len(inputs_pct))
    return Response(
        backbone=backbone.name,
        target_pct=target_pct,
        answers=[
            Answer(region=r, through=t, input_pct=s, outputs_pct=[o for o, _ in v], errors=[e for _, e in v])
            for (r, t, s), v in found.items()
        ],
        floor_pct={region: _mean(values) for region, values in floors.items()},
    )


class _Bench:
    """One driver and one portrait in front of a generator."""

    def __init__(
        self,
        backbone: AnimationBackbone,
        magnifier: DisplacementMagnifier,
        driver: Face,
        portrait: Face,
        device: torch.device,
    ) -> None:
        self.backbone, self.magnifier, self.driver = EncodedSources.once(backbone), magnifier, driver
        self.side, self.view, self.device = framed(backbone.framing), crop_view(backbone.framing), device
        self.source = portrait.render(VIEW, State()).to(device)
        self.rest = self._work(driver.render(VIEW, State()))
        self.head = (portrait.matte(self.view) > 0.9).to(device)
        moved = {name: portrait.displacement(self.view, State(), State(actions={name: 1.0})) for name in REGIONS}
        self.unit = {name: (field / self.view.width_px * 100).to(device) for name, field in moved.items()}
        self._estimator = estimator_of(magnifier)

    def _work(self, picture: Tensor) -> Tensor:
        return self.side.work.apply(picture[None])[0].to(self.device)

    def fields(self, frames: Tensor) -> Tensor:
        """Generated motion ``(N, 2, h, w)`` in percent of the face width for working frames ``(N, 3, H, W)``."""
        clip = TensorClip(torch.cat([self.rest[None], frames]))
        made = generated(self.backbone, self.source, self.side.from_work(clip)).frames
        found = torch.cat([self._estimator(made[0], chunk) for chunk in made[1:].split(4)])
        return 100 / self.view.width_px * found * border_window(found)

    def along(self, fields: Tensor, region: str) -> Tensor:
        """Size ``(N,)`` of the true motion of a region in ``fields``."""
        unit = self.unit[region] * self.head
        return (fields * unit).sum((1, 2, 3)) / unit.square().sum()

    def answer(self, region: str, size: float, alpha: float | None) -> tuple[float, float]:
        """Output along the true motion, and the error of the field in parts of the true one."""
        frame = self._work(self.driver.render(VIEW, State(actions={region: size})))
        if alpha is not None:
            clip = TensorClip(torch.stack([self.rest, frame]))
            frame = torch.cat(list(magnify(clip, self.magnifier, alpha=alpha)))[1]
        field = self.fields(frame[None]) / (alpha or 1.0)
        true = size * self.unit[region]
        error = ((field[0] - true) * self.head).square().sum() / (true * self.head).square().sum()
        return float(self.along(field, region)[0]), float(error.sqrt())

    def noise(self, seed: int) -> Tensor:
        """Fields of a still face under noise."""
        draw = torch.Generator().manual_seed(seed)
        shape = (NOISE_FRAMES, *self.rest.shape)
        return self.fields((self.rest + NOISE * torch.randn(shape, generator=draw).to(self.device)).clamp(0, 1))


def _fold_limit(action: str) -> float:
    """Strength in percent above which the skin would fold: a gaussian of sigma s changes by 0.61 / s of its height."""
    return 100 * FOLD * min(min(push[2], push[3]) for push in ACTIONS[action]) / 0.607


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def response_picture(response: Response) -> Image.Image:
    """Output over input and error over input, log-log: directly driven, and through MagPlus - DeMagPlus.

    Bars are 95 % intervals from faces drawn with replacement; of two faces they span both.
    """
    panels = []
    for through, title in (("direct", "driven directly"), ("magplus", "MagPlus, generator, 1/alpha")):
        lines = [_diagonal(), *_lines(response, through, "outputs_pct")]
        if through == "direct":
            floor = max(response.floor_pct.values())
            at = np.array([INPUTS_PCT[0], INPUTS_PCT[-1]])
            lines.append(Line(label="noise floor", at=at, values=np.full(2, floor), colour=(160, 160, 160), width=1.5))
        panels.append(
            LogPanel(
                title=title, across="input, % of face", up="output, % of face", x=(0.02, 10), y=(0.002, 10), lines=lines
            )
        )
    for through, title in (("direct", "error, driven directly"), ("magplus", "error, MagPlus, 1/alpha")):
        lines = _lines(response, through, "errors")
        panels.append(
            LogPanel(title=title, across="input, % of face", up="error / motion", x=(0.02, 10), y=(0.2, 2), lines=lines)
        )
    title = f"Response of {response.backbone} on drawn faces; recommended target {response.recommended_pct:g} % of face"
    return draw_log_panels(panels, title=title, size=(560, 400))


def _lines(response: Response, through: str, what: str) -> list[Line]:
    lines = []
    for colour, region in zip(COLOURS, response.floor_pct, strict=False):
        curve = response.curve(region, through)
        at = np.array([answer.input_pct for answer in curve])
        values, low, high = np.array([interval(getattr(answer, what)) for answer in curve]).T
        lines.append(Line(label=region, at=at, values=values, colour=colour, low=low, high=high))
    return lines


def _diagonal() -> Line:
    at = np.array([INPUTS_PCT[0], INPUTS_PCT[-1]])
    return Line(label="", at=at, values=at, colour=(190, 190, 190), width=1.5)
