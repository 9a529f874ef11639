"""Comparing two ways of doing the same in one run: processor time, rounds taken in turns, the best of each."""

import time
from collections.abc import Callable, Mapping

ROUNDS = 5


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
