"""MetaPortrait's files and inputs under deterministic weights, as the goldens were made from them."""

import functools
import json
import math
from pathlib import Path

import detfill
import numpy as np
import torch
from magplus.models.checkpoint import Checkpoint
from magplus.models.metaportrait import arch
from magplus.models.metaportrait.base import Drawing
from magplus.models.options import read_options


@functools.cache
def keys(part):
    """Shapes by name of one network."""
    shapes = json.loads((detfill.GOLDENS / "metaportrait" / "manifest.json").read_text())[part]
    return {name: torch.zeros(shape, dtype=getattr(torch, kind)) for name, (shape, kind) in shapes.items()}


@functools.cache
def base():
    """State dict of the base model: filled, identity layers raw normal, spectral norms settled by power iteration."""
    state = detfill.fill(keys("base_generator"))
    for name, value in state.items():
        if name.endswith("adain.style.linear.weight_orig"):
            state[name] = value * np.float32(math.sqrt(256 / 1.6))
        if name.endswith("adain.style.linear.bias"):
            value[: len(value) // 2] += 1
    for layer in [name.removesuffix(".weight_u") for name in state if name.endswith(".weight_u")]:
        _settle(state, layer)
    return state


def _settle(state, layer):
    weight = state[f"{layer}.weight_orig"].double()
    matrix = (weight.transpose(0, 1) if layer == "SPDAE_G.conv1" else weight).flatten(1).numpy()
    u = state[f"{layer}.weight_u"].double().numpy()
    u = u / np.linalg.norm(u)
    for _ in range(20):
        v = matrix.T @ u
        v /= np.linalg.norm(v)
        u = matrix @ v
        u /= np.linalg.norm(u)
    state[f"{layer}.weight_u"], state[f"{layer}.weight_v"] = (torch.from_numpy(x.astype(np.float32)) for x in (u, v))


def flat():
    """As our safetensors files hold it."""
    return {f"generator.{name}": value for name, value in base().items()}


def backbone(**options):
    """The backbone built from it."""
    file = Checkpoint(path=Path("metaportrait.safetensors"), tensors=flat(), metadata={}, sha256="0")
    return arch.build([file], read_options(arch.OPTIONS, options, of="MetaPortrait"))


def source():
    """The goldens' portrait."""
    return detfill.probe(256, 7)[None]


def identity():
    """The goldens' identity vector ``(1, 256)``."""
    return torch.from_numpy((0.5 * np.random.Generator(np.random.PCG64(55)).standard_normal(256)).astype(np.float32))[
        None
    ]


def points(which):
    """The goldens' landmarks ``(669, 2)`` as fractions of the crop: ``src``, ``drv0`` or ``drv1``."""
    i = np.arange(669)
    radius, angle = 0.54 * np.sqrt((i + 0.5) / 669), 2.399963229728653 * i
    found = np.stack([0.5 + radius * np.cos(angle), 0.5 + radius * np.sin(angle)], axis=1)
    if which == "src":
        return found.astype(np.float32)
    rng = np.random.Generator(np.random.PCG64({"drv0": 101, "drv1": 102}[which]))
    turn, scale = rng.uniform(-0.15, 0.15), rng.uniform(0.92, 1.05)
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    found = (found - 0.5) @ rotation.T + 0.5 + rng.uniform(-0.03, 0.03, (1, 2))
    return (found + 0.01 * rng.standard_normal((669, 2))).astype(np.float32)


def drawing(which):
    """Lines and gaze as the goldens hold them, with the goldens' fixed mouth box."""
    arrays = detfill.golden("metaportrait")[0]
    mouth = torch.zeros(1, 1, 256, 256)
    mouth[..., 150:210, 90:170] = 1
    return Drawing(
        lines=torch.from_numpy(arrays[f"line_{which}"]).permute(2, 0, 1)[None].float() / 255,
        gaze=torch.from_numpy(arrays[f"ldmk58_{which}"][29:37])[None],
        mouth=mouth,
    )


@functools.cache
def superres(part="sr_out_size_128_test_only"):
    """State dict of a super-resolution network: the reduced one, or ``sr``."""
    state = detfill.fill(keys(part), gain=0.85)
    for name in state:
        if name.endswith("modulation.bias") or (name.startswith("condition_scale.") and name.endswith(".2.bias")):
            state[name] += 1
        if name.startswith(("condition_scale.", "condition_shift.")) and name.endswith(".2.weight"):
            state[name] *= np.float32(0.3)
        if name.endswith("modulated_conv.weight") and "to_rgb" in name:
            state[name] *= np.float32(0.4)
    return state


def clip_of(count, size, seed):
    """The goldens' frames ``(count, 3, size, size)``: one probe's channels after the other."""
    return detfill.probe_of((count, 3, size, size), seed)
