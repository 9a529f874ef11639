"""lkmag against the classical magnifiers, on scenes whose magnified frames are rendered, not estimated.

Every line is one alpha seen by one camera; every number a mean over the same scenes for all methods. One processor
thread. Run: python benchmarks/magnification.py [--short] [--seed N] [--weights FILE] [--json FILE]
"""

import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

import conftest  # noqa: E402, F401 - loads the checkout as the package
import magnification_metrics as metrics  # noqa: E402
from magnification_rule import OVER_FLOOR, floor, judge, strength  # noqa: E402
from magnification_scenes import Camera, scene, seen  # noqa: E402
from magplus.models.registry import load_magnifier  # noqa: E402
from magplus.pipeline.cli.console import peak_memory_bytes  # noqa: E402
from magplus.pipeline.render import render_table  # noqa: E402
from rivals import RIVALS, lkmag  # noqa: E402

ALPHAS = (2.0, 4.0, 8.0, 16.0, 32.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32)
CAMERAS = (
    Camera(name="clean"),
    Camera(name="8 bit", eight_bit=True),
    Camera(name="noise .01", noise=0.01, eight_bit=True),
    Camera(name="noise .02", noise=0.02),
    Camera(name="noise .05", noise=0.05, eight_bit=True),
)
H264_LINE = (8.0, Camera(name="H.264", noise=0.005, eight_bit=True, h264=True))
LINES = [*((alpha, camera) for alpha in ALPHAS for camera in CAMERAS), H264_LINE]
SCENES, SIZE = 2, 160
"""Scenes per alpha, and their sides in px."""
SHORT_ALPHAS, SHORT_CAMERAS = (8.0, 1 / 8), (CAMERAS[0], CAMERAS[3])

DEVELOPMENT_SEED = 1
RELEASE_SEED = 20261
"""Looked at once per file of weights that is shipped."""

COLUMNS = {
    "psnr": "PSNR dB", "psnr_moving": "PSNR dB, moving region", "ssim": "SSIM", "gain": "motion gain",
    "gain_clear": "motion gain of scenes whose motion is over three times the noise floor",
    "error_px": "end-point error px", "leak": "static leak, 1/255", "noise_gain": "noise gain",
    "flicker": "flicker, parts of the noise", "seconds": "CPU s per frame",
}  # fmt: skip


def evaluate(methods, lines, *, scenes, size, seed, progress=False):
    """``{(alpha, camera name): {method: {metric: mean}}}``."""
    results = {}
    for alpha, group, numbers in by_alpha(lines, scenes):
        found = {camera.name: {name: [] for name in methods} for camera in group}
        for number in numbers:
            for camera, name, values in _one_scene(methods, alpha, group, number=number, size=size, seed=seed):
                found[camera.name][name].append(values)
        for camera in group:
            per_method = found[camera.name]
            results[alpha, camera.name] = {
                name: {key: metrics.mean([v[key] for v in values]) for key in values[0]}
                for name, values in per_method.items()
            }
        if progress:
            sys.stderr.write(f"alpha {alpha:g} done\n")
    return results


def by_alpha(lines, scenes):
    """``(alpha, its cameras, numbers of its scenes)``."""
    groups = {}
    for alpha, camera in lines:
        groups.setdefault(alpha, []).append(camera)
    for index, (alpha, cameras) in enumerate(groups.items()):
        yield alpha, cameras, range(index * scenes, (index + 1) * scenes)


def take_seed(seed, number):
    """Seed of a scene's noise."""
    return seed * 1000 + number


def _one_scene(methods, alpha, cameras, *, number, size, seed):
    """``(camera, method, metrics)`` of one scene."""
    drawn = scene(seed, number, alpha, size)
    motion, input_motion = drawn.motion, drawn.motion / alpha
    told = metrics.MotionError(drawn.truth, drawn.motion - input_motion)
    part = metrics.MotionGain(drawn.shown, 1 / alpha, drawn.motion)
    region = metrics.moving(motion)
    clean = {name: run(drawn.reference, drawn.frame[None], alpha)[0] for name, run in methods.items()}
    for camera in cameras:
        takes = {"seed": take_seed(seed, number), "repeats": 2 if camera.noise else 1}
        reference, frames = seen(drawn, camera, **takes)
        least = floor(drawn, camera, takes["seed"]) if camera.noise or camera.eight_bit else 0.0
        over_floor = strength(input_motion) / max(least, 1e-6)
        for name, run in methods.items():
            start = time.process_time()
            out = run(reference, frames, alpha)
            seconds = (time.process_time() - start) / len(frames)
            noise = float("nan") if camera.h264 else camera.noise or float("nan")
            gain = _gain(part, run, drawn, camera=camera, seed=takes["seed"], out=out[0])
            yield camera, name, {
                "psnr": metrics.psnr(out[0], drawn.truth),
                "psnr_moving": metrics.psnr(out[0], drawn.truth, region),
                "ssim": metrics.ssim(out[0], drawn.truth),
                "gain": gain,
                "gain_clear": gain if over_floor > OVER_FLOOR else float("nan"),
                "error_px": told(out[0]),
                "leak": metrics.leak(out[0], drawn.truth, motion, input_motion),
                "noise_gain": metrics.rms(out[0] - clean[name]) / noise,
                "flicker": metrics.rms(out[0] - out[1]) / 2**0.5 / noise if len(out) > 1 else float("nan"),
                "seconds": seconds,
                "over_floor": over_floor,
            }  # fmt: skip


def _gain(part, run, drawn, *, camera, seed, out):
    """Gain of a take ``out``, or where there is noise of its mean with what the mirrored noise gives.

    What the same takes of a picture at rest show of the motion is none, and is taken off.
    """
    if not (camera.noise or camera.eight_bit):
        return part(out)
    moved, still = [out], []
    for mirrored in (False, True) if camera.noise else (False,):
        if mirrored:
            moved.append(_magnified(run, drawn, camera=camera, seed=seed, mirrored=True))
        still.append(_magnified(run, drawn.at_rest(), camera=camera, seed=seed, mirrored=mirrored))
    return part(sum(moved) / len(moved)) - part.pretended(sum(still) / len(still))


def _magnified(run, drawn, *, camera, seed, mirrored):
    reference, frames = seen(drawn, camera, seed=seed, mirrored=mirrored)
    return run(reference, frames, drawn.alpha)[0]


def show(results, methods):
    """All tables."""
    cameras = list(dict.fromkeys(camera for _, camera in results))
    alphas = list(dict.fromkeys(alpha for alpha, _ in results))
    for key, title in COLUMNS.items():
        print(f"\n## {title}\n")
        rows = [
            [f"alpha {_name(a)}", *(_cell(results, lambda line, a=a: line[0] == a, m, key) for m in methods)]
            for a in alphas
        ]
        rows += [[c, *(_cell(results, lambda line, c=c: line[1] == c, m, key) for m in methods)] for c in cameras]
        rows.append(["all", *(_cell(results, lambda _: True, m, key) for m in methods)])
        print(render_table(["", *methods], rows))


def _name(alpha):
    return f"{alpha:g}" if alpha >= 1 else f"1/{1 / alpha:g}"


def _cell(results, chosen, method, key):
    value = metrics.mean([line[method][key] for at, line in results.items() if chosen(at)])
    digits = {"psnr": 2, "psnr_moving": 2, "ssim": 4, "seconds": 3}.get(key, 3)
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def memory(name, size, weights):
    """Largest resident size in MiB of a fresh process that magnifies one frame."""
    words = [sys.executable, __file__, "--memory-of", name, "--size", str(size)]
    words += ["--weights", weights] if weights else []
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)  # noqa: S603


def methods_with(weights):
    """All methods by name; the last is ours."""
    network, _ = load_magnifier(weights or "builtin")
    return {**RIVALS, "lkmag": lkmag(network)}


def main():
    """Tables, release rule, memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="few lines and small pictures, under a minute")
    parser.add_argument("--seed", type=int, default=DEVELOPMENT_SEED, help=f"the release seed is {RELEASE_SEED}")
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--weights", help="a file instead of the built-in magnifier")
    parser.add_argument("--methods", nargs="+", help="only these")
    parser.add_argument("--json", help="write all numbers")
    parser.add_argument("--reuse", help="numbers of other methods, from --json with the same seed, size and scenes")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    methods = methods_with(wanted.weights)
    if wanted.memory_of:
        pictures = torch.rand(2, 3, wanted.size, wanted.size)
        methods[wanted.memory_of](pictures[0], pictures[1:], 8.0)
        print((peak_memory_bytes() or 0) / 2**20)
        return
    if wanted.methods:
        methods = {name: methods[name] for name in wanted.methods}
    size, scenes = (128, 2) if wanted.short else (wanted.size, wanted.scenes)
    lines = [(a, c) for a in SHORT_ALPHAS for c in SHORT_CAMERAS] if wanted.short else LINES
    results = evaluate(methods, lines, scenes=scenes, size=size, seed=wanted.seed, progress=not wanted.short)
    if wanted.reuse:
        for row in json.loads(Path(wanted.reuse).read_text()):
            line = results[row["alpha"], row["camera"]]
            line.update({name: row[name] for name in RIVALS if name in row and name not in line})
        methods = {**RIVALS, **methods}
    print(f"{scenes} scenes of {size} x {size} px per line, seed {wanted.seed}")
    show(results, [name for name in methods if name in next(iter(results.values()))])
    if wanted.json:
        rows = [{"alpha": a, "camera": c, **line} for (a, c), line in results.items()]
        Path(wanted.json).write_text(json.dumps(rows, indent=1))
    if {"lkmag", "phase", "DIS"} <= set(methods) and not wanted.short:
        print("\n## Release rule\n")
        print("\n".join(judge(results, methods["lkmag"], size=size, seed=wanted.seed)))
        print("\n## Memory, MiB of a fresh process that magnifies one frame of 256 x 256 px\n")
        print(render_table(["", "MiB"], [[m, f"{memory(m, 256, wanted.weights):.0f}"] for m in methods]))


if __name__ == "__main__":
    main()
