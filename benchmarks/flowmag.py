"""What each step of FlowMag's loop gives, against the official code's work per frame. One processor thread.

The baseline is the plain network, which passes the same goldens (tests/models/test_flowmag.py): for each frame all 38
channels anew, norms, one frame at a time. (One copy of the official code, a padding by nothing, is in no row.) Weights
are deterministic, the work does not depend on them.
Run: python benchmarks/flowmag.py [side in px, 256]
"""

import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

import conftest  # noqa: E402, F401 - loads the checkout as the package
import flowmag_files  # noqa: E402
from magplus.models.flowmag import magnifier as fast  # noqa: E402
from magplus.models.flowmag.folded import fold_norms  # noqa: E402
from magplus.models.fold import channels_last  # noqa: E402
from magplus.models.precision import has_bfloat16  # noqa: E402
from timing import compare, magnified, table  # noqa: E402

FRAMES = 4
ALPHA = 8.0


def official(network, reference, frames, layout=torch.contiguous_format):
    """The official loop: reference, frame and code through the whole network, one frame at a time."""
    alpha = torch.tensor([ALPHA])
    reference = reference[None].contiguous(memory_format=layout)
    return lambda: torch.cat([network(reference, f.contiguous(memory_format=layout), alpha) for f in frames.split(1)])


@torch.no_grad()
def main():
    """Print the table."""
    torch.set_num_threads(1)
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    reference, frames = flowmag_files.random_pair(side, side, count=FRAMES)
    plain = flowmag_files.plain()
    folded = fold_norms(flowmag_files.plain())
    batch = min(FRAMES, max(1, fast.CACHED // side**2))
    ways = {
        "official work per frame": official(plain, reference, frames),
        "+ batch norms folded": official(folded, reference, frames),
        "+ channels last": official(
            channels_last(fold_norms(flowmag_files.plain())), reference, frames, torch.channels_last
        ),
        "+ reference and alpha once per clip": magnified(fast.FlowMag(plain), reference, frames, ALPHA, 1),
        f"+ batches of {batch} (shipped)": magnified(fast.FlowMag(plain), reference, frames, ALPHA, FRAMES),
    }
    if has_bfloat16():
        ways["+ bfloat16"] = magnified(fast.FlowMag(plain, torch.bfloat16), reference, frames, ALPHA, FRAMES)
    exact = ways["official work per frame"]()
    seconds = compare(ways)
    print(f"FlowMag, {side} x {side}, one thread, processor seconds")
    print(table(seconds, per=FRAMES))
    for name, run in ways.items():
        print(f"{name}: largest difference of a pixel {float((run() - exact).abs().max()):.1e}")
    if not has_bfloat16():
        print("bfloat16: skipped, this processor has none")


if __name__ == "__main__":
    main()
