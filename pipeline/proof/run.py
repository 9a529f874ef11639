# SPDX-License-Identifier: Apache-2.0
"""The proof as a job: drive every scenario (kept on disk, so that it goes on where it stopped), fit, judge, tell."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...models.checkpoint import write_state
from ...models.contracts import AnimationBackbone, DisplacementMagnifier, Framing
from ...models.geometry import FaceBox
from ..measure import MotionCurve
from ..measure.report import plain
from ..outputs import write_text
from ..progress import Progress, silent
from .arms import ARMS, Driven, Prepared, drive_scenario, fitted_factors, prepare_scenario, results_of
from .clips import Goal, Scenario, goal_of, scenarios
from .judge import Score, interval, judge, mean_intervals, rate_interval, spots

WEAK_PX = 0.5
"""Where the target for the error applies: peaks up to and with it."""
PAIRED = (
    ("direct, gain auto", "Mag + DeMag auto"),
    ("direct, gain by region", "Mag + DeMag by region"),
    ("direct, gain by region", "Mag + DeMag auto"),
    ("direct, gain auto", "Mag + DeMag by region"),
    ("Mag + DeMag auto", "Mag + DeMag by region"),
    ("direct, gain auto", "direct, gain by region"),
    ("direct, gain fitted", "Mag, gain fitted"),
    ("direct, gain fitted", "Mag + DeMag auto"),
    ("direct", "Mag, 1/alpha"),
    ("Mag, 1/alpha", "model space"),
)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One scenario with the score of each arm; None where it gave no result."""

    scenario: Scenario
    alpha: float
    gains: Mapping[str, float | None]
    scores: Mapping[str, Score | None]


@dataclass(frozen=True, kw_only=True)
class Watched:
    """False spots: how many, in how many minutes of two regions."""

    count: int
    minutes: float

    def report(self) -> dict[str, float | int]:
        """Rate with its exact 95 % limits, as if spots came independently."""
        low, high = rate_interval(self.count)
        rates = {"per_minute": self.count, "low": low, "high": high}
        return {"spots": self.count, "minutes": self.minutes, **{n: v / self.minutes for n, v in rates.items()}}


@dataclass(frozen=True, kw_only=True)
class Proof:
    """All about one generator."""

    backbone: str
    fitted: Mapping[str, float]
    judged: Sequence[Judged]
    spots: Mapping[str, Mapping[str, Watched]]
    """By null control and arm."""


def prove(
    backbone: AnimationBackbone,
    magnifier: DisplacementMagnifier,
    *,
    parts: Path,
    small: bool = False,
    chosen: Sequence[Scenario] | None = None,
    progress: Progress = silent,
) -> Proof:
    """Run whatever is not yet in the folder ``parts``, then judge everything."""
    todo = list(chosen or scenarios(small=small))
    runs: list[tuple[Scenario, Driven, Goal]] = []
    for k, scenario in enumerate(todo):
        driven = _kept(parts, scenario, backbone, magnifier)
        runs.append((scenario, driven, goal_of(scenario, backbone.framing)))
        progress(f"proof {backbone.name}", k + 1, len(todo))
    fitted = fitted_factors([(driven, goal) for scenario, driven, goal in runs if scenario.part == "fit"])
    return Proof(
        backbone=backbone.name,
        fitted=fitted,
        judged=[_judged(*run, fitted) for run in runs if run[0].part == "score"],
        spots=_false_spots(runs, fitted),
    )


def _kept(parts: Path, scenario: Scenario, backbone: AnimationBackbone, magnifier: DisplacementMagnifier) -> Driven:
    """From its file, or made and written. What takes long, the driver's side, is kept apart from the generator's."""
    prepared = keep_prepared(parts, scenario, backbone.framing, magnifier)
    path = parts / f"{backbone.name}-{scenario.name}.pt"
    if not path.is_file():
        write_state(vars(drive_scenario(scenario, prepared, backbone, magnifier)), path)
    return Driven(**torch.load(path, map_location="cpu", weights_only=True))


def keep_prepared(parts: Path, scenario: Scenario, framing: Framing, magnifier: DisplacementMagnifier) -> Prepared:
    """The driver's side of a scenario, from its file if that is there."""
    path = parts / f"driver-{framing.size}-{scenario.name}.pt"
    if not path.is_file():
        made = vars(prepare_scenario(scenario, framing, magnifier))
        write_state({n: _curve_state(v) if isinstance(v, MotionCurve) else v for n, v in made.items()}, path)
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    values: dict[str, Any] = {name: _curve(v) if isinstance(v, dict) else v for name, v in state.items()}
    return Prepared(**values)


def _curve_state(curve: MotionCurve) -> dict[str, Any]:
    state = {name: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for name, v in vars(curve).items()}
    return {**state, "box": vars(curve.box), "rate": str(curve.rate)}


def _curve(state: Mapping[str, Any]) -> MotionCurve:
    values: dict[str, Any] = {name: v.numpy() if isinstance(v, Tensor) else v for name, v in state.items()}
    values |= {"box": FaceBox(**state["box"]), "rate": Fraction(state["rate"])}
    return MotionCurve(**values)


def _judged(scenario: Scenario, driven: Driven, goal: Goal, fitted: Mapping[str, float]) -> Judged:
    results = results_of(driven, fitted)
    return Judged(
        scenario=scenario,
        alpha=driven.alpha,
        gains=driven.gains,
        scores={arm: None if found is None else judge(found, goal) for arm, found in results.items()},
    )


def _false_spots(
    runs: Sequence[tuple[Scenario, Driven, Goal]], fitted: Mapping[str, float]
) -> dict[str, dict[str, Watched]]:
    """Spots of two regions where nothing should move: still clips, and regions that a clip leaves alone."""
    tests: list[tuple[str, Scenario, Driven, Goal, list[int]]] = []
    moving = [
        run for run in runs if run[0].condition == "noise" and run[0].part == "score" and run[0].peak_px >= WEAK_PX
    ]
    for scenario, driven, goal in runs:
        if scenario.part == "null":
            tests.append((scenario.condition, scenario, driven, goal, [0, 1]))
    for scenario, driven, own in moving:
        for other, _, goal in moving:
            free = [k for k in (0, 1) if not (goal.regions[k] & own.moving).any()]
            if free and other.count == scenario.count:
                tests.append(("wrong driver", scenario, driven, goal, free))
    found: dict[str, dict[str, Watched]] = {}
    for name, scenario, driven, goal, regions in tests:
        for arm, fields in results_of(driven, fitted).items():
            if fields is not None:
                minutes = len(regions) / 2 * scenario.count / scenario.rate / 60
                before = found.setdefault(name, {}).get(arm, Watched(count=0, minutes=0.0))
                count = before.count + spots(fields, goal, 1000 / scenario.rate, regions)
                found[name][arm] = Watched(count=count, minutes=before.minutes + minutes)
    return found


def report(proof: Proof) -> dict[str, Any]:
    """Everything for ``json.dumps``."""
    return {
        "backbone": proof.backbone,
        "fitted_factors": dict(proof.fitted),
        "summary": {c: {arm: summary(proof, arm, c) for arm in ARMS} for c in conditions(proof)},
        "paired_weak": {f"{b} - {a}": paired(proof, a, b) for a, b in PAIRED},
        "false_spots": {k: {arm: one.report() for arm, one in v.items()} for k, v in proof.spots.items()},
        "curves": {arm: curve(proof, arm) for arm in ARMS},
        "clips": [
            {
                "name": one.scenario.name,
                "condition": one.scenario.condition,
                "peak_px": one.scenario.peak_px,
                "rate": one.scenario.rate,
                "actions": list(one.scenario.actions),
                "alpha": one.alpha,
                "loop_gains": dict(one.gains),
                "arms": {arm: None if s is None else s.report() for arm, s in one.scores.items()},
            }
            for one in proof.judged
        ],
    }


def conditions(proof: Proof) -> list[str]:
    """In the order of the table; the plain one apart for weak and strong motion."""
    names = ["noise, to 0.5 px", "noise, above 0.5 px"]
    for one in proof.judged:
        if one.scenario.condition not in ("noise", *names):
            names.append(one.scenario.condition)
    return names


def _of(proof: Proof, condition: str) -> list[Judged]:
    if condition.startswith("noise, "):
        weak = condition.endswith("to 0.5 px")
        return [
            one for one in proof.judged
            if one.scenario.condition == "noise" and (one.scenario.peak_px <= WEAK_PX) == weak
        ]  # fmt: skip
    return [one for one in proof.judged if one.scenario.condition == condition]


def summary(proof: Proof, arm: str, condition: str) -> dict[str, Any] | None:
    """Means over the clips of a condition; a clip for which the loop refused counts as a frozen picture."""
    clips = _of(proof, condition)
    scores = [(one.scores[arm], one.scores["frozen source"]) for one in clips]
    known = [s for s, _ in scores if s is not None]
    if not known or (arm == "model space" and len(known) < len(scores)):
        return None
    relative = [(s or frozen).error_px / frozen.motion_px for s, frozen in scores if frozen is not None]
    gains = [gain for s in known for gain in s.gains]
    lags = [lag for s in known for lag in s.lags_frames if math.isfinite(lag)]
    return {
        "clips": len(clips),
        "refused": len(clips) - len(known),
        "error_px": _mean([(s or frozen).error_px for s, frozen in scores if frozen is not None]),
        "relative_error": _mean(relative),
        "cosine": _mean([s.cosine for s in known]),
        "gain": _mean(gains),
        "gain_off": _mean([abs(g - 1) for g in gains]),
        "lag_frames": _mean([abs(lag) for lag in lags]) if lags else None,
        "leak_px": _mean([s.leak_px for s in known]),
        "good": sum(s.good for s in known),
    }


def paired(proof: Proof, first: str, second: str) -> dict[str, float | int] | None:
    """Error of ``second`` less that of ``first``, in parts of the motion, over all weak clips: mean, 95 % interval."""
    differences = []
    for one in proof.judged:
        a, b, frozen = (one.scores[arm] for arm in (first, second, "frozen source"))
        if one.scenario.peak_px <= WEAK_PX and frozen is not None and (second != "model space" or b is not None):
            differences.append(((b or frozen).error_px - (a or frozen).error_px) / frozen.motion_px)
    if not differences:
        return None
    mean, low, high = interval(differences)
    return {"clips": len(differences), "mean": mean, "low": low, "high": high}


def curve(proof: Proof, arm: str) -> list[dict[str, Any]]:
    """Mean error and gain by size of the motion on the clips with plain noise, with 95 % intervals, for the figure.

    Where the arm gave nothing, a frozen picture counts; an arm that a generator does not have has no curve.
    """
    clips = [one for one in proof.judged if one.scenario.condition == "noise"]
    if arm == "model space" and not all(one.scores[arm] for one in clips):
        return []
    points = []
    for peak in sorted({one.scenario.peak_px for one in clips}):
        scores = []
        for one in clips:
            frozen = one.scores["frozen source"]
            if one.scenario.peak_px == peak and frozen is not None:
                scores.append((one.scores[arm] or frozen, frozen.motion_px))
        error, gain = mean_intervals([score.frames for score, _ in scores])
        points.append(
            {
                "peak_px": peak,
                "clips": len(scores),
                "error": {"mean": _mean([s.error_px / m for s, m in scores]), "low": error[0], "high": error[1]},
                "gain": {"mean": _mean([g for s, _ in scores for g in s.gains]), "low": gain[0], "high": gain[1]},
            }
        )
    return points


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def save_report(reports: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the numbers; what is not finite becomes null."""
    write_text(path, json.dumps(plain(list(reports)), indent=1) + "\n")
