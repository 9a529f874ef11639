"""Seconds that lkmag takes per frame, with its networks and without. One processor thread.

Frames show noise of 0.01 and a motion of 0.1 px, so that the survey is asked everywhere.
Run: python benchmarks/lkmag.py [side in px, 256]
"""

import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

import conftest  # noqa: E402, F401 - loads the checkout as the package
import synth  # noqa: E402
from magplus.models.lkmag import arch  # noqa: E402
from magplus.models.lkmag.network import LKMag  # noqa: E402
from timing import compare, magnified, table  # noqa: E402

FRAMES, ALPHA, NOISE = 4, 8.0, 0.01


def pictures(side):
    """A reference and frames that show it moved."""
    texture, generator = synth.Texture(4), torch.Generator().manual_seed(0)
    steps = torch.linspace(0, 0.1, FRAMES + 1)
    clean = torch.stack([synth.render(texture, synth.shift(float(x), float(x) / 2), side, side) for x in steps])
    noisy = clean + NOISE * torch.randn(clean.shape, generator=generator)
    return noisy[0], noisy[1:]


@torch.no_grad()
def main():
    """Print the table."""
    torch.set_num_threads(1)
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    reference, frames = pictures(side)
    whole = arch.builtin()
    without = LKMag(weigher=whole.weigher, refiner=whole.refiner)
    seconds = compare(
        {
            "as it ships, frame by frame": magnified(whole, reference, frames, ALPHA, 1),
            f"as it ships, {FRAMES} frames at once": magnified(whole, reference, frames, ALPHA, FRAMES),
            "without survey": magnified(without, reference, frames, ALPHA, FRAMES),
            "without networks": magnified(LKMag(), reference, frames, ALPHA, FRAMES),
        }
    )
    print(f"lkmag, {side} x {side}, one thread, processor seconds")
    print(table(seconds, per=FRAMES))


if __name__ == "__main__":
    main()
