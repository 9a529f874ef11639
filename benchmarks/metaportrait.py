"""What each step of MetaPortrait's animate loop gives, against the official code's work per frame. One thread.

The baseline is the plain network with torch's own instance norm, which passes the same goldens
(tests/models/test_metaportrait.py). For each frame it warps, encodes the portrait anew, refines; what the official
inference computes beside that and throws away (a VGG loss) is left out. Weights are deterministic, the work does not
depend on them. Super-resolution is not part of it. Run: python benchmarks/metaportrait.py
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

import conftest  # noqa: E402, F401 - loads the checkout as the package
import metaportrait_files as files  # noqa: E402
from magplus.models.geometry import FaceBox  # noqa: E402
from magplus.models.keypoints.motion import MotionOptions  # noqa: E402
from magplus.models.metaportrait import spade, warp  # noqa: E402
from magplus.models.metaportrait.arch import base_model  # noqa: E402
from magplus.models.metaportrait.drawing import draw  # noqa: E402
from magplus.models.metaportrait.network import MetaPortrait  # noqa: E402
from magplus.models.metaportrait.norm import instance_norm  # noqa: E402
from magplus.models.precision import has_bfloat16  # noqa: E402
from timing import compare, table  # noqa: E402

BOX = FaceBox(cx=127.5, cy=150.0, width=140.0, height=180.0)
GUIDES = {"source_box": BOX, "driving_box": BOX, "source_identity": "zeros"}


def with_norm(norm, run):
    """The same with another instance norm."""

    def patched():
        spade.instance_norm = warp.instance_norm = norm
        try:
            run()
        finally:
            spade.instance_norm = warp.instance_norm = instance_norm

    return patched


def official(network, points):
    """The official work for one frame: both drawings' lines are made once there too."""
    source, identity = files.drawing("src"), files.identity()

    def run():
        driving = draw(points, subpixel=False)
        network(files.source(), source, driving, identity)

    return with_norm(F.instance_norm, run)


def ours(network, frames):
    """Our loop with everything about the portrait done before: motion measured, landmarks drawn, warped, refined."""
    backbone = MetaPortrait(network, MotionOptions(), subpixel_lines=True, identity_steps=1)
    state = backbone.set_reference(backbone.encode_source(files.source(), GUIDES), frames[0], GUIDES)
    return lambda: backbone.drive(state, frames[1:], GUIDES)


@torch.no_grad()
def main():
    """Print the table."""
    torch.set_num_threads(1)
    frames = torch.cat([files.source(), 0.99 * files.source()])
    points = torch.from_numpy(files.points("drv0"))[None]
    plain, fast = base_model(files.flat()), base_model(files.flat()).fold()
    ways = {
        "official work per frame": official(plain, points),
        "+ portrait encoded once": with_norm(F.instance_norm, ours(plain, frames)),
        "+ instance norm as group norm": ours(plain, frames),
        "+ x2 and 3x3 as one, channels last": ours(fast, frames),
    }
    if has_bfloat16():
        ways["+ bfloat16 in refining"] = ours(base_model(files.flat()).fold(torch.bfloat16), frames)
    print("MetaPortrait, 256 x 256, one thread, processor seconds; ours include measuring the motion and drawing")
    print(table(compare(ways)))
    if not has_bfloat16():
        print("bfloat16: skipped, this processor has none")


if __name__ == "__main__":
    main()
