"""Arguments that benchmarks for whoever changes lkmag have in common."""

import torch
from magnification import RELEASE_SEED
from magplus.models.lkmag import arch
from magplus.models.registry import load_magnifier


def arguments_of(parser, seeds):
    """``(arguments, network)``: development seeds, these if none are given, and weights, on one processor thread."""
    parser.add_argument("--seeds", type=int, nargs="+", default=seeds, help="development seeds of the scenes")
    parser.add_argument("--weights", default="builtin", help="a file, or prior: without networks")
    wanted = parser.parse_args()
    if RELEASE_SEED in wanted.seeds:
        parser.error(f"{RELEASE_SEED} is the release seed; it is looked at by benchmarks/magnification.py alone")
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    return wanted, arch.prior() if wanted.weights == "prior" else load_magnifier(wanted.weights)[0]
