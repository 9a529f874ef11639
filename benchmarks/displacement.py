"""How far the displacement that lkmag finds is from the truth, in parts of the motion.

Run: python benchmarks/displacement.py [--seeds 1 2 3] [--weights FILE|prior] [--pictures FILE ...]

On the scenes of benchmarks/magnification.py, camera by camera, and on pictures of one's own: cut to a square, moved at
four times the resolution and reduced, so that they are sampled as by a camera and have its sharpness, which rendered
textures have not; in 8 bits, and as first and last of the six pictures of an H.264 clip. Error: mean distance to the
truth over mean length of the motion, geometric mean over scenes; 1 is as good as to find nothing. Slope: of found on
true displacement, mean over scenes.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

import conftest  # noqa: E402, F401 - loads the checkout as the package
from development import arguments_of  # noqa: E402
from magnification import LINES, SCENES, SIZE, by_alpha, take_seed  # noqa: E402
from magnification_metrics import inner, mean  # noqa: E402
from magnification_scenes import RISING, Camera, scene, seen, taken  # noqa: E402
from magplus.models.sampling import sample_spline, spline_coefficients  # noqa: E402
from magplus.pipeline.media import open_clip  # noqa: E402
from magplus.pipeline.render import render_table  # noqa: E402
from magplus.pipeline.train.motion import MAX_STRAIN, grid, random_motion, strain  # noqa: E402

FINER = 4
DRAWS = 2
LARGEST_PX = (0.3, 1.0, 4.0)
PICTURE_CAMERAS = (
    *(Camera(name=f"noise {sigma:g}", noise=sigma, eight_bit=True) for sigma in (0.0, 0.01, 0.03)),
    *(Camera(name=f"H.264, {sigma:g}", noise=sigma, eight_bit=True, h264=True) for sigma in (0.003, 0.01)),
)
PICTURES = 0xD15B
"""Part of the seeds of the motions that pictures are given."""


def judged(network, reference, frame, truth):
    """``(log of the error, slope)`` of one pair."""
    found, truth = (inner(d) for d in (network.displacement(network.prepare(reference), frame[None])[0], truth))
    error = (found - truth).norm(dim=0).mean() / truth.norm(dim=0).mean()
    return float(error.clamp(min=1e-5).log()), float((found * truth).sum() / truth.square().sum())


def on_scenes(network, seeds):
    """``{(camera, above or below): [judged]}``."""
    told = {}
    for seed in seeds:
        for alpha, cameras, numbers in by_alpha(LINES, SCENES):
            for number in numbers:
                drawn = scene(seed, number, alpha, SIZE)
                for camera in cameras:
                    reference, frames = seen(drawn, camera, seed=take_seed(seed, number))
                    key = camera.name, "alpha above 1" if alpha > 1 else "alpha below 1"
                    told.setdefault(key, []).append(judged(network, reference, frames[0], drawn.displacement))
    return told


def on_pictures(network, paths):
    """``{(camera, size of the motion): [judged]}``."""
    told = {}
    for path in paths:
        fine = squared(next(open_clip(path).chunks())[0])
        coefficients, still = spline_coefficients(fine[None]), reduced(fine)
        for draw in range(DRAWS):
            # Every camera sees the same motions.
            motion = random_motion(np.random.default_rng((PICTURES, draw)), SIZE)
            for largest in LARGEST_PX:
                wanted = motion.times(min(largest, MAX_STRAIN / strain(motion, SIZE)))
                truth = wanted(grid(SIZE)).T.reshape(2, SIZE, SIZE)
                clip = [still, *(reduced(moved(coefficients, wanted.times(part))) for part in (*RISING, 1.0))]
                for camera in PICTURE_CAMERAS:
                    pictures = torch.stack(clip if camera.h264 else [clip[0], clip[-1]])
                    grain = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(draw))
                    pictures = taken(pictures, camera, grain)
                    found = judged(network, pictures[0], pictures[-1], truth)
                    told.setdefault((camera.name, f"{largest:g} px"), []).append(found)
    return told


def squared(picture):
    """The middle of a picture ``(3, H, W)``, resized to `FINER` times `SIZE`."""
    side = min(picture.shape[-2:])
    top, left = ((length - side) // 2 for length in picture.shape[-2:])
    square = picture[None, :, top : top + side, left : left + side]
    return F.interpolate(square, size=FINER * SIZE, mode="bicubic", antialias=True)[0].clamp(0, 1)


def moved(coefficients, motion):
    """The fine picture, from its spline, moved by a motion in px of the reduced one."""
    places = (grid(FINER * SIZE) + 0.5) / FINER - 0.5
    origin = (motion.origin(places) + 0.5) * FINER - 0.5
    side = FINER * SIZE
    return sample_spline(coefficients, origin.T.reshape(1, 2, side, side))[0]


def reduced(fine):
    """Means of `FINER` x `FINER` px, as of a sensor's pixels."""
    return F.avg_pool2d(fine, FINER)


def show(told):
    """A table of errors and slopes: a row per first part of the keys, a pair of columns per second one."""
    rows = list(dict.fromkeys(row for row, _ in told))
    columns = list(dict.fromkeys(column for _, column in told))
    table = [[row, *(text for column in columns for text in _cells(told.get((row, column), [])))] for row in rows]
    print(render_table(["", *(f"{column}: {what}" for column in columns for what in ("error", "slope"))], table))


def _cells(values):
    if not values:
        return "-", "-"
    errors, slopes = zip(*values, strict=True)
    return f"{math.exp(mean(errors)):.3f}", f"{mean(slopes):.3f}"


def main():
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", nargs="+", default=[], help="image files, best of 640 px and more")
    wanted, network = arguments_of(parser, [1, 2, 3])
    print(f"rendered scenes of {SIZE} x {SIZE} px, seeds {wanted.seeds}\n")
    show(on_scenes(network, wanted.seeds))
    if wanted.pictures:
        print(f"\n{len(wanted.pictures)} pictures, moved at {FINER} times the resolution, 8 bits or through a codec\n")
        show(on_pictures(network, wanted.pictures))


if __name__ == "__main__":
    main()
