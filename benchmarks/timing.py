"""Comparing two ways of doing the same in one run: processor time, rounds taken in turns, the best of each."""

import time
from collections.abc import Callable, Mapping

import torch

ROUNDS = 5


def magnified(magnifier, reference, frames, alpha: float, batch: int) -> Callable[[], torch.Tensor]:
    """What a magnifier does to every frame of a clip, so many at once; the reference's own part is done before."""
    state = magnifier.prepare(reference, alpha)
    return lambda: torch.cat([magnifier.run(state, part) for part in frames.split(batch)])


def compare(ways: Mapping[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Processor seconds of each way. Turns keep a busy machine from favouring one of them."""
    best = dict.fromkeys(ways, float("inf"))
    for run in ways.values():
        run()
    for _ in range(rounds):
        for name, run in ways.items():
            start = time.process_time()
            run()
            best[name] = min(best[name], time.process_time() - start)
    return best


def table(seconds: Mapping[str, float], *, per: int = 1, unit: str = "frame") -> str:
    """Lines with seconds and the ratio to the first."""
    base = next(iter(seconds.values()))
    width = max(map(len, seconds))
    lines = [f"{'':{width}}  s/{unit}   faster"]
    lines += [f"{name:{width}}  {value / per:7.3f}  {base / value:6.2f}x" for name, value in seconds.items()]
    return "\n".join(lines)
