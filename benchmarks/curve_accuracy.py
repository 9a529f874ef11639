"""How exactly a motion curve tells the peak of a motion, and how often a still clip seems to move.

Run: python benchmarks/curve_accuracy.py [--width 250] [--seeds 20] [--first-seed 0] [--still-minutes 2]
     [--still-seconds 2]

A face of 250 px width (or ``--width 96``) whose brows are pushed up for a third of a second, by 0.1 to 1 px at most,
seen for 13 frames at 25 fps with white noise of 0.01 (of 1) in every channel. Its curve is measured as reports do: of
the whole face and of the brows, along its own pattern and along that of the same clip magnified by the pack; its peak
as a report tells it, and the height that Spot Expression fits, where it finds an event; and the largest magnitude,
without a pattern. The truth is the peak of the same of the true displacement. Nothing was chosen on these textures.
"least" is the error that remains to an estimator which knows the pattern and has two noisy pictures to tell its size
from (Cramer and Rao). Still clips show a face of 96 px. Fields are kept in build/accuracy, so that a second run is
quick.
"""

import argparse
import sys
import tempfile
from fractions import Fraction
from functools import cached_property, lru_cache
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

RATE, COUNT, NOISE = Fraction(25), 13, 0.01
STRENGTHS = synth.micro_motion(COUNT, width=0.17)
SIZES_PX = (0.1, 0.2, 0.5, 1.0)
TARGET_PX, MOST = 2.9, 32.0
FIRST_TEXTURE, TEXTURES = 70, 8
WAYS = [(where, how) for where in ("face", "brows") for how in ("own", "magnified")]
KEPT = ROOT / "build" / "accuracy"


class Scene:
    """A face of some width and what is around it."""

    def __init__(self, width):
        self.box = FaceBox(cx=width * 0.625, cy=width * 2 / 3, width=width, height=round(width * 13 / 12))
        self.size = round(width * 4 / 3), round(width * 1.25)
        self.face = FaceMap.from_box(self.box)

    def push(self, size_px):
        """Both brows up."""
        spread = self.box.width * 3 / 32
        brows = (self.face.points[f"{side} brow"] for side in ("left", "right"))
        return synth.total(*(synth.bump(*brow, spread, 0.0, -size_px) for brow in brows))

    def true_fields(self, size_px):
        """The exact displacement."""
        return torch.stack(
            [synth.displacement(synth.scaled(self.push(size_px), float(s)), *self.size) for s in STRENGTHS]
        )

    def builder(self, displacement):
        """Fields ready for a curve."""
        made = CurveBuilder(box=self.box, rate=RATE)
        made.append(displacement)
        return made

    @cached_property
    def least(self):
        """Error of a curve that is 1 at a push of 1 px, for whoever knows the pattern: rms of all textures."""
        return float(np.sqrt(np.mean([self._least(texture) ** 2 for texture in range(TEXTURES)])))

    def _least(self, texture):
        seen, (x, y), step = synth.Texture(FIRST_TEXTURE + texture), synth.pixel_grid(*self.size), 0.05
        along = (
            (seen(x + step, y) - seen(x - step, y)) / (2 * step),
            (seen(x, y + step) - seen(x, y - step)) / (2 * step),
        )
        pattern = synth.displacement(self.push(1.0), *self.size).double().numpy()
        changes = sum(slope * part for slope, part in zip(along, pattern, strict=True))
        return NOISE * np.sqrt(2 / (changes**2).sum())


@lru_cache(maxsize=TEXTURES)
def rendered(scene, texture, size_px):
    """Frames without noise."""
    moves = [synth.scaled(scene.push(size_px), float(s)) for s in STRENGTHS]
    return torch.stack([synth.render(synth.Texture(FIRST_TEXTURE + texture), move, *scene.size) for move in moves])


def noisy(frames, seed):
    """As a sensor sees them."""
    draw = torch.Generator().manual_seed(seed)
    return (frames + NOISE * torch.randn(frames.shape, generator=draw)).clamp(0, 1)


def fields(scene, seed, size_px):
    """Measured fields ``(T, 2, H, W)`` of a noisy clip and of the same magnified, half precision."""
    path = KEPT / f"{scene.box.width:g}_{size_px:g}_{seed}.npz"
    if not path.exists():
        clip = noisy(rendered(scene, seed % TEXTURES, size_px), 1000 * seed + round(100 * size_px))
        alpha = min(TARGET_PX / size_px, MOST)
        loud = torch.cat(list(magnify(TensorClip(clip, RATE), load_magnifier()[0], alpha=alpha)))
        found = [dense_displacement(c[0], c).numpy().astype(np.float16) for c in (clip, loud)]
        KEPT.mkdir(parents=True, exist_ok=True)
        np.savez(path, weak=found[0], loud=found[1])
    stored = np.load(path)
    return [torch.from_numpy(stored[name].astype(np.float32)) for name in ("weak", "loud")]


def peaks(scene, first, count):
    """By size and way: the true peak, the least error (root of the mean square), measured less true peaks; all px."""
    regions = {"face": None, "brows": mask_grid(region_mask(scene.face, "brows", scene.size), scene.box)}
    px = scene.box.width / 100
    for size_px in SIZES_PX:
        true = scene.builder(scene.true_fields(size_px))
        truth = {where: true.finish(region=region).peak_px for where, region in regions.items()}
        errors = {(*way, what): [] for way in WAYS for what in ("peak", "fit")}
        errors |= {("brows", way, "shift"): [] for way in ("own", "magnified")}
        errors |= {(where, "-", "magnitude"): [] for where in regions}
        lengths = {where: true.magnitude_pct_face(region).max() * px for where, region in regions.items()}
        moved = RegionShift.of(true.mean_pct_face(regions["brows"]))
        truth["shift"] = float(moved.values_pct_face.max()) * px
        for seed in range(first, first + count):
            weak, loud = (scene.builder(f) for f in fields(scene, seed, size_px))
            for where, how in WAYS:
                along = loud.finish(region=regions[where]) if how == "magnified" else None
                curve = weak.finish(region=regions[where], along=along)
                errors[where, how, "peak"].append(curve.peak_px - truth[where])
                errors[where, how, "fit"] += [abs(h) * px - truth[where] for h in fitted_pct_face(curve)]
            for where, region in regions.items():
                errors[where, "-", "magnitude"].append(weak.magnitude_pct_face(region).max() * px - lengths[where])
            for how, direction in (("own", None), ("magnified", loud)):
                found = None if direction is None else RegionShift.of(direction.mean_pct_face(regions["brows"]))
                values = RegionShift.of(weak.mean_pct_face(regions["brows"]), along=found).values_pct_face
                errors["brows", how, "shift"].append(float(values[np.abs(values).argmax()]) * px - truth["shift"])
            print(f"{size_px:g} px, seed {seed}", file=sys.stderr, flush=True)
        for (where, how, what), found in errors.items():
            true_px = lengths[where] if what == "magnitude" else truth["shift" if what == "shift" else where]
            yield size_px, (where, how, what), true_px, true_px / size_px * scene.least, found


def fitted_pct_face(curve):
    """Height of the event that stands out most, a list of one or none."""
    events = spot_curve(curve, SpotLimits()).events
    return [event.arc.height for event in sorted(events, key=lambda event: -event.prominence)][:1]


def row(found, seeds):
    """What `peaks` gives as a line of the table; 95 % intervals over the seeds (rms: bootstrap), bar 3 % or 0.01 px."""
    size_px, way, truth, least, errors = found
    head = f"| {size_px:g} | {' | '.join(way)} | {truth:.3f} | {least:.4f} | {len(errors)} of {seeds} |"
    if len(errors) < 2:
        return f"{head} | | | no |"
    errors = np.array(errors)
    draw = np.random.default_rng(0).integers(0, len(errors), (2000, len(errors)))
    rms = np.sqrt(np.mean(errors**2))
    low, high = np.percentile(np.sqrt(np.mean(errors[draw] ** 2, axis=1)), (2.5, 97.5))
    sigma = errors.std(ddof=1) / np.sqrt(len(errors))
    bar = max(0.03 * abs(truth), 0.01)
    return (
        f"{head} {errors.mean():+.4f} +- {1.96 * sigma:.4f} | "
        f"{rms:.4f} ({low:.4f} to {high:.4f}) | {bar:.4f} | {'yes' if rms <= bar else 'no'} |"
    )


def still_spots(minutes, codec, seconds=2.0):
    """Events spotted in clips of so many seconds in which nothing moves."""
    found, count, scene = 0, round(seconds * RATE), Scene(96)
    for k in range(round(60 * minutes / seconds)):
        still = synth.render(synth.Texture(60 + k % TEXTURES), scene.push(0.0), *scene.size)
        frames = noisy(still.expand(count, -1, -1, -1), 7000 + k)
        clip = TensorClip(frames, RATE)
        if codec:
            with tempfile.TemporaryDirectory() as folder:
                with ClipWriter(Path(folder) / "still.mp4", rate=RATE, format=H264) as writer:
                    writer.write(frames)
                clip = TensorClip(torch.cat(list(open_clip(writer.path).chunks())), RATE)
        spots = spot_expressions(clip, scene.box, scene.face, limits=SpotLimits()).spots
        found += len(spots.events)
        print(f"still {codec}, clip {k}: {found} so far", file=sys.stderr, flush=True)
    return found


def print_table(scene, told):
    """Errors of all sizes and ways."""
    print("| push, px | of | pattern | by | true peak, px | least, px | found | bias, px | rms, px | bar, px | met |")
    print("|---:|---|---|---|---:|---:|---:|---:|---:|---:|---|")
    for found in peaks(scene, told.first_seed, told.seeds):
        print(row(found, told.seeds), flush=True)


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=250, help="of the face, in px (250)")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--still-minutes", type=float, default=2.0)
    parser.add_argument("--still-seconds", type=float, default=2.0, help="length of each still clip (2)")
    told = parser.parse_args()
    torch.set_num_threads(1)
    if told.seeds:
        print_table(Scene(told.width), told)
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
