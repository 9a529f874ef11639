"""What each step of EMOPortraits' driven frames gives, against the official work per frame. One processor thread.

The baseline is the plain networks, which pass the same goldens (tests/models/test_emoportraits.py), with the portrait
encoded before: for each frame head pose, mixed pose, face crop, expression, warp, two samplings, decoder. It is a
little less than the official work: the norms of the weights, which the official code computes anew in every frame, are
folded. Weights are deterministic, and the work depends neither on them nor on the portrait's volume.
Run: python benchmarks/emoportraits.py
"""

import copy
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

import conftest  # noqa: E402, F401 - loads the checkout as the package
import detfill  # noqa: E402
import emoportraits_files as files  # noqa: E402
from magplus.models.emoportraits.arch import HEAD_POSE  # noqa: E402
from magplus.models.emoportraits.fold import fold, fold_blocks  # noqa: E402
from magplus.models.emoportraits.network import EmoOptions, EmoPortraits, EmoSource  # noqa: E402
from magplus.models.emoportraits.parts import MAKERS, Parts  # noqa: E402
from magplus.models.emoportraits.pose import sample_volume, turned_grid  # noqa: E402
from magplus.models.precision import has_bfloat16  # noqa: E402
from timing import compare  # noqa: E402

BARS = {"float32": 1.3, "bfloat16": 1.8}
UPSTREAM = {"head_pose": "driver", "face_crop": "follow", "expression": "absolute", "background": "green"}
PER_FRAME = ("expression_embedder_nw", "pose_unsqueeze_nw", "warp_embed_head_orig_nw", "uv_generator_nw", "decoder_nw")


def parts_with(change):
    """Parts whose networks for driven frames are changed copies; those for the portrait are not there."""
    found = {name: copy.deepcopy(files.network(name)) for name in PER_FRAME}
    return change(Parts({name: found.get(name, torch.nn.Identity()) for name in MAKERS}))


def driven(parts, **options):
    """One frame of a clip, everything before it done."""
    backbone = EmoPortraits(parts, files.network(HEAD_POSE), EmoOptions(**UPSTREAM | options))
    identity, expression = torch.randn(1, 512, 4, 4), torch.randn(1, 128)
    volume = detfill.probe_of((1, 96, 16, 64, 64), 41, -2, 2)
    source = EmoSource(theta=files.theta("src"), identity=identity, expression=expression, volume=volume)
    frame = files.picture(62)
    state = backbone.set_reference(source, frame[0], {})
    return lambda: backbone.drive(state, frame, {})


def shares(parts):
    """What a frame consists of."""
    frame, theta, volume = files.picture(62), files.theta("drv0"), detfill.probe_of((1, 96, 16, 64, 64), 41, -2, 2)
    embedding = torch.randn(1, 512, 4, 4)
    grid = turned_grid(theta)
    return {
        "head pose": lambda: files.network(HEAD_POSE)(frame),
        "face crop, expression": lambda: parts.expression_embedder_nw(frame, theta),
        "warp": lambda: parts.uv_generator_nw(embedding),
        "two samplings": lambda: sample_volume(sample_volume(volume, grid), grid),
        "decoder": lambda: parts.decoder_nw(volume.to(parts.precision)),
    }


@torch.no_grad()
def main():
    """Print the tables, and whether the bars are reached."""
    torch.set_num_threads(1)
    plain, shipped = parts_with(lambda parts: parts), parts_with(fold)
    ways = {
        "official work per frame": driven(plain),
        "+ x2 and 3x3 as one, exact norms, sums in place": driven(parts_with(fold_blocks)),
        "+ channels last (shipped)": driven(shipped),
        "  the same, head pose and crop held (default)": driven(shipped, head_pose="source", face_crop="fixed"),
    }
    if has_bfloat16():
        ways["+ bfloat16"] = driven(parts_with(lambda parts: fold(parts, torch.bfloat16)))
    seconds = compare(ways, rounds=3)
    base, width = next(iter(seconds.values())), max(map(len, seconds))
    print("EMOPortraits, 512 x 512, one thread, processor seconds per driven frame")
    for name, value in seconds.items():
        print(f"{name:{width}}  {value:6.2f}  {base / value:5.2f}x")
    before, after = compare(shares(plain), rounds=1), compare(shares(shipped), rounds=1)
    for name, value in before.items():
        print(f"  of it {name:22}  official {value:6.3f}  shipped {after[name]:6.3f}")
    check("float32", base / seconds["+ channels last (shipped)"])
    if has_bfloat16():
        check("bfloat16", base / seconds["+ bfloat16"])
    else:
        print("bfloat16: skipped, this processor has none")


def check(precision, found):
    """Say whether a bar is reached."""
    print(f"bar {precision} {BARS[precision]}x: {'reached' if found >= BARS[precision] else 'MISSED'}")


if __name__ == "__main__":
    main()
