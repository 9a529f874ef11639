"""EMOPortraits' files, poses and pictures under deterministic weights, as the goldens were made from them."""

import functools
import json
from pathlib import Path
from types import SimpleNamespace

import detfill
import numpy as np
import torch
from magplus.models.checkpoint import Checkpoint
from magplus.models.emoportraits import arch
from magplus.models.emoportraits.network import EmoOptions, EmoPortraits
from magplus.models.emoportraits.parts import MAKERS, Parts
from magplus.models.emoportraits.pose import pose_matrix
from magplus.models.options import read_options


@functools.cache
def _manifest():
    return json.loads((detfill.GOLDENS / "emoportraits" / "manifest.json").read_text())


def keys_of(name):
    """Shapes of one part by key."""
    return {key: shape for key, (shape, _) in _manifest()[name].items()}


@functools.cache
def part(name):
    """State dict of one part, full names, as it is published: without its constants."""
    about = detfill.golden("emoportraits")[1]["fill"]
    keys = {k: torch.zeros(s, dtype=getattr(torch, kind)) for k, (s, kind) in _manifest()[name].items()}
    # In a file the vectors of the spectral norms are there; their values come from power iteration below.
    vectors = {k for k in keys if k.endswith((".weight_u", ".weight_v"))}
    state = detfill.fill({k: v for k, v in keys.items() if k not in vectors and k not in about["kept_buffers"]})
    for key, factor in about["multiplied_after_fill"].items():
        if key in state:
            state[key] = state[key] * factor
    for layer in [k.removesuffix("_orig") for k in list(state) if k.endswith("weight_orig")]:
        state[f"{layer}_u"], state[f"{layer}_v"] = _settled(state[f"{layer}_orig"])
    return state


def _settled(weight):
    matrix = weight.flatten(1).double()
    u = torch.full((len(matrix),), len(matrix) ** -0.5, dtype=torch.float64)
    for _ in range(5):
        v = torch.nn.functional.normalize(matrix.T @ u, dim=0)
        u = torch.nn.functional.normalize(matrix @ v, dim=0)
    return u.float(), v.float()


@functools.cache
def head_pose():
    """The regressor's state dict as it is published."""
    (name,) = (key for key in _manifest() if key.startswith("head_pose"))
    keys = {k: torch.zeros(s, dtype=getattr(torch, kind)) for k, (s, kind) in _manifest()[name].items()}
    state = detfill.fill(keys)
    state["fc.weight"] = state["fc.weight"] * 0.05
    return state


def flat():
    """The main model's state dict."""
    return {key: value for name in MAKERS for key, value in part(name).items()}


def joined():
    """Both files as our one safetensors file holds them."""
    return {**arch.tidy(flat()), **arch.tidy(head_pose())}


@functools.cache
def network(name):
    """One network in its plain form, from a file that holds nothing else."""
    return arch.load_part(name, arch.tidy(head_pose() if name == arch.HEAD_POSE else part(name)))


def theta(which):
    """The goldens' head poses: ``src``, ``drv0``, ``drv1``."""
    return pose_matrix(*(torch.tensor(v, dtype=torch.float32) for v in _srt()[which]))


def _srt():
    return detfill.golden("emoportraits")[1]["srt"]


def picture(seed):
    """The goldens' 8-bit pictures ``(1, 3, 512, 512)``."""
    return (detfill.probe(512, seed)[None] * 255).round() / 255


def source_mask():
    """The goldens' mask ``(512, 512)``."""
    y, x = np.mgrid[:512, :512]
    return torch.from_numpy((((x - 256) / 180) ** 2 + ((y - 250) / 220) ** 2 <= 1).astype(np.float32))


def embedding(identity, expression):
    """`Parts.warp_embedding` without the other eight networks."""
    only = SimpleNamespace(**{n: network(n) for n in ("pose_unsqueeze_nw", "warp_embed_head_orig_nw")})
    return Parts.warp_embedding(only, identity, expression)


def checkpoint(tensors, name="328_model.pth"):
    """Tensors as if they had been read from a file."""
    return Checkpoint(path=Path(name), tensors=tensors, metadata={}, sha256="0")


def backbone(**options):
    """The whole backbone from both files."""
    return arch.build([checkpoint(head_pose()), checkpoint(flat())], read_options(arch.OPTIONS, options, of="EMO"))


def with_options(backbone, **options):
    """The same networks behind other options."""
    return EmoPortraits(backbone.parts, backbone.regressor, EmoOptions(**options))
