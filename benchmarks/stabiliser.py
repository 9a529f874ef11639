"""How exactly Stabilise Head measures a head, against noise and blur. Run: python benchmarks/stabiliser.py

A texture is rendered under known shifts, rolls and sizes, brows and mouth pushed by up to 1 px besides; the face is
120 px wide.
The last column is the error over the least that any estimator must make on these pixels (Cramer and Rao's bound for a
shift along x in white noise, with the same weights).
"""

import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests")]

import conftest  # noqa: E402, F401 - loads the checkout as the package
import synth  # noqa: E402
from magplus.models.filters import gaussian_blur  # noqa: E402
from magplus.models.geometry import FaceBox, compose, inverse, similarity, similarity_scale  # noqa: E402
from magplus.models.sampling import spline_gradient  # noqa: E402
from magplus.pipeline.face.align import LUMA, HeadAligner  # noqa: E402
from magplus.pipeline.face.anatomy import FaceMap, rigid_mask  # noqa: E402

SIZE, BOX, CENTRE = (230, 210), FaceBox(cx=105, cy=115, width=120, height=156), (105.0, 115.0)
TEXTURE = synth.Texture(11)
FRAMES = 12


def truths():
    """Similarities of the size of a breathing, swaying head."""
    rng = np.random.default_rng(5)
    for _ in range(FRAMES):
        (dx, dy), angle, scale = rng.uniform(-2, 2, 2), rng.uniform(-1, 1), np.exp(rng.uniform(-0.01, 0.01))
        yield similarity(float(scale), float(angle), CENTRE, (CENTRE[0] + float(dx), CENTRE[1] + float(dy)))


def expression(strength):
    """Brows up, mouth to one side."""
    face = FaceMap.from_box(BOX)
    mouth = (face.points["left mouth corner"] + face.points["right mouth corner"]) / 2
    brows = [synth.bump(*face.points[f"{side} brow"], 9, 0.0, -strength) for side in ("left", "right")]
    return synth.total(*brows, synth.bump(*mouth, 13, strength, 0.5 * strength))


def rendered(transform, local):
    """The texture under an expression, then under a similarity."""
    x, y = synth.pixel_grid(*SIZE)
    back = inverse(transform)
    x, y = np.einsum("ij,jhw->ihw", back[:, :2], np.stack([x, y])) + back[:, 2].reshape(2, 1, 1)
    qx, qy = x.copy(), y.copy()
    for _ in range(30):
        dx, dy = local(qx, qy)
        qx, qy = x - dx, y - dy
    return torch.from_numpy(TEXTURE(qx, qy)).float()


def seen(picture, noise, blur, generator):
    """Through a lens and a sensor."""
    if blur:
        picture = gaussian_blur(picture[None], blur)[0]
    return picture + noise * torch.randn(picture.shape, generator=generator)


def bound(clean, noise):
    """Least standard deviation of a shift along x in px: noise in both pictures, rigid pixels of a clean one alone."""
    weights = rigid_mask(FaceMap.from_box(BOX), BOX, SIZE).double().numpy().ravel()
    luma = (clean * torch.tensor(LUMA).view(3, 1, 1)).sum(0)[None, None]
    gx, gy = (spline_gradient(luma, dim)[0, 0].double().numpy().ravel() for dim in (3, 2))
    x, y = (values.ravel() - c for values, c in zip(synth.pixel_grid(*SIZE), CENTRE, strict=True))
    answers = np.stack([gx * x + gy * y, gy * x - gx * y, gx, gy, luma.numpy().ravel(), np.ones_like(gx)], axis=1)
    answers *= np.sqrt(weights)[:, None]
    return noise * np.sqrt(2 * np.square(LUMA).sum() * np.linalg.inv(answers.T @ answers)[2, 2])


def measure(noise, blur, pictures):
    """Root mean square error in px, degrees, percent of size; the bound."""
    generator = torch.Generator().manual_seed(1)
    aligner = HeadAligner(seen(pictures[0], noise, blur, generator), BOX)
    centre, errors = np.array([*CENTRE, 1]), []
    for truth, picture in zip(truths(), pictures[1:], strict=True):
        found = aligner.pose(seen(picture, noise, blur, generator)).transform
        gap = compose(found, inverse(truth))
        shift = (found - truth) @ centre
        errors.append([*shift, np.degrees(np.arctan2(gap[1, 0], gap[0, 0])), 100 * (similarity_scale(gap) - 1)])
    x, y, degrees, percent = np.sqrt(np.square(errors).mean(0))
    return (
        np.hypot(x, y) / np.sqrt(2),
        degrees,
        percent,
        x / bound(seen(pictures[0], 0.0, blur, generator), noise) if noise else None,
    )


def main():
    """Print the table."""
    torch.set_num_threads(1)
    pictures = [rendered(similarity(1, 0, CENTRE, CENTRE), expression(0.0))]
    strengths = np.linspace(-1, 1, FRAMES)
    pictures += [rendered(t, expression(float(s))) for t, s in zip(truths(), strengths, strict=True)]
    print("Stabiliser, face of 120 px, error (root mean square over 12 frames) per axis")
    print("| noise (of 1) | blur, px | shift, px | roll, degrees | size, % | over the bound |")
    print("|---:|---:|---:|---:|---:|---:|")
    for noise in (0.0, 0.003, 0.01, 0.03):
        for blur in (0.0, 1.0, 2.0):
            px, degrees, percent, over = measure(noise, blur, pictures)
            told = "" if over is None else f"{over:.1f}"
            print(f"| {noise:g} | {blur:g} | {px:.4f} | {degrees:.4f} | {percent:.4f} | {told} |")


if __name__ == "__main__":
    main()
