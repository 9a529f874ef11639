"""Which networks the pack knows, how a file of weights is recognised, and how each is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from .arflow import arch as arflow
from .checkpoint import Checkpoint, read_checkpoint
from .contracts import AnimationBackbone, DisplacementMagnifier, FlowEstimator, Framing, Learner, Magnifier
from .errors import MagPlusError
from .flow_transfer import arch as flow_transfer
from .flowmag import arch as flowmag
from .flowmag.learner import FlowMagLearner
from .fomm import arch as fomm
from .fsrt import arch as fsrt
from .guides import Guide
from .lkmag import arch as lkmag
from .lkmag.learner import LKMagLearner
from .look_alikes import look_alike
from .metaportrait import arch as metaportrait
from .metaportrait import superres_arch as superres
from .metaportrait.superres import SuperResolver
from .options import Option, read_options
from .raft import arch as raft

BUILTIN = "builtin"
"""Name that stands for the magnifier that comes with the pack."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network that is recognised by its keys, those that remain after ``tidy``.

    ``required_keys`` are enough to tell it from every other one, but for those that have ``forbidden_keys`` too.
    """

    name: str
    kind: str
    title: str
    required_keys: frozenset[str]
    build: Callable[..., Any]
    """From its tensors, and its options by name."""
    tidy: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict
    """Leaves what the network needs, under the names that our safetensors files have."""
    forbidden_keys: frozenset[str] = frozenset()
    learner: Callable[[Any], Learner] | None = None
    """How one that was built can be trained on."""
    options: tuple[Option, ...] = ()
    files: tuple[str, ...] = ()
    """What its authors call the files they publish."""
    origin: str = ""
    """Where they publish them."""

    def missing(self, tensors: Mapping[str, Tensor]) -> list[str]:
        """Which of ``required_keys`` are not there; all of them where a forbidden one is."""
        keys = set(self.tidy(tensors))
        return sorted(self.required_keys if self.forbidden_keys & keys else self.required_keys - keys)


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """A frozen generator as `backbones` lists it and `animate` builds it."""

    name: str
    title: str
    files: tuple[str, ...]
    architectures: frozenset[str] = frozenset()
    """Names of the `Architecture`s that its files may have; none where it takes no file."""
    origin: str = ""
    """Where its authors publish them."""
    options: tuple[Option, ...] = ()
    guides: tuple[Guide, ...] = ()
    """What users can give beside the pictures."""
    framing: Framing
    target_pct_face: float
    """Peak motion the backbone is assumed to answer to, in percent of the face width. A guess until it is measured."""
    build: Callable[[list[Checkpoint], Mapping[str, Any]], AnimationBackbone]
    """From the files in any order, and every option with its value."""

    @property
    def needs(self) -> str:
        """Which files it needs and where they are found, in a sentence."""
        return f"{self.name} needs {' and '.join(self.files)}, from {self.origin}."


SUPER_RESOLUTION = Architecture(
    name="metaportrait_sr",
    kind="super-resolution",
    title="MetaPortrait's temporal super-resolution (temporal_gfpgan)",
    required_keys=superres.REQUIRED_KEYS,
    build=superres.build,
    options=superres.OPTIONS,
    files=("temporal_gfpgan.pth (from 600 MiB)",),
    origin="https://github.com/Meta-Portrait/MetaPortrait/releases/tag/v0.0.1",
)

ARCHITECTURES = (
    Architecture(
        name="lkmag",
        kind="magnifier",
        title="lkmag, the magnifier of this pack",
        required_keys=lkmag.REQUIRED_KEYS,
        build=lkmag.build,
        learner=LKMagLearner,
    ),
    Architecture(
        name="flowmag",
        kind="magnifier",
        title="FlowMag, a magnification network for alpha 1 to 16 (to 256 in two passes)",
        required_keys=flowmag.REQUIRED_KEYS,
        build=flowmag.build,
        tidy=flowmag.tidy,
        learner=FlowMagLearner,
        options=flowmag.OPTIONS,
        files=("raft_chkpt_00140.pth", "arflow_chkpt_00140.pth"),
        origin="https://github.com/dangeng/flowmag (links in its README)",
    ),
    Architecture(
        name="fomm",
        kind="backbone",
        title="First Order Motion Model, face weights (vox or vox-adv)",
        required_keys=fomm.REQUIRED_KEYS,
        build=fomm.networks,
        tidy=fomm.tidy,
    ),
    Architecture(
        name="fsrt",
        kind="backbone",
        title="FSRT (vox256 or vox256_2Source)",
        required_keys=fsrt.REQUIRED_KEYS,
        build=fsrt.networks,
        tidy=fsrt.tidy,
    ),
    Architecture(
        name="fsrt-detector",
        kind="backbone",
        title="the keypoint detector of FSRT",
        required_keys=fsrt.DETECTOR_KEYS,
        forbidden_keys=fsrt.NO_DETECTOR_KEYS,
        build=fsrt.networks,
        tidy=fsrt.tidy,
    ),
    Architecture(
        name="metaportrait",
        kind="backbone",
        title="MetaPortrait, base model at 256 px",
        required_keys=metaportrait.REQUIRED_KEYS,
        build=metaportrait.base_model,
        tidy=metaportrait.tidy,
    ),
    SUPER_RESOLUTION,
    Architecture(
        name="raft",
        kind="flow estimator",
        title="RAFT (large), optical flow",
        required_keys=raft.REQUIRED_KEYS,
        build=raft.build,
        files=("raft-things.pth",),
        origin="https://github.com/princeton-vl/RAFT",
    ),
    Architecture(
        name="arflow",
        kind="flow estimator",
        title="ARFlow (PWC-lite), optical flow",
        required_keys=arflow.REQUIRED_KEYS,
        build=arflow.build,
        files=("pwclite_ar.tar (checkpoints/KITTI15)",),
        origin="https://github.com/lliuz/ARFlow",
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
    "fsrt": BackboneSpec(
        name="fsrt",
        title="FSRT: keypoints and an expression vector, decoded pixel by pixel; slow without a GPU",
        architectures=frozenset({"fsrt", "fsrt-detector"}),
        files=("kp_detector.pt (54 MiB)", "vox256.pt or vox256_2Source.pt (182 MiB each)"),
        origin="https://github.com/andrerochow/fsrt",
        options=fsrt.OPTIONS,
        framing=fsrt.FRAMING,
        target_pct_face=3.0,
        build=fsrt.build,
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
    published = [a for a in ARCHITECTURES if a.kind == kind and a.files]
    return "; ".join(f"{a.name} takes {' or '.join(a.files)} from {a.origin}" for a in published)


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
    return f"Super-resolution takes {' or '.join(SUPER_RESOLUTION.files)}, from {SUPER_RESOLUTION.origin}."


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
