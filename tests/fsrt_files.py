"""FSRT's files under deterministic weights, as its authors save them."""

import functools
from pathlib import Path

import detfill
import torch
from magplus.models.checkpoint import Checkpoint
from magplus.models.fsrt import arch
from magplus.models.keypoints.blocks import AntiAliasDown
from magplus.models.options import read_options

MAIN = ("encoder", "decoder", "expression_encoder")


@functools.cache
def states():
    """State dict of each part."""
    found = {part: detfill.filled("fsrt", part) for part in arch.PARTS}
    found["kp_detector"] |= {f"down.{name}": value for name, value in AntiAliasDown().state_dict().items()}
    return found


def flat(*parts):
    """One flat state dict of some parts (all by default), as our safetensors files hold it."""
    return {f"{part}.{key}": value for part in parts or states() for key, value in states()[part].items()}


def checkpoint(tensors, name="fsrt.safetensors"):
    """The same as if it had been read."""
    return Checkpoint(path=Path(name), tensors=tensors, metadata={}, sha256="0")


def backbone(**options):
    """FSRT built from it."""
    return arch.build([checkpoint(flat())], read_options(arch.OPTIONS, options, of="FSRT"))


def published(folder):
    """Both files as the authors publish them: the detector bare, the rest nested."""
    files = folder / "kp_detector.pt", folder / "vox256.pt"
    torch.save(states()["kp_detector"], files[0])
    torch.save({part: states()[part] for part in MAIN}, files[1])
    return files
