# SPDX-License-Identifier: Apache-2.0
"""The proof in words and as a picture. Made from the numbers alone, so that a report can be told again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ..render.canvas import Colour
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
SPOTS = (
    "Per minute of two regions, with exact 95 % limits for independent events, then how many there were. The clips are "
    "short, so the limits are wide; with the wrong driver each clip is watched against several others, which are not "
    "independent."
)
COLUMNS = ("arm", "error / motion", "error px", "cosine", "gain", "lag frames", "leak px", "refused", "within bounds")
DRAWN = ("frozen source", "direct", "direct, gain auto", "direct, gain by region", "Mag, 1/alpha", "Mag + DeMag auto",
         "Mag + DeMag by region", "model space")  # fmt: skip
CORRECTED = ("direct, gain auto", "direct, gain by region")
CLAIMS = {
    "Mag + DeMag auto": "one gain for the whole face, the default",
    "Mag + DeMag by region": "a gain for each part of the face, `--gain regions`",
}


def told(reports: Sequence[Numbers]) -> str:
    """Tables in Markdown, with what follows from them."""
    parts = [
        "Errors are mean end-point errors where and while something moves, in parts of the true motion (a frozen "
        "picture has 1) and in px of a 250 px face. Within bounds: error below half the motion, cosine from "
        f"{COSINE_FROM:g}, every region's gain 1 +- {GAIN_WITHIN:g}, every lag below {LAG_WITHIN_FRAMES:g} frame. "
        f"`wrong factor` is the automatic factor times {WRONG:g}; the judge must not pass it. Where the closed loop "
        "refused to give a factor, a frozen picture is scored. Bars in the figure are 95 % intervals from clips and "
        "their frames drawn with replacement; a point is two clips, so they tell how sure these are, not other faces.",
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
        controls = report["false_spots"]
        parts.append(f"{SPOTS} Watched: {_watched(controls)}.")
        rows = [[arm, *(_rate(controls[c].get(arm)) for c in controls)] for arm in ARMS if arm != "wrong factor"]
        parts.append(_table(("arm", *controls), rows))
    return "\n\n".join(parts) + "\n"


def _watched(controls: Mapping[str, Numbers]) -> str:
    """How long each control was watched; the longest of its arms, as a loop that refused gives nothing to watch."""
    seconds = {name: 60 * max(one["minutes"] for one in arms.values()) for name, arms in controls.items()}
    return ", ".join(f"{name} {long:.2f} s" for name, long in seconds.items())


def _rate(one: Numbers | None) -> str:
    return "-" if one is None else f"{one['per_minute']:.0f} ({one['low']:.0f} .. {one['high']:.0f}), {one['spots']}"


def verdict(report: Numbers) -> str:
    """What the numbers say about the three targets, for both forms of the closed loop, in plain words."""
    weak = report["summary"].get("noise, to 0.5 px", {})
    direct = [(weak[arm]["relative_error"], arm) for arm in CORRECTED if weak.get(arm)]
    if not direct:
        return "- The closed loop gave no factor for any weak clip."
    (least, against), lines = min(direct), []
    for arm, form in CLAIMS.items():
        if weak.get(arm):
            lines += _targets(
                weak[arm], f"{arm} ({form})", least, against, report["paired_weak"].get(f"{arm} - {against}")
            )
    best = min((s["relative_error"], arm) for arm, s in weak.items() if s)
    lines.append(f"Least error up to 0.5 px: '{best[1]}' ({best[0]:.2f} of the motion).")
    plain, claim = weak.get("direct"), min(weak[arm]["relative_error"] for arm in CLAIMS if weak.get(arm))
    if plain and plain["relative_error"] <= claim:
        lines.append(
            f"Direct driving without any correction is as good here ({plain['relative_error']:.2f} against "
            f"{claim:.2f} of the motion)."
        )
    return "\n".join(f"- {line}" for line in lines)


def _targets(claim: Numbers, name: str, least: float, against: str, pair: Numbers | None) -> list[str]:
    """The three targets for one arm."""
    ratio, lag = claim["relative_error"] / least, _number(claim["lag_frames"], ".2f")
    helps = "not compared over all weak clips"
    if pair:
        helps = "better" if pair["high"] < 0 else "worse" if pair["low"] > 0 else "not told apart from it"
        helps = helps if pair["clips"] >= FEWEST_CLIPS else f"not judged, there being only {pair['clips']}"
    return [
        f"{name}. Target 'half the error of gain-corrected direct driving up to 0.5 px': {_met(ratio <= 0.5)}, ratio "
        f"{ratio:.2f} to '{against}', the better of both corrected ones; over all weak clips it is {helps}.",
        f"{name}. Target 'gain per region 1.00 +- 0.1': {_met(claim['gain_off'] <= GAIN_WITHIN)}, mean distance from 1 "
        f"{claim['gain_off']:.2f}.",
        f"{name}. Target 'lag below one frame': {_met((claim['lag_frames'] or 0) < LAG_WITHIN_FRAMES)}, {lag}.",
    ]


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
    """For each generator: error and gain over the size of the motion, for each of `DRAWN`, on noisy clips at 25 fps."""
    panels = []
    for report in reports:
        curves = report["curves"]
        peaks = [point["peak_px"] for point in curves["frozen source"]]
        for what, up, limits in (("error", "error / motion", (0.1, 10.0)), ("gain", "gain", (0.2, 5.0))):
            panels.append(
                LogPanel(
                    title=f"{report['backbone']}: {what}",
                    across="peak of the true motion, px at a 250 px face",
                    up=up,
                    x=(0.9 * min(0.1, *peaks), 1.1 * max(1.0, *peaks)),
                    y=limits,
                    lines=[_line(arm, colour, curves[arm], what) for arm, colour in zip(DRAWN, COLOURS, strict=True)],
                )
            )
    return draw_log_panels(
        panels, title="Micro-motion given to another face, judged by the true motion", size=(660, 440)
    )


def _line(arm: str, colour: Colour, points: Sequence[Numbers], what: str) -> Line:
    columns = {name: np.array([point[what][name] for point in points]) for name in ("mean", "low", "high")}
    at = np.array([point["peak_px"] for point in points])
    return Line(label=arm, at=at, values=columns["mean"], colour=colour, low=columns["low"], high=columns["high"])
