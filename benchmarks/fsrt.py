"""What each step of FSRT's animate loop gives, against the official code's work per frame. One processor thread.

The baseline is the plain decoder (tests/fsrt_plain.py), which passes the same goldens (tests/models/test_fsrt.py): for
each frame the detector and the expression encoder, then for every chunk of pixels whole queries, the scene's keys and
values anew, and attention with its scores written out. Its chunk is the quickest for it of those tried (512 to 8192).
A whole picture of 256 x 256 px takes half a minute, so an eighth of it is decoded and the seconds are told for all of
it; detector and expressions are counted once. Weights are deterministic, the work does not depend on them.
Run: python benchmarks/fsrt.py, or with --whole for one round with whole pictures.
"""

import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

import conftest  # noqa: E402, F401 - loads the checkout as the package
import detfill  # noqa: E402
import fsrt_files  # noqa: E402
import fsrt_plain  # noqa: E402
from magplus.models.fsrt.attention import attend  # noqa: E402
from magplus.models.precision import has_bfloat16  # noqa: E402
from timing import compare  # noqa: E402

SIZE, CHUNK, PART = 256, 4096, 8
BARS = {"float32": 1.4, "bfloat16": 2.0}


class Ways:
    """The decoder's work for ``pixels`` of one frame, done in different ways, and the rest of the frame's work."""

    def __init__(self, pixels):
        self.pixels = pixels
        self.nets = fsrt_files.backbone()
        source, frames = detfill.probe(SIZE, 1)[None], detfill.driving(SIZE)
        found = self.nets.detector(source)
        self.scene = self.nets.encoder(source, found.keypoints.value, self.nets.expressions(found))
        self.frame = frames[1:2]
        self.state = self.nets.set_reference(self.nets.encode_source(source, {}), frames[0], {})
        goal, self.expression = self.nets.goal(self.state, self.frame)
        self.keypoints = goal.value

    def face(self):
        """Detector and expression."""
        return self.nets.goal(self.state, self.frame)

    def official(self):
        """As the official code does it."""
        return self._plain(fsrt_plain.explicit, None)

    def fused(self):
        """The same with fused attention."""
        return self._plain(attend, None)

    def remembered(self):
        """And keys and values of the scene from before."""
        return self._plain(attend, self.state.source.memory)

    def _plain(self, attention, memory):
        return fsrt_plain.colours(
            self.nets.decoder, self.scene, self.keypoints, self.expression, SIZE, chunk=CHUNK, pixels=self.pixels,
            attention=attention, memory=memory,
        )  # fmt: skip

    def shipped(self, backbone=None, source=None):
        """And positions from tables, in smaller chunks."""
        source = source or self.state.source
        decoder = (backbone or self.nets).decoder
        return decoder(source.memory, source.places, self.keypoints, self.expression, pixels=self.pixels)

    def rough(self):
        """The shipped way in bfloat16, ready to run."""
        backbone = fsrt_files.backbone(precision="bfloat16")
        source = backbone.encode_source(detfill.probe(SIZE, 1)[None], {})
        return lambda: self.shipped(backbone, source)


@torch.no_grad()
def main(whole=False):
    """Print the table."""
    torch.set_num_threads(1)
    count = SIZE * SIZE // (1 if whole else PART)
    ways = Ways(torch.arange(count))
    steps = {
        "official work per frame": ways.official,
        "+ fused attention": ways.fused,
        "+ keys and values once": ways.remembered,
        "+ positions from tables, chunks of 2048 (shipped)": ways.shipped,
    }
    if has_bfloat16():
        steps["+ bfloat16"] = ways.rough()
    seconds = compare(steps | {"face": ways.face}, rounds=1 if whole else 3)
    face = seconds.pop("face")
    frame = {name: face + value * (1 if whole else PART) for name, value in seconds.items()}
    told = "one whole picture" if whole else f"from 1/{PART} of the pixels"
    print(f"FSRT, {SIZE} x {SIZE}, one source, one thread, processor seconds per frame ({told})")
    show(frame, face)
    check(frame, "+ bfloat16" in frame)


def show(frame, face):
    """A line for each step, with the seconds it took away and what share of the baseline they are."""
    base = before = next(iter(frame.values()))
    width = max(map(len, frame))
    print(f"{'':{width}}  s/frame   faster  share of the official time that the step saves")
    for name, value in frame.items():
        print(f"{name:{width}}  {value:7.2f}  {base / value:6.2f}x  {(before - value) / base:6.1%}")
        before = value
    print(f"of it detector and expression: {face:.3f} s in each")


def check(frame, rough):
    """Say whether the bars are reached."""
    times = list(frame.values())
    shipped = times[3]
    print(f"bar float32 {BARS['float32']}x: {'reached' if times[0] / shipped >= BARS['float32'] else 'MISSED'}")
    if rough:
        print(f"bar bfloat16 {BARS['bfloat16']}x: {'reached' if times[0] / times[4] >= BARS['bfloat16'] else 'MISSED'}")
    else:
        print("bfloat16: skipped, this processor has none")


if __name__ == "__main__":
    main(whole="--whole" in sys.argv[1:])
