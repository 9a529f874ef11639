# SPDX-License-Identifier: Apache-2.0
"""The proof in words and as a picture. Made from the numbers alone, so that a report can be told again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ..render.loglog import COLOURS, Line, LogPanel, draw_log_panels
from .arms import ARMS, WRONG
from .judge import COSINE_FROM, GAIN_WITHIN, LAG_WITHIN_FRAMES

Numbers = Mapping[str, Any]

LINEAR = (
    "Flow Transfer is linear in the measured flow: magnifying, transferring and scaling back is algebraically the "
    "direct transfer. It cannot show a benefit, and differs here by estimation noise alone."
)
FEWEST_CLIPS = 5
"""Below it a bootstrap interval says nothing."""
COLUMNS = ("arm", "error / motion", "error px", "cosine", "gain", "lag frames", "leak px", "refused", "within bounds")
DRAWN = ("frozen source", "direct", "direct, gain auto", "direct, gain fitted", "Mag, 1/alpha", "Mag + DeMag auto",
         "model space")  # fmt: skip


def told(reports: Sequence[Numbers]) -> str:
    """Tables in Markdown, with what follows from them."""
    parts = [
        "Errors are mean end-point errors where and while something moves, in parts of the true motion (a frozen "
        "picture has 1) and in px of a 250 px face. Within bounds: error below half the motion, cosine from "
        f"{COSINE_FROM:g}, every region's gain 1 +- {GAIN_WITHIN:g}, every lag below {LAG_WITHIN_FRAMES:g} frame. "
        f"`wrong factor` is the automatic factor times {WRONG:g}; the judge must not pass it. Where the closed loop "
        "refused to give a factor, a frozen picture is scored.",
    ]
    for report in reports:
        parts.append(f"## {report['backbone']}")
        if report["backbone"] == "flow":
            parts.append(LINEAR)
        parts.append(verdict(report))
        for condition, arms in report["summary"].items():
            parts.append(f"### {condition}")
            parts.append(_table(COLUMNS, [_row(arm, arms[arm]) for arm in ARMS if arms.get(arm)]))
        parts.append("### Paired differences, peaks to 0.5 px, all conditions")
        rows = [
            [name, f"{d['mean']:+.3f}", f"{d['low']:+.3f} .. {d['high']:+.3f}", str(d["clips"])]
            for name, d in report["paired_weak"].items()
            if d
        ]
        parts.append(_table(("error / motion", "mean", "95 % interval", "clips"), rows))
        parts.append("### False spots per minute")
        controls = report["false_spots_per_minute"]
        rows = [
            [arm, *(_number(controls[c].get(arm), ".0f") for c in controls)] for arm in ARMS if arm != "wrong factor"
        ]
        parts.append(_table(("arm", *controls), rows))
    return "\n\n".join(parts) + "\n"


def verdict(report: Numbers) -> str:
    """What the numbers say about the three targets, in plain words."""
    weak = report["summary"].get("noise, to 0.5 px", {})
    direct, claim = weak.get("direct, gain auto"), weak.get("Mag + DeMag auto")
    if not direct or not claim:
        return "- The closed loop gave no factor for any weak clip."
    plain, best = weak.get("direct"), min((s["relative_error"], arm) for arm, s in weak.items() if s)
    ratio = claim["relative_error"] / direct["relative_error"]
    pair = report["paired_weak"]["Mag + DeMag auto - direct, gain auto"]
    helps = "better" if pair["high"] < 0 else "worse" if pair["low"] > 0 else "not told apart from it"
    helps = helps if pair["clips"] >= FEWEST_CLIPS else f"not judged, there being only {pair['clips']}"
    lag = _number(claim["lag_frames"], ".2f")
    met = [
        _met(ratio <= 0.5),
        _met(claim["gain_off"] <= GAIN_WITHIN),
        _met((claim["lag_frames"] or 0) < LAG_WITHIN_FRAMES),
    ]
    lines = [
        f"Target 'half the error of gain-corrected direct driving up to 0.5 px': {met[0]}, ratio {ratio:.2f}; over all "
        f"weak clips MagPlus - DeMagPlus is {helps}.",
        f"Target 'gain per region 1.00 +- 0.1': {met[1]}, mean distance from 1 {claim['gain_off']:.2f}.",
        f"Target 'lag below one frame': {met[2]}, {lag}.",
        f"Least error up to 0.5 px: '{best[1]}' ({best[0]:.2f} of the motion).",
    ]
    if plain and plain["relative_error"] <= claim["relative_error"]:
        lines.append(
            f"Direct driving without any correction is as good here ({plain['relative_error']:.2f} against "
            f"{claim['relative_error']:.2f} of the motion)."
        )
    return "\n".join(f"- {line}" for line in lines)


def _met(yes: bool) -> str:
    return "met" if yes else "missed"


def _row(arm: str, s: Numbers) -> list[str]:
    return [
        arm,
        f"{s['relative_error']:.2f}",
        f"{s['error_px']:.3f}",
        f"{s['cosine']:.2f}",
        f"{s['gain']:.2f}",
        _number(s["lag_frames"], ".2f"),
        f"{s['leak_px']:.3f}",
        str(s["refused"]),
        f"{s['good']} of {s['clips']}",
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(headers) + " |", "|" + " --- |" * len(headers)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def proof_picture(reports: Sequence[Numbers]) -> Image.Image:
    """For each generator: error and gain over the size of the motion, for every arm, on noisy clips at 25 fps."""
    panels = []
    for report in reports:
        clips = [clip for clip in report["clips"] if clip["condition"] == "noise"]
        peaks = sorted({clip["peak_px"] for clip in clips})
        for what, up, limits in (("error", "error / motion", (0.1, 10.0)), ("gain", "gain", (0.2, 5.0))):
            lines = []
            for colour, arm in zip(COLOURS, DRAWN, strict=True):
                values = [_mean_of([clip for clip in clips if clip["peak_px"] == peak], arm, what) for peak in peaks]
                lines.append(Line(label=arm, at=np.array(peaks), values=np.array(values), colour=colour))
            panels.append(
                LogPanel(
                    title=f"{report['backbone']}: {what}",
                    across="peak of the true motion, px at a 250 px face",
                    up=up,
                    x=(min(0.1, *peaks), max(1.0, *peaks)),
                    y=limits,
                    lines=lines,
                )
            )
    return draw_log_panels(
        panels, title="Micro-motion given to another face, judged by the true motion", size=(560, 400)
    )


def _mean_of(clips: Sequence[Numbers], arm: str, what: str) -> float:
    """Mean over clips; where an arm gave nothing, a frozen picture."""
    values = []
    for clip in clips:
        score, frozen = clip["arms"].get(arm), clip["arms"]["frozen source"]
        if score is None and arm == "model space":
            continue
        score = score or frozen
        values.append(score["error_px"] / frozen["motion_px"] if what == "error" else float(np.mean(score["gains"])))
    return float(np.mean(values)) if values else 0.0
