"""Deterministic weights and pictures from names and seeds alone: what the goldens were computed from.

Two implementations with the same state-dict keys get the same numbers, so parity needs no released weights.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

GOLDENS = Path(__file__).resolve().parent / "goldens"


def fill(state, keep=(), gain=1.6):
    """New state dict; each value is drawn from a generator seeded by the crc32 of its key.

    running_var 1 + 0.1 |N|, running_mean 0.05 N, 1-d weights 1 + 0.05 N, biases 0.02 N, others N sqrt(gain / fan_in).
    """
    return {key: value.clone() if key in keep else _drawn(key, value, gain) for key, value in state.items()}


def _drawn(key, value, gain):
    if key.endswith("num_batches_tracked"):
        return torch.ones_like(value)
    if not value.dtype.is_floating_point:
        return value.clone()
    noise = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()))).standard_normal(
        tuple(value.shape), dtype=np.float32
    )
    if key.endswith("running_var"):
        drawn = 1 + 0.1 * np.abs(noise)
    elif key.endswith("running_mean"):
        drawn = 0.05 * noise
    elif value.ndim <= 1:
        drawn = 1 + 0.05 * noise if key.endswith("weight") else 0.02 * noise
    else:
        drawn = noise * np.sqrt(gain / max(1, int(np.prod(value.shape[1:]))))
    return torch.from_numpy(np.ascontiguousarray(drawn.astype(np.float32))).reshape(value.shape)


def probe(size, seed):
    """Picture ``(3, size, size)`` in [0, 1]."""
    return probe_of((3, size, size), seed)


def probe_of(shape, seed, low=0.0, high=1.0):
    """Values of any shape ``(..., H, W)`` in [low, high]: six plane waves and noise per channel."""
    rng = np.random.Generator(np.random.PCG64(seed))
    *lead, height, width = shape
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    channels = []
    for _ in range(int(np.prod(lead))):
        channel = np.zeros((height, width))
        for _ in range(6):
            fx, fy, phase, size = rng.uniform(0.5, 6), rng.uniform(0.5, 6), rng.uniform(0, 6.28), rng.uniform(0.2, 1)
            channel += size * np.sin(2 * np.pi * (fx * x + fy * y) + phase)
        channel += 0.1 * rng.standard_normal((height, width))
        channels.append((channel - channel.min()) / (channel.max() - channel.min()))
    return torch.from_numpy((low + (high - low) * np.stack(channels)).astype(np.float32)).reshape(tuple(shape))


def driving(size):
    """The goldens' driving clip of three frames ``(3, 3, size, size)``."""
    base = probe(size, 20)
    return torch.stack([0.7 * base + 0.3 * probe(size, seed) for seed in (21, 22, 23)])


def golden(name):
    """Arrays and facts of one model's goldens."""
    folder = GOLDENS / name
    return np.load(folder / "golden.npz"), json.loads((folder / "golden.json").read_text())


def filled(name, part):
    """Deterministic weights of one part of a model, from its list of keys, with the goldens' adjustments.

    Buffers that hold constants (the anti-alias kernel) are left out: take those of the network.
    """
    keys = json.loads((GOLDENS / name / "manifest.json").read_text())[part]
    about = golden(name)[1]["fill"]
    kept = about["keep"].get(part, [])
    shapes = {k: torch.zeros(s, dtype=getattr(torch, kind)) for k, (s, kind) in keys.items() if k not in kept}
    state = fill(shapes, gain=about["gain"])
    adjust = about["adjust_after_fill"].get(part, [])
    for key, how, amount in adjust if isinstance(adjust, list) else [(k, *v) for k, v in adjust.items()]:
        state[key] = _adjusted(state[key], how, amount)
    return state


def _adjusted(value, how, amount):
    if how == "mul":
        return value * amount
    if how == "add":
        return value + torch.tensor(amount)
    if how == "add_tile":
        return value + torch.tensor(amount).repeat(len(value) // len(amount))
    assert how == "mul_slice_dim1", how
    value = value.clone()
    for start, stop, factor in amount:
        value[:, start:stop] *= factor
    return value
