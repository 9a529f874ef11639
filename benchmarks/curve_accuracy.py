"""How exactly a motion curve tells the peak of a motion, and how often a still clip seems to move.

Run: python benchmarks/curve_accuracy.py [--seeds 20] [--first-seed 0] [--still-minutes 2] [--still-seconds 2]

A face of 96 px width whose brows are pushed up for a third of a second, by 0.1 to 1 px at most, seen for 13 frames at
25 fps with white noise of 0.01 (of 1) in every channel. Its curve is measured as reports do, by Farneback's flow: of
the whole face and of the brows, along its own pattern and along that of the same clip magnified by the pack; its peak
as a report tells it, and the height that Spot Expression fits, where it finds an event. The truth is the peak of the
same curve of the true displacement. Fields are kept in build/accuracy, so that a second run is quick.
"""

import argparse
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests")]

import conftest  # noqa: E402, F401 - loads the checkout as the package
import synth  # noqa: E402
from magplus.models.geometry import FaceBox  # noqa: E402
from magplus.models.registry import load_magnifier  # noqa: E402
from magplus.pipeline.clip import TensorClip  # noqa: E402
from magplus.pipeline.face.anatomy import FaceMap, region_mask  # noqa: E402
from magplus.pipeline.measure import CurveBuilder, dense_displacement  # noqa: E402
from magplus.pipeline.measure.grid import mask_grid  # noqa: E402
from magplus.pipeline.measure.regions import RegionShift  # noqa: E402
from magplus.pipeline.measure.spot import spot_curve  # noqa: E402
from magplus.pipeline.media import H264, ClipWriter, open_clip  # noqa: E402
from magplus.pipeline.motion.magnify import magnify  # noqa: E402
from magplus.pipeline.spotting import SpotLimits, spot_expressions  # noqa: E402

SIZE, BOX = (128, 120), FaceBox(cx=60, cy=64, width=96, height=104)
FACE = FaceMap.from_box(BOX)
RATE, COUNT, NOISE = Fraction(25), 13, 0.01
STRENGTHS = synth.micro_motion(COUNT, width=0.17)
SIZES_PX = (0.1, 0.2, 0.5, 1.0)
TARGET_PX, MOST = 2.9, 32.0
TEXTURES = 4
WAYS = [(where, how) for where in ("face", "brows") for how in ("own", "magnified")]
KEPT = ROOT / "build" / "accuracy"


def push(size_px):
    """Both brows up."""
    return synth.total(*(synth.bump(*FACE.points[f"{side} brow"], 9, 0.0, -size_px) for side in ("left", "right")))


def noisy(frames, seed):
    """As a sensor sees them."""
    draw = torch.Generator().manual_seed(seed)
    return (frames + NOISE * torch.randn(frames.shape, generator=draw)).clamp(0, 1)


def fields(seed, size_px, rendered):
    """Measured fields ``(T, 2, H, W)`` of a noisy clip and of the same magnified, half precision."""
    path = KEPT / f"{size_px:g}_{seed}.npz"
    if not path.exists():
        clip = noisy(rendered[size_px, seed % TEXTURES], 1000 * seed + round(100 * size_px))
        alpha = min(TARGET_PX / size_px, MOST)
        loud = torch.cat(list(magnify(TensorClip(clip, RATE), load_magnifier()[0], alpha=alpha)))
        found = [dense_displacement(c[0], c).numpy().astype(np.float16) for c in (clip, loud)]
        KEPT.mkdir(parents=True, exist_ok=True)
        np.savez(path, weak=found[0], loud=found[1])
    stored = np.load(path)
    return [torch.from_numpy(stored[name].astype(np.float32)) for name in ("weak", "loud")]


def builder(displacement):
    """Fields ready for a curve."""
    made = CurveBuilder(box=BOX, rate=RATE)
    made.append(displacement)
    return made


def true_fields(size_px):
    """The exact displacement."""
    return torch.stack([synth.displacement(synth.scaled(push(size_px), float(s)), *SIZE) for s in STRENGTHS])


def peaks(first, count):
    """Measured less true peak in px and the true one, by size and way."""
    rendered = {}
    for size_px in SIZES_PX:
        for texture in range(TEXTURES):
            moves = [synth.scaled(push(size_px), float(s)) for s in STRENGTHS]
            rendered[size_px, texture] = torch.stack(
                [synth.render(synth.Texture(40 + texture), m, *SIZE) for m in moves]
            )
    regions = {"face": None, "brows": mask_grid(region_mask(FACE, "brows", SIZE), BOX)}
    for size_px in SIZES_PX:
        true = builder(true_fields(size_px))
        truth = {where: true.finish(region=region).peak_px for where, region in regions.items()}
        errors = {(*way, what): [] for way in WAYS for what in ("peak", "fit")}
        errors |= {("brows", way, "shift"): [] for way in ("own", "magnified")}
        moved = RegionShift.of(true.mean_pct_face(regions["brows"]))
        truth["shift"] = float(moved.values_pct_face.max()) * BOX.width / 100
        for seed in range(first, first + count):
            weak, loud = (builder(f) for f in fields(seed, size_px, rendered))
            for where, how in WAYS:
                along = loud.finish(region=regions[where]) if how == "magnified" else None
                curve = weak.finish(region=regions[where], along=along)
                errors[where, how, "peak"].append(curve.peak_px - truth[where])
                errors[where, how, "fit"] += [abs(h) - truth[where] for h in fitted_px(curve)]
            for how, direction in (("own", None), ("magnified", loud)):
                found = None if direction is None else RegionShift.of(direction.mean_pct_face(regions["brows"]))
                values = RegionShift.of(weak.mean_pct_face(regions["brows"]), along=found).values_pct_face
                peak_px = float(values[np.abs(values).argmax()]) * BOX.width / 100
                errors["brows", how, "shift"].append(peak_px - truth["shift"])
            print(f"{size_px:g} px, seed {seed}", file=sys.stderr, flush=True)
        yield size_px, truth, errors


def fitted_px(curve):
    """Height of the event that stands out most, a list of one or none."""
    events = spot_curve(curve, SpotLimits()).events
    heights = [event.arc.height for event in sorted(events, key=lambda event: -event.prominence)]
    return [height * BOX.width / 100 for height in heights[:1]]


def row(size_px, way, truth, errors, seeds):
    """Bias and rms error with 95 % intervals over the seeds (bootstrap), and the bar: 3 % or 0.01 px."""
    where, how, what = way
    errors, head = (
        np.array(errors),
        f"| {size_px:g} | {where} | {how} | {what} | {truth:.3f} | {len(errors)} of {seeds} |",
    )
    if len(errors) < 2:
        return f"{head} | | | | no |"
    draw = np.random.default_rng(0).integers(0, len(errors), (2000, len(errors)))
    rms = np.sqrt(np.mean(errors**2))
    low, high = np.percentile(np.sqrt(np.mean(errors[draw] ** 2, axis=1)), (2.5, 97.5))
    sigma = errors.std(ddof=1) / np.sqrt(len(errors))
    bar = max(0.03 * abs(truth), 0.01)
    return (
        f"{head} {errors.mean():+.3f} +- {1.96 * sigma:.3f} | "
        f"{rms:.3f} ({low:.3f} to {high:.3f}) | {bar:.3f} | {'yes' if rms <= bar else 'no'} |"
    )


def still_spots(minutes, codec, seconds=2.0):
    """Events spotted in clips of so many seconds in which nothing moves."""
    found, count = 0, round(seconds * RATE)
    for k in range(round(60 * minutes / seconds)):
        still = synth.render(synth.Texture(60 + k % TEXTURES), push(0.0), *SIZE)
        frames = noisy(still.expand(count, -1, -1, -1), 7000 + k)
        clip = TensorClip(frames, RATE)
        if codec:
            with tempfile.TemporaryDirectory() as folder:
                with ClipWriter(Path(folder) / "still.mp4", rate=RATE, format=H264) as writer:
                    writer.write(frames)
                clip = TensorClip(torch.cat(list(open_clip(writer.path).chunks())), RATE)
        spots = spot_expressions(clip, BOX, FACE, limits=SpotLimits()).spots
        found += len(spots.events)
        print(f"still {codec}, clip {k}: {found} so far", file=sys.stderr, flush=True)
    return found


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--still-minutes", type=float, default=2.0)
    parser.add_argument("--still-seconds", type=float, default=2.0, help="length of each still clip (2)")
    told = parser.parse_args()
    torch.set_num_threads(1)
    print("| push, px | of | pattern | by | true peak, px | found | bias, px | rms error, px | bar, px | met |")
    print("|---:|---|---|---|---:|---:|---:|---:|---:|---|")
    for size_px, truth, errors in peaks(told.first_seed, told.seeds):
        for way, found in errors.items():
            print(row(size_px, way, truth["shift" if way[2] == "shift" else way[0]], found, told.seeds), flush=True)
    for codec in (False, True) if told.still_minutes else ():
        found = still_spots(told.still_minutes, codec, told.still_seconds)
        name = "H.264" if codec else "noise"
        per_hour = 60 * found / told.still_minutes
        print(
            f"\nStill clips, {name}: {found} events in {told.still_minutes:g} minutes, {per_hour:.0f} an hour",
            flush=True,
        )


if __name__ == "__main__":
    main()
