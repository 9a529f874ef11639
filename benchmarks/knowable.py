"""What of a motion could be known at all, beside what lkmag finds of it.

Run: python benchmarks/knowable.py [--seeds 101 102] [--weights FILE|prior] (about a minute per seed)

On scenes of benchmarks/magnification.py at noise 0.01: those of its lines for alpha above 1 and those of its round
trips, without the ones that have something in front. Beside lkmag stands the best linear estimator there can be: it
sees slopes without noise, knows how strong the noise is, how long the motion is on average, and how motions of these
scenes look (the mean square of a thousand others from the same generator, places of mouth, brows and lids included),
and answers with the mean of what is then likely. SNR: the motion's total signal in parts of its noise, for one who
knows its shape and asks only how strong it is: at 5, that is known to a fifth.

Error: mean distance to the truth in parts of the motion's mean length; slope: of found on true displacement by what
they change in the picture, as a picture's motion gain counts it.
"""

import argparse
import math
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

import conftest  # noqa: E402, F401 - loads the checkout as the package
from development import arguments_of  # noqa: E402
from magnification import LINES, SCENES, SIZE, by_alpha, take_seed  # noqa: E402
from magnification_metrics import inner, mean, moving  # noqa: E402
from magnification_rule import OVER_FLOOR, ROUND_TRIP_ALPHAS, ROUND_TRIP_NOISE, above_floor, floor, strength  # noqa: E402
from magnification_scenes import Camera, face, scene, seen  # noqa: E402
from magplus.models.lkmag.levels import product, reference_level  # noqa: E402
from magplus.pipeline.render import render_table  # noqa: E402
from magplus.pipeline.train.motion import grid  # noqa: E402

CELL_PX, MOTIONS, NOISE = 2, 1000, ROUND_TRIP_NOISE
"""Sides of the cells in which motion is taken to be the same, how many others are looked at, and the noise."""
FAINT_SNR = 10.0
SNR_GROUPS = ((0.0, FAINT_SNR), (FAINT_SNR, 20.0), (20.0, 40.0), (40.0, math.inf))
"""Round trips are told by SNR, too: what of their line is knowable at which."""


def other_motions(size):
    """Displacements ``(M, 2, S / 2, S / 2)`` of motions as the scenes have them, mean square 1."""
    places, rng = grid(size), np.random.default_rng(0)
    fields = torch.stack([face(rng, size)(places).T.reshape(2, size, size) for _ in range(MOTIONS)])
    fields = F.avg_pool2d(fields, CELL_PX)
    return fields / fields.square().sum(1).mean().sqrt()


def best_linear(motions, information, told, length):
    """Mean of the motion given ``told``, all in cells, and of root mean square ``length`` in px."""
    basis = motions * (length / math.sqrt(len(motions)))
    flat = basis.flatten(1)
    seen_by = product(information.expand(len(basis), -1, -1, -1), basis).flatten(1)
    system = torch.eye(len(basis), dtype=torch.float64) + (flat @ seen_by.T).double()
    weights = torch.linalg.solve(system, (flat @ told.flatten()).double()[:, None]).float()
    return (weights.T @ flat).view(1, *told.shape)


def root(information, draw):
    """Noise ``(2, h, w)`` with this covariance."""
    xx, xy, yy = information
    determinant = (xx * yy - xy.square()).clamp(min=0).sqrt()
    trace = (xx + yy + 2 * determinant).clamp(min=1e-20).sqrt()
    return product(torch.stack([xx + determinant, xy, yy + determinant])[None] / trace, draw[None])[0]


def judged(found, truth, products):
    """``(error, slope)`` of a displacement ``(2, S, S)``."""
    error = inner(found - truth).norm(dim=0).mean() / inner(truth).norm(dim=0).mean()
    weight = product(products[None], truth[None])[0] * moving(truth)
    return float(error), float((inner(weight) * inner(found)).sum() / (inner(weight) * inner(truth)).sum())


def looked_at(network, motions, drawn, seed):
    """``(SNR, strength over floor, judged best, judged ours)`` of one scene."""
    truth, camera = drawn.displacement, Camera(name="", noise=NOISE)
    level = reference_level(drawn.reference[None], damping=1e-9, least_noise=torch.zeros(1, 1, 1, 1))
    # Both pictures have noise.
    information = F.avg_pool2d(level.products, CELL_PX)[0] * CELL_PX**2 / (2 * NOISE**2)
    small = F.avg_pool2d(truth[None], CELL_PX)
    draw = torch.randn(small.shape[1:], generator=torch.Generator().manual_seed(seed))
    told = product(information[None], small)[0] + root(information, draw)
    best = best_linear(motions, information, told, float(small.square().sum(1).mean().sqrt()))
    best = F.interpolate(best, size=truth.shape[-2:], mode="bilinear", align_corners=False)[0]
    reference, frames = seen(drawn, camera, seed=seed)
    ours = network.displacement(network.prepare(reference), frames)[0]
    snr = float((product(information[None], small) * small).sum().sqrt())
    over = strength(truth) / floor(drawn, camera, seed)
    return snr, over, judged(best, truth, level.products[0]), judged(ours, truth, level.products[0])


def scenes(seed):
    """``(what it is for, scene, seed of its noise)``."""
    for alpha, _, numbers in by_alpha(LINES, SCENES):
        for number in numbers if alpha > 1 else ():
            yield f"alpha {alpha:g}", scene(seed, number, alpha, SIZE), take_seed(seed, number)
    for alpha in ROUND_TRIP_ALPHAS:
        for number in islice(above_floor(alpha, SIZE, seed), 3):
            yield f"round trip {alpha:g}", scene(seed, number, alpha, SIZE), seed + number


def main():
    """A row per line, one per group of round trips, and one per scene whose motion is faint."""
    parser = argparse.ArgumentParser(description=__doc__)
    wanted, network = arguments_of(parser, [101, 102])
    motions, found, faint = other_motions(SIZE), {}, []
    for seed in wanted.seeds:
        for line, drawn, noise_seed in scenes(seed):
            if drawn.name.startswith("layers"):
                continue
            snr, over, best, ours = looked_at(network, motions, drawn, noise_seed)
            found.setdefault(line, []).append((snr, *best, *ours))
            numbers = [f"{value:.2f}" for value in (*best, *ours)]
            if snr < FAINT_SNR and over > OVER_FLOOR:
                faint.append([f"seed {seed}, {line}, {drawn.name}", f"{snr:.1f}", f"{over:.1f}", *numbers])
    columns = ["best linear: error", "slope", "lkmag: error", "slope"]
    print(f"noise {NOISE}, seeds {wanted.seeds}\n")
    print(render_table(["", "scenes", "SNR", *columns], [_row(line, values) for line, values in found.items()]))
    trips = [values for line, rows in found.items() if line.startswith("round trip") for values in rows]
    groups = [(low, high, [t for t in trips if low <= t[0] < high]) for low, high in SNR_GROUPS]
    print("\nround trips by SNR:\n")
    print(render_table(["", "scenes", "SNR", *columns], [_row(_group(a, b), rows) for a, b, rows in groups if rows]))
    print(f"\nover three times their floor with an SNR below {FAINT_SNR:g}:\n")
    print(render_table(["", "SNR", "over floor", *columns], faint))


def _group(low, high):
    return f"over {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"


def _row(line, values):
    snr, error, slope, our_error, our_slope = zip(*values, strict=True)
    errors = [f"{math.exp(mean([math.log(max(e, 1e-4)) for e in es])):.3f}" for es in (error, our_error)]
    slopes = [f"{mean(s):.3f}" for s in (slope, our_slope)]
    typical = f"{math.exp(mean([math.log(s) for s in snr])):.0f}"
    return [line, str(len(values)), typical, errors[0], slopes[0], errors[1], slopes[1]]


if __name__ == "__main__":
    main()
