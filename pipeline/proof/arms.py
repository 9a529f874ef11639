# SPDX-License-Identifier: Apache-2.0
"""The ways to give a portrait a micro-expression, all from three generated clips of one driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...models.contracts import AnimationBackbone, DisplacementMagnifier, Framing
from ...models.warp import border_window
from ..clip import Clip, TensorClip
from ..face.frame import frame_sources
from ..face.guides import place_guides
from ..measure import MotionCurve, compare, measure_fields, measure_stages
from ..measure.grid import face_grid
from ..motion.animate import animate
from ..motion.encoded import EncodedSources
from ..motion.fitting import fitting
from ..motion.loop import FieldTape, LocalGain, Rows, local_gain
from ..motion.magnify import estimator_of, magnify
from .clips import FACE_PX, VIEW, Goal, Scenario, crop_view, driving_clip, framed
from .faces import State

TARGET_PCT_FACE = 3.0
ALPHA_MOST = 32.0
NULL_PEAK_PX = 0.3
"""Clips without motion are magnified as if they moved so far."""

ARMS = (
    "frozen source",
    "direct",
    "direct, gain auto",
    "direct, gain by region",
    "direct, gain fitted",
    "Mag only",
    "Mag, 1/alpha",
    "Mag + DeMag auto",
    "Mag + DeMag by region",
    "Mag, gain fitted",
    "model space",
    "wrong factor",
)
WRONG = 2.0
"""What `wrong factor` multiplies the right one with: the judge must refuse it."""


@dataclass(frozen=True, kw_only=True)
class Driven:
    """What a generator made of one scenario: displacement in px of a face of `FACE_PX`, on its crop's grid.

    With `pixels=source` a result's motion is exactly such a field times a factor: the portrait is moved by it. So the
    fields are judged themselves, and no estimator stands between the result and the truth.
    """

    fields: Mapping[str, Tensor]
    """``(T, 2, h, w)`` of "direct", "magnified" and, where the generator scales motion itself, "model"."""
    alpha: float
    gains: Mapping[str, float | None]
    """Measured by the closed loop for "direct" and "magnified"; None: it refused."""
    factors: Mapping[str, Tensor | None]
    """The same by place ``(h, w)``: what the closed loop with gain "regions" multiplies the fields with."""


def alpha_for(peak_px: float, target_pct_face: float = TARGET_PCT_FACE) -> float:
    """From the true peak, so that no arm suffers from a badly measured one; at most what the magnifier takes."""
    return min(ALPHA_MOST, target_pct_face * FACE_PX / 100 / (peak_px or NULL_PEAK_PX))


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A driver before any generator: as its crop shows it, and its curves as the closed loop measures them."""

    direct: Tensor
    """``(T, 3, h, w)``."""
    magnified: Tensor
    alpha: float
    alone: MotionCurve
    """The clip by itself, which direct driving has to go by."""
    along: MotionCurve
    """The clip along the pattern of its magnified version."""
    loud: MotionCurve
    """The magnified clip."""
    quiet_fields: Tensor
    """Fields of the clip ``(T, 2 x GRID x GRID)``, and of the magnified one, as the closed loop takes them."""
    loud_fields: Tensor


def prepare_scenario(
    scenario: Scenario, framing: Framing, magnifier: DisplacementMagnifier, *, target_pct_face: float = TARGET_PCT_FACE
) -> Prepared:
    """Render, magnify and measure; the same for every generator of one framing."""
    side = framed(framing)
    whole = driving_clip(scenario)
    view = TensorClip(side.work.apply(whole.frames), whole.rate, "input")
    alpha = alpha_for(scenario.peak_px, target_pct_face)
    magnified = TensorClip(torch.cat(list(magnify(view, magnifier, alpha=alpha))), view.rate, "magnified")
    estimator = estimator_of(magnifier)
    fields = torch.cat([estimator(view.frames[0], chunk) for chunk in view.chunks()])
    box = side.box_in_work
    with FieldTape() as tape:
        about: Any = {"estimator": estimator_of(magnifier), "watches": {"magnified": tape}}
        loud = measure_stages({"magnified": magnified}, {"magnified": box}, **about)["magnified"]
        tape.leave_out(loud.left_out)
        loud_fields = torch.from_numpy(np.concatenate(list(tape.fields.chunks()))).float()
    return Prepared(
        direct=torch.cat(list(side.from_work(view).chunks())),
        magnified=torch.cat(list(side.from_work(magnified).chunks())),
        alpha=alpha,
        alone=measure_fields([fields], box=box, rate=view.rate),
        along=measure_fields([fields], box=box, rate=view.rate, along=loud),
        loud=loud,
        quiet_fields=torch.from_numpy(face_grid(fields, box)).flatten(1),
        loud_fields=loud_fields,
    )


def drive_scenario(
    scenario: Scenario, prepared: Prepared, backbone: AnimationBackbone, magnifier: DisplacementMagnifier
) -> Driven:
    """Drive with the clip as it is and magnified, and measure what was generated."""
    portrait, backbone = scenario.portrait.render(VIEW, State()), EncodedSources.once(fitting(backbone))
    rate = prepared.loud.rate
    direct, loud = TensorClip(prepared.direct, rate), TensorClip(prepared.magnified, rate)
    made = {"direct": generated(backbone, portrait, direct), "magnified": generated(backbone, portrait, loud)}
    if "motion_strength" in backbone.guide_names:
        made["model"] = generated(backbone, portrait, loud, strength=1 / prepared.alpha)
    estimator = estimator_of(magnifier)
    scale = FACE_PX / crop_view(backbone.framing).width_px
    fields, measured = {}, {}
    for name, clip in made.items():
        found = torch.cat([estimator(clip.frames[0], chunk) for chunk in clip.chunks()])
        fields[name] = scale * found * border_window(found)
        fields[name][0] = 0
        measured[name] = found

    closed = {name: _closed(name, prepared, measured[name], backbone.framing) for name in ("direct", "magnified")}
    return Driven(
        fields=fields,
        alpha=prepared.alpha,
        gains={name: None if one is None else one.whole for name, one in closed.items()},
        factors={name: None if one is None else one.factors(1 / one.whole) for name, one in closed.items()},
    )


def _closed(name: str, prepared: Prepared, measured: Tensor, framing: Framing) -> LocalGain | None:
    """The gain as `magplus run` closes its loop; None where it would stop with an error."""
    original, like, driver = prepared.along, prepared.loud, prepared.loud_fields
    if name == "direct":
        original, like, driver = prepared.alone, prepared.alone, prepared.quiet_fields
    box = framed(framing).box_in_crop
    return local_gain(
        compare(original, measure_fields([measured], box=box, rate=like.rate, like=like)),
        original=_rows(prepared.quiet_fields),
        driver=_rows(driver),
        generated=_rows(torch.from_numpy(face_grid(measured, box)).flatten(1)),
        box=box,
        size=crop_view(framing).size,
    )


def _rows(fields: Tensor) -> Rows:
    return Rows(fields.double().numpy())


def generated(backbone: AnimationBackbone, portrait: Tensor, driver: Clip, *, strength: float = 1.0) -> TensorClip:
    """What the backbone makes of a clip as its crop shows it."""
    source, crops = frame_sources([portrait], VIEW.box, backbone.framing)
    guides = place_guides({}, backbone, driving=(framed(backbone.framing), VIEW.size), source=(source, VIEW.size))
    results = animate(backbone, crops, driver, motion_strength=strength, guides=guides)
    return TensorClip(torch.cat([result.frames for result in results]), driver.info.rate, "generated")


def results_of(driven: Driven, fitted: Mapping[str, float]) -> dict[str, Tensor | None]:
    """Displacement of each of `ARMS`; None where the closed loop refused.

    ``fitted`` are factors for "direct" and "magnified" (after 1 / alpha), from clips that are not scored.
    """
    direct, magnified = driven.fields["direct"], driven.fields["magnified"]
    auto = _over(magnified, driven.gains["magnified"])
    return {
        "frozen source": torch.zeros_like(direct),
        "direct": direct,
        "direct, gain auto": _over(direct, driven.gains["direct"]),
        "direct, gain by region": _times(direct, driven.factors["direct"]),
        "direct, gain fitted": fitted["direct"] * direct,
        "Mag only": magnified,
        "Mag, 1/alpha": magnified / driven.alpha,
        "Mag + DeMag auto": auto,
        "Mag + DeMag by region": _times(magnified, driven.factors["magnified"]),
        "Mag, gain fitted": fitted["magnified"] * magnified / driven.alpha,
        "model space": driven.fields.get("model"),
        "wrong factor": None if auto is None else WRONG * auto,
    }


def _times(fields: Tensor, factors: Tensor | None) -> Tensor | None:
    return None if factors is None else fields * factors


def _over(fields: Tensor, gain: float | None) -> Tensor | None:
    return None if gain is None else fields / gain


def fitted_factors(runs: list[tuple[Driven, Goal]]) -> dict[str, float]:
    """Factors with the least squared error over clips that are not scored, where and while the truth moves."""
    out = {}
    for name in ("direct", "magnified"):
        common = power = 0.0
        for driven, goal in runs:
            field = driven.fields[name] / (driven.alpha if name == "magnified" else 1.0)
            inside = goal.moving.to(field)
            common += float((field * goal.fields * inside)[goal.active].sum())
            power += float((field.square() * inside)[goal.active].sum())
        out[name] = common / power if power > 0 else 0.0
    return out
