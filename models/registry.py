# SPDX-License-Identifier: Apache-2.0
"""From files of weights to models: recognising, joining, loading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from .catalog import ARCHITECTURES, BACKBONES, SUPER_RESOLUTION, Architecture, BackboneSpec
from .checkpoint import Checkpoint, read_checkpoint
from .contracts import AnimationBackbone, DisplacementMagnifier, FlowEstimator, Learner, Magnifier
from .errors import MagPlusError
from .flowmag import arch as flowmag
from .lkmag import arch as lkmag
from .look_alikes import look_alike
from .metaportrait.superres import SuperResolver
from .options import read_options

BUILTIN = "builtin"
"""Name that stands for the magnifier that comes with the pack."""


def identify(checkpoint: Checkpoint) -> Architecture:
    """The architecture of a file. Raises `MagPlusError` that says what the file comes closest to, and what it lacks."""
    for architecture in ARCHITECTURES:
        if not architecture.missing(checkpoint.tensors):
            return architecture
    known = ", ".join(a.name for a in ARCHITECTURES)
    other = look_alike(checkpoint.tensors)
    if other is not None:
        advice = other.advice or f"This pack does not have it. Give weights of: {known}."
        raise MagPlusError(f"{checkpoint.path} is {other.name}. {advice}")
    raise MagPlusError(f"{checkpoint.path} {_closest(checkpoint.tensors, known)}")


def _closest(tensors: Mapping[str, Tensor], known: str) -> str:
    """What a file of no known architecture may be, and what it lacks."""
    missing = {a.name: a.missing(tensors) for a in ARCHITECTURES}
    closest = min(ARCHITECTURES, key=lambda a: len(missing[a.name]) / len(a.required_keys))
    lacks, wanted = missing[closest.name], len(closest.required_keys)
    if len(lacks) == wanted:
        first = ", ".join(sorted(tensors)[:3])
        return f"holds weights of a network not known here (first keys: {first}). Known: {known}."
    return (
        f"looks like {closest.name}: it has {wanted - len(lacks)} of {wanted} keys, missing {', '.join(lacks[:3])}. "
        "The file is incomplete or of another version."
    )


def join(checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """One file of those that a model is published in, with what its networks need and nothing else.

    Raises `MagPlusError` where they are not of one model, or hold the same twice.
    """
    first = checkpoints[0]
    kinds = [identify(checkpoint) for checkpoint in checkpoints]
    models = [{spec.name for spec in BACKBONES.values() if kind.name in spec.architectures} for kind in kinds]
    tensors: dict[str, Tensor] = {}
    for checkpoint, kind, model in zip(checkpoints, kinds, models, strict=True):
        own = kind.tidy(checkpoint.tensors)
        if checkpoint is not first and not model & models[0]:
            raise MagPlusError(
                f"{checkpoint.path} is {kind.title}, {first.path} is {kinds[0].title}. Convert them one by one."
            )
        if own.keys() & tensors.keys():
            raise MagPlusError(f"{checkpoint.path} holds what {first.path} holds already. Give each part once.")
        tensors |= own
    metadata = {name: value for checkpoint in checkpoints for name, value in checkpoint.metadata.items()}
    sums = ",".join(checkpoint.sha256 for checkpoint in checkpoints)
    return Checkpoint(path=first.path, tensors=tensors, metadata=metadata, sha256=sums)


def load_magnifier(
    name: str | Path = BUILTIN, options: Mapping[str, Any] | None = None
) -> tuple[Magnifier, Checkpoint | None]:
    """The built-in magnifier, or the one in a file, and the file it came from. Options may be words or typed values."""
    if str(name) == BUILTIN:
        read_options((), options or {}, of="The built-in magnifier")
        return lkmag.builtin(), None
    if not Path(name).is_file():
        raise MagPlusError(f"There is no weights file {name}. {magnifier_files()}")
    checkpoint = read_checkpoint(name)
    architecture = identify(checkpoint)
    if architecture.kind != "magnifier":
        raise MagPlusError(
            f"{name} is {architecture.title}, not a magnifier. Give it where a {architecture.kind} goes."
        )
    chosen = read_options(architecture.options, options or {}, of=f"Magnifier '{architecture.name}'")
    return architecture.build(checkpoint.tensors, **chosen), checkpoint


def magnifier_files() -> str:
    """Which files of weights there are for magnifiers, and what works without any."""
    return f"Of the magnifiers, {_published('magnifier')}; '{BUILTIN}' needs no file."


def estimator_files() -> str:
    """Which files of weights there are for flow estimators."""
    return f"Of the flow estimators, {_published('flow estimator')}; a training checkpoint of FlowMag holds one, too."


def _published(kind: str) -> str:
    return "; ".join(f"{a.name} takes {a.published}" for a in ARCHITECTURES if a.kind == kind and a.published)


def load_superresolver(path: str | Path, options: Mapping[str, Any]) -> tuple[SuperResolver, Checkpoint]:
    """The super-resolution in a file, and that file. Options may be words or typed values."""
    chosen = read_options(SUPER_RESOLUTION.options, options, of="Super-resolution")
    checkpoint = read_checkpoint(path)
    found = identify(checkpoint)
    if found is not SUPER_RESOLUTION:
        raise MagPlusError(f"{path} is {found.title}, not a super-resolution. {superresolver_files()}")
    return SUPER_RESOLUTION.build(checkpoint.tensors, **chosen), checkpoint


def superresolver_files() -> str:
    """Which file super-resolution takes."""
    return f"Super-resolution takes {SUPER_RESOLUTION.published}."


def needs_displacement(magnifier: Magnifier, *, purpose: str) -> DisplacementMagnifier:
    """The magnifier, if it can tell a displacement; otherwise an error that says what to use instead."""
    if not hasattr(magnifier, "displacement"):
        raise MagPlusError(
            f"{purpose} needs a magnifier that measures displacement, and {magnifier.name} does not. Use '{BUILTIN}'."
        )
    return magnifier  # type: ignore[return-value]


def learner_of(magnifier: Magnifier) -> Learner:
    """A copy of a magnifier that can be trained."""
    learners = {a.name: a.learner for a in ARCHITECTURES if a.learner is not None}
    if magnifier.name not in learners:
        raise MagPlusError(f"{magnifier.name} cannot be adapted. Give one of: {', '.join(learners)}.")
    return learners[magnifier.name](magnifier)


def load_estimator(name: str | Path) -> tuple[FlowEstimator, Checkpoint]:
    """The flow estimator in a file, and the file. Of FlowMag's training checkpoints the flow network of the loss."""
    if not Path(name).is_file():
        raise MagPlusError(f"There is no weights file {name}. {estimator_files()}")
    checkpoint = read_checkpoint(name)
    inner = flowmag.flow_network(checkpoint.tensors)
    checkpoint = replace(checkpoint, tensors=inner) if inner else checkpoint
    architecture = identify(checkpoint)
    if architecture.kind != "flow estimator":
        raise MagPlusError(f"{name} is {architecture.title}, not a flow estimator. {estimator_files()}")
    return architecture.build(checkpoint.tensors), checkpoint


def load_backbone(
    name: str, files: list[Path | str], options: Mapping[str, Any]
) -> tuple[AnimationBackbone, list[Checkpoint]]:
    """A backbone by name, from its weight files in any order, and those files. Options may be words or typed values."""
    if name not in BACKBONES:
        raise MagPlusError(f"There is no backbone '{name}'. Known: {', '.join(BACKBONES)}.")
    spec = BACKBONES[name]
    chosen = read_options(spec.options, options, of=f"Backbone '{name}'")
    if spec.architectures:
        _check_files(files, spec)
    checkpoints = [read_checkpoint(file) for file in files]
    for checkpoint in checkpoints:
        _check_belongs(checkpoint, spec)
    return spec.build(checkpoints, chosen), checkpoints


def _check_files(files: list[Path | str], spec: BackboneSpec) -> None:
    """Missing weights are told with what they are and where they come from."""
    if not files:
        raise MagPlusError(f"No weights were given. {spec.needs} Name each file with --weights.")
    for file in files:
        if not Path(file).is_file():
            raise MagPlusError(f"There is no weights file {file}. {spec.needs} Check the path.")


def _check_belongs(checkpoint: Checkpoint, spec: BackboneSpec) -> None:
    """A file of another model is refused by its name, before a list of keys that do not fit."""
    if not spec.architectures:
        return
    found = identify(checkpoint)
    if found.name not in spec.architectures:
        raise MagPlusError(f"{checkpoint.path} is {found.title}; {spec.needs}")
