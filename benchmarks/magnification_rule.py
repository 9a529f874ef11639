"""The rule by which a file of weights may be shipped, line by line."""

from __future__ import annotations

import math
from collections.abc import Mapping

import magnification_metrics as metrics
from magnification_scenes import Camera, scene, seen

RIVAL_NAMES = ("input", "linear", "phase", "DIS", "DIS smooth")
CLEAN_SLACK_DB = 0.3
CLEAN_CAMERAS = ("clean", "8 bit")
GAIN_ABOVE, GAIN_BELOW = 0.03, 0.02
OVER_FLOOR = 3.0
ROUND_TRIP_ALPHAS, ROUND_TRIP_NOISE = (4.0, 16.0), 0.01
STILL_ALPHA = 16.0

Line = tuple[float, str]
Results = Mapping[Line, Mapping[str, Mapping[str, float]]]


def judge(results: Results, ours, *, size: int, seed: int) -> list[str]:
    """One line of text per part of the rule; those that begin with MISSED say by how much."""
    told = []
    for line, found in results.items():
        told += against_rivals(line, found)
        told += _noise(line, found)
    told += _gains(results)
    told += round_trip(ours, size=size, seed=seed)
    told += still(ours, size=size, seed=seed)
    missed = sum(text.startswith("MISSED") for text in told)
    return [
        *(t for t in told if t.startswith("MISSED")),
        *(t for t in told if t.startswith("kept, ")),
        f"{missed} of {len(told)} missed",
    ]


def _verdict(kept: bool, text: str) -> str:
    return f"{'kept' if kept else 'MISSED'}: {text}"


def _line(line: Line) -> str:
    alpha, camera = line
    return f"alpha {alpha:g}, {camera}" if alpha >= 1 else f"alpha 1/{1 / alpha:g}, {camera}"


def against_rivals(line: Line, found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """PSNR and end-point error of one line."""
    slack = CLEAN_SLACK_DB if line[1] in CLEAN_CAMERAS else 0.0
    best = max(RIVAL_NAMES, key=lambda name: found[name]["psnr"])
    least = min(RIVAL_NAMES, key=lambda name: found[name]["error_px"])
    ahead = found["lkmag"]["psnr"] - found[best]["psnr"]
    closer = found[least]["error_px"] - found["lkmag"]["error_px"]
    closer = 0.0 if math.isnan(closer) else closer
    return [
        _verdict(ahead >= -slack, f"{_line(line)}: PSNR {ahead:+.2f} dB against {best}"),
        _verdict(closer >= -1e-3, f"{_line(line)}: error {-closer:+.3f} px against {least}"),
    ]


def _noise(line: Line, found: Mapping[str, Mapping[str, float]]) -> list[str]:
    gain = found["lkmag"]["noise_gain"]
    return [] if math.isnan(gain) else [_verdict(gain < 1, f"{_line(line)}: noise gain {gain:.2f}")]


def _gains(results: Results) -> list[str]:
    told = []
    for title, limit, above in (("alpha 2 to 32", GAIN_ABOVE, True), ("alpha below 1", GAIN_BELOW, False)):
        counted = [
            found["lkmag"]["gain_clear"]
            for (alpha, _), found in results.items()
            if (alpha > 1) == above and not math.isnan(found["lkmag"]["gain_clear"])
        ]
        error = metrics.mean([abs(gain - 1) for gain in counted])
        told.append(
            _verdict(error <= limit, f"{title}: mean gain error {error:.3f} over {len(counted)} lines above the floor")
        )
    return told


def round_trip(ours, *, size: int, seed: int, scenes: int = 3) -> list[str]:
    """Magnified and brought back by the same factor."""
    told = []
    for alpha in ROUND_TRIP_ALPHAS:
        gains, ahead = [], []
        for number in range(scenes):
            drawn = scene(seed, number, alpha, size)
            camera = Camera(name="", noise=ROUND_TRIP_NOISE)
            reference, frames = seen(drawn, camera, seed=seed + number)
            at_rest = seen(drawn.at_rest(), camera, seed=seed + number)[1]
            back, unmoved = (ours(reference, ours(reference, f, alpha), 1 / alpha)[0] for f in (frames, at_rest))
            motion = drawn.motion / alpha
            shown, still = (metrics.MotionError(p, motion) for p in (drawn.frame, drawn.reference))
            gains.append(shown.gain(back, motion) - (still.gain(unmoved, motion) - 1))
            ahead.append(metrics.psnr(back, drawn.frame) - metrics.psnr(frames[0], drawn.frame))
        gain, db = metrics.mean(gains), metrics.mean(ahead)
        told.append(_verdict(abs(gain - 1) <= 0.03, f"round trip alpha {alpha:g}: gain {gain:.3f}"))
        told.append(_verdict(db > 0, f"round trip alpha {alpha:g}: {db:+.2f} dB against the input's own noise"))
    return told


def still(ours, *, size: int, seed: int) -> list[str]:
    """A picture that stands still, with noise: what is shown must not move or boil."""
    drawn = scene(seed, 0, STILL_ALPHA, size).at_rest()
    moved = metrics.MotionError(drawn.reference, drawn.motion)
    told = []
    for camera in (
        Camera(name="noise .01", noise=0.01),
        Camera(name="noise .05", noise=0.05),
        Camera(name="8 bit noise .005", noise=0.005, eight_bit=True),
    ):
        reference, frames = seen(drawn, camera, seed=seed, repeats=2)
        out = ours(reference, frames, STILL_ALPHA)
        ahead = metrics.psnr(out[0], drawn.reference) - metrics.psnr(frames[0], drawn.reference)
        flicker = metrics.rms(out[0] - out[1]) / metrics.rms(frames[0] - frames[1])
        text = f"still picture, {camera.name}, alpha {STILL_ALPHA:g}: {ahead:+.2f} dB against the input"
        text += f", flicker {flicker:.2f}, moves {moved(out[0]):.3f} px (the input, so told, {moved(frames[0]):.3f})"
        told.append(_verdict(ahead >= 0 and flicker < 1, text))
    return told
