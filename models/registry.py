"""Which networks the pack knows, how a file of weights is recognised, and how each is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from .checkpoint import Checkpoint, read_checkpoint
from .contracts import AnimationBackbone, DisplacementMagnifier, Framing, Magnifier
from .errors import MagPlusError
from .flow_transfer import arch as flow_transfer
from .fomm import arch as fomm
from .guides import Guide
from .lkmag import arch as lkmag
from .look_alikes import look_alike
from .metaportrait import arch as metaportrait
from .metaportrait import superres_arch as superres
from .metaportrait.superres import SuperResolver
from .options import Option, read_options

BUILTIN = "builtin"
"""Name that stands for the magnifier that comes with the pack."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network that is recognised by its keys. ``required_keys`` are enough to tell it from every other one."""

    name: str
    kind: str
    title: str
    required_keys: frozenset[str]
    build: Callable[[Mapping[str, Tensor]], Any]
    tidy: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict
    """Leaves what the network needs, under the names that our safetensors files have."""


@dataclass(frozen=True, kw_only=True)
class FileSpec:
    """What a model takes from its user."""

    name: str
    files: tuple[str, ...]
    origin: str = ""
    """Where its authors publish them."""
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BackboneSpec(FileSpec):
    """A frozen generator as `backbones` lists it and `animate` builds it."""

    title: str
    architectures: frozenset[str] = frozenset()
    """Names of the `Architecture`s that its files may have; none where it takes no file."""
    guides: tuple[Guide, ...] = ()
    """What users can give beside the pictures."""
    framing: Framing
    target_pct_face: float
    """Peak motion the backbone is assumed to answer to, in percent of the face width. A guess until it is measured."""
    build: Callable[[list[Checkpoint], Mapping[str, Any]], AnimationBackbone]
    """From the files in any order, and every option with its value."""


ARCHITECTURES = (
    Architecture(
        name="lkmag",
        kind="magnifier",
        title="lkmag, the magnifier of this pack",
        required_keys=lkmag.REQUIRED_KEYS,
        build=lkmag.build,
    ),
    Architecture(
        name="fomm",
        kind="backbone",
        title="First Order Motion Model, face weights (vox or vox-adv)",
        required_keys=fomm.REQUIRED_KEYS,
        build=fomm.networks,
    ),
    Architecture(
        name="metaportrait",
        kind="backbone",
        title="MetaPortrait, base model at 256 px",
        required_keys=metaportrait.REQUIRED_KEYS,
        build=metaportrait.base_model,
        tidy=metaportrait.tidy,
    ),
    Architecture(
        name="metaportrait_sr",
        kind="super-resolution",
        title="MetaPortrait's temporal super-resolution (temporal_gfpgan)",
        required_keys=superres.REQUIRED_KEYS,
        build=superres.superresolver,
    ),
)

BACKBONES = {
    "flow": BackboneSpec(
        name="flow",
        title="Flow Transfer: dense motion of the driver, carried onto the portrait (no weights)",
        files=(),
        framing=flow_transfer.FRAMING,
        target_pct_face=3.0,
        build=flow_transfer.build,
    ),
    "fomm": BackboneSpec(
        name="fomm",
        title="First Order Motion Model: ten keypoints with local affine maps",
        architectures=frozenset({"fomm"}),
        files=("vox-adv-cpk.pth.tar (228 MiB) or vox-cpk.pth.tar (695 MiB)",),
        origin="https://github.com/AliaksandrSiarohin/first-order-model",
        options=fomm.OPTIONS,
        framing=fomm.FRAMING,
        target_pct_face=3.0,
        build=fomm.build,
    ),
    "metaportrait": BackboneSpec(
        name="metaportrait",
        title="MetaPortrait: 669 landmarks, warp and refine",
        architectures=frozenset({"metaportrait"}),
        files=("ckpt_base.pth.tar (from 500 MiB)",),
        origin="https://github.com/Meta-Portrait/MetaPortrait",
        options=metaportrait.OPTIONS,
        guides=metaportrait.GUIDES,
        framing=metaportrait.FRAMING,
        target_pct_face=3.0,
        build=metaportrait.build,
    ),
}


SUPER_RESOLUTION = FileSpec(
    name="super-resolution",
    files=("temporal_gfpgan.pth (from 600 MiB)",),
    origin="https://github.com/Meta-Portrait/MetaPortrait/releases/tag/v0.0.1",
    options=superres.OPTIONS,
)
"""What Super-resolve loads."""


def identify(checkpoint: Checkpoint) -> Architecture:
    """The architecture of a file. Raises `MagPlusError` that says what the file comes closest to, and what it lacks."""
    keys = set(checkpoint.tensors)
    for architecture in ARCHITECTURES:
        if architecture.required_keys <= set(architecture.tidy(checkpoint.tensors)):
            return architecture
    other = look_alike(keys)
    if other is not None:
        raise MagPlusError(
            f"{checkpoint.path} is {other.name}, which this pack does not have. Give weights of: "
            f"{', '.join(a.name for a in ARCHITECTURES)}."
        )
    closest = max(ARCHITECTURES, key=lambda a: len(a.required_keys & keys) / len(a.required_keys))
    present = len(closest.required_keys & keys)
    known = ", ".join(a.name for a in ARCHITECTURES)
    if present == 0:
        first = ", ".join(sorted(keys)[:3])
        raise MagPlusError(
            f"{checkpoint.path} holds weights of a network not known here (first keys: {first}). Known: {known}."
        )
    missing = sorted(closest.required_keys - keys)
    raise MagPlusError(
        f"{checkpoint.path} looks like {closest.name}: it has {present} of {len(closest.required_keys)} keys, "
        f"missing {', '.join(missing[:3])}. The file is incomplete or of another version."
    )


def load_magnifier(name: str | Path = BUILTIN) -> tuple[Magnifier, Checkpoint | None]:
    """The built-in magnifier, or the one in a file, and the file it came from."""
    if str(name) == BUILTIN:
        return lkmag.builtin(), None
    checkpoint = read_checkpoint(name)
    architecture = identify(checkpoint)
    if architecture.kind != "magnifier":
        raise MagPlusError(
            f"{name} is {architecture.title}, not a magnifier. Give it where a {architecture.kind} goes."
        )
    return architecture.build(checkpoint.tensors), checkpoint


def load_superresolver(path: str | Path, options: Mapping[str, Any]) -> tuple[SuperResolver, Checkpoint]:
    """The super-resolution in a file, and that file."""
    chosen = read_options(SUPER_RESOLUTION.options, options, of="Super-resolution")
    checkpoint = read_checkpoint(path)
    architecture = identify(checkpoint)
    if architecture.kind != "super-resolution":
        raise MagPlusError(
            f"{path} is {architecture.title}, not a super-resolution. Give temporal_gfpgan.pth from "
            f"{SUPER_RESOLUTION.origin}."
        )
    return superres.build(checkpoint.tensors, chosen), checkpoint


def needs_displacement(magnifier: Magnifier, *, purpose: str) -> DisplacementMagnifier:
    """The magnifier, if it can tell a displacement; otherwise an error that says what to use instead."""
    if not hasattr(magnifier, "displacement"):
        raise MagPlusError(
            f"{purpose} needs a magnifier that measures displacement, and {magnifier.name} does not. Use '{BUILTIN}'."
        )
    return magnifier  # type: ignore[return-value]


def load_backbone(
    name: str, files: list[Path | str], options: Mapping[str, Any]
) -> tuple[AnimationBackbone, list[Checkpoint]]:
    """A backbone by name, from its weight files in any order, and those files. Options may be words or typed values."""
    if name not in BACKBONES:
        raise MagPlusError(f"There is no backbone '{name}'. Known: {', '.join(BACKBONES)}.")
    spec = BACKBONES[name]
    chosen = read_options(spec.options, options, of=f"Backbone '{name}'")
    checkpoints = [read_checkpoint(file) for file in files]
    for checkpoint in checkpoints:
        _check_belongs(checkpoint, spec)
    return spec.build(checkpoints, chosen), checkpoints


def _check_belongs(checkpoint: Checkpoint, spec: BackboneSpec) -> None:
    """A file of another model is refused by its name, before a list of keys that do not fit."""
    if not spec.architectures:
        return
    found = identify(checkpoint)
    if found.name not in spec.architectures:
        raise MagPlusError(
            f"{checkpoint.path} is {found.title}; {spec.name} needs {' and '.join(spec.files)} from {spec.origin}."
        )
