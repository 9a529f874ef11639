"""FOMM's files under deterministic weights, as its authors save them."""

import functools
from pathlib import Path

import detfill
import torch
from magplus.models.checkpoint import Checkpoint
from magplus.models.fomm import arch
from magplus.models.fomm.generator import Generator
from magplus.models.keypoints.detector import KeypointDetector
from magplus.models.options import read_options

PARTS = {"generator": Generator, "kp_detector": lambda: KeypointDetector(jacobian=True)}


@functools.cache
def states():
    """State dict of each part."""
    return {name: {**make().state_dict(), **detfill.filled("fomm", name)} for name, make in PARTS.items()}


def flat():
    """One flat state dict, as our safetensors files hold it."""
    return {f"{part}.{key}": value for part, state in states().items() for key, value in state.items()}


def checkpoint(tensors=None):
    """The same as if it had been read."""
    return Checkpoint(path=Path("fomm.safetensors"), tensors=tensors or flat(), metadata={}, sha256="0")


def backbone(tensors=None, **options):
    """FOMM built from it."""
    return arch.build([checkpoint(tensors)], read_options(arch.OPTIONS, options, of="FOMM"))


def published(path):
    """A training state in a legacy (not zipped) torch file, as torch 1.0 wrote it."""
    content = {
        **states(),
        "discriminator": {"conv.weight": torch.zeros(2, 2)},
        "optimizer_generator": {"state": {0: {"step": 7, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1}]},
        "epoch": 99,
    }
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path
