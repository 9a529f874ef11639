"""What each step of FOMM's animate loop gives, against the official code's work per frame. One processor thread.

The baseline is the plain network, which passes the same goldens (tests/models/test_fomm.py): for each frame the
detector, the portrait's features anew, dense motion, decoder. Weights are deterministic, the work does not depend on
them. Run: python benchmarks/fomm.py
"""

import copy
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

import conftest  # noqa: E402, F401 - loads the checkout as the package
import detfill  # noqa: E402
import fomm_files  # noqa: E402
from magplus.models.fold import channels_last  # noqa: E402
from magplus.models.fomm.arch import networks  # noqa: E402
from magplus.models.fomm.network import Fomm  # noqa: E402
from magplus.models.keypoints.fold import fold_doublings, fold_norms  # noqa: E402
from magplus.models.keypoints.motion import MotionOptions, transfer  # noqa: E402
from magplus.models.precision import has_bfloat16  # noqa: E402
from timing import compare, table  # noqa: E402

FRAMES = 4
OPTIONS = MotionOptions()


def official(detector, generator, source, frames):
    """The official loop over the frames, source and reference keypoints known."""
    own, reference = detector(source).keypoints, detector(frames[:1]).keypoints

    def run():
        for frame in frames:
            generator(source, own, transfer(own, reference, detector(frame[None]).keypoints, OPTIONS))

    return run


def ours(detector, generator, source, frames, batch):
    """Our loop with everything about the portrait done before."""
    backbone = Fomm(detector, generator, OPTIONS)
    state = backbone.set_reference(backbone.encode_source(source, {}), frames[0], {})
    return lambda: [backbone.drive(state, part, {}) for part in frames.split(batch)]


def folded(nets, dtype=None, *, doublings=True, layout=True):
    """Copies of detector and generator with some of the foldings."""
    detector, generator = copy.deepcopy(nets)
    if dtype is not None:
        return channels_last(fold_doublings(fold_norms(detector))), generator.fold(dtype)
    for network in (detector, generator):
        fold_norms(network)
        if doublings:
            fold_doublings(network)
        if layout:
            channels_last(network)
    if layout:
        generator.layout = torch.channels_last
    return detector, generator


@torch.no_grad()
def main():
    """Print the table."""
    torch.set_num_threads(1)
    nets = networks(fomm_files.flat())
    source, frames = detfill.probe(256, 1)[None], torch.cat([detfill.driving(256), detfill.probe(256, 5)[None]])
    ways = {
        "official work per frame": official(*nets, source, frames),
        "+ portrait encoded once": ours(*nets, source, frames, 1),
        "+ batch norms folded": ours(*folded(nets, doublings=False, layout=False), source, frames, 1),
        "+ x2 and 3x3 as one": ours(*folded(nets, layout=False), source, frames, 1),
        "+ channels last": ours(*folded(nets), source, frames, 1),
        "+ Winograd in the bottleneck": ours(*folded(nets, torch.float32), source, frames, 1),
        f"+ batches of {FRAMES} (shipped)": ours(*folded(nets, torch.float32), source, frames, FRAMES),
    }
    if has_bfloat16():
        ways["+ bfloat16"] = ours(*folded(nets, torch.bfloat16), source, frames, FRAMES)
    print("FOMM, 256 x 256, one thread, processor seconds")
    print(table(compare(ways), per=FRAMES))
    if not has_bfloat16():
        print("bfloat16: skipped, this processor has none")


if __name__ == "__main__":
    main()
