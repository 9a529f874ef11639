"""The rule by which a file of weights may be shipped, line by line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count, islice

import magnification_metrics as metrics
from magnification_scenes import Camera, Scene, scene, seen
from magplus.models.lkmag import arch
from torch import Tensor

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
    """Magnified and brought back by the same factor, of the first ``scenes`` whose motion is above the floor."""
    told = []
    for alpha in ROUND_TRIP_ALPHAS:
        gains, ahead = [], []
        for number in islice(above_floor(alpha, size, seed), scenes):
            drawn = scene(seed, number, alpha, size)
            part = metrics.MotionGain(drawn.picture, 0.0, drawn.motion / alpha)
            pairs = [_there_and_back(ours, drawn, alpha, seed + number, mirrored) for mirrored in (False, True)]
            still = [_there_and_back(ours, drawn.at_rest(), alpha, seed + number, m)[0] for m in (False, True)]
            gains.append(part((pairs[0][0] + pairs[1][0]) / 2) - part.pretended((still[0] + still[1]) / 2))
            ahead += [metrics.psnr(back, drawn.frame) - metrics.psnr(frame, drawn.frame) for back, frame in pairs]
        gain, db = metrics.mean(gains), metrics.mean(ahead)
        told.append(_verdict(abs(gain - 1) <= 0.03, f"round trip alpha {alpha:g}: gain {gain:.3f}"))
        told.append(_verdict(db > 0, f"round trip alpha {alpha:g}: {db:+.2f} dB against the input's own noise"))
    return told


def above_floor(alpha: float, size: int, seed: int) -> Iterator[int]:
    """Numbers of the scenes whose motion the noise of a round trip does not hide: below the floor it is to shrink."""
    for number in count():
        drawn, camera = scene(seed, number, alpha, size), Camera(name="", noise=ROUND_TRIP_NOISE)
        if strength(drawn.motion / alpha) > OVER_FLOOR * floor(drawn, camera, seed + number):
            yield number


def strength(motion: Tensor) -> float:
    """Root mean square length of a motion ``(2, H, W)`` in px, where it moves."""
    return float(motion.square().sum(0)[metrics.moving(motion)].mean().sqrt())


def floor(drawn: Scene, camera: Camera, seed: int) -> float:
    """Displacement in px that the untrained prior finds between two takes of a picture that stands still."""
    # Two takes of a clean picture are rounded alike; a quarter of a level of noise shows what rounding hides.
    camera = replace(camera, noise=camera.noise or 0.25 / 255)
    reference, frames = seen(drawn.at_rest(), camera, seed=seed)
    prior = arch.prior()
    return metrics.rms(prior.displacement(prior.prepare(reference), frames).square().sum(1).sqrt())


def _there_and_back(ours, drawn: Scene, alpha: float, seed: int, mirrored: bool) -> tuple[Tensor, Tensor]:
    """A frame after both ways, and before."""
    camera = Camera(name="", noise=ROUND_TRIP_NOISE)
    reference, frames = seen(drawn, camera, seed=seed, mirrored=mirrored)
    return ours(reference, ours(reference, frames, alpha), 1 / alpha)[0], frames[0]


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
