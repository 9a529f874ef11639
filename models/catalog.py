# SPDX-License-Identifier: Apache-2.0
"""The networks that the pack knows: how each is recognised and built, what it takes, where its files come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .arflow import arch as arflow
from .checkpoint import Checkpoint
from .contracts import AnimationBackbone, Framing, Learner
from .emoportraits import arch as emoportraits
from .flow_transfer import arch as flow_transfer
from .flowmag import arch as flowmag
from .flowmag.learner import FlowMagLearner
from .fomm import arch as fomm
from .fsrt import arch as fsrt
from .guides import Guide
from .keyface import arch as keyface
from .lkmag import arch as lkmag
from .lkmag.learner import LKMagLearner
from .metaportrait import arch as metaportrait
from .metaportrait import superres_arch as superres
from .options import Option
from .raft import arch as raft


@dataclass(frozen=True, kw_only=True)
class Published:
    """Weights that a network's authors publish."""

    files: tuple[str, ...]
    """What they call the files, with sizes; all that are needed, or one of them where ``one_of``."""
    origin: str
    """Where they publish them."""
    licence: str
    """Of the code, and of the weights."""
    one_of: bool = False
    becomes: str = ""
    """What the templates call the one file that `magplus convert` makes of them."""

    @property
    def wanted(self) -> str:
        """The files in words."""
        return (" or " if self.one_of else " and ").join(self.files)

    def __str__(self) -> str:
        told = f"{self.wanted} from {self.origin} (licence: {self.licence})"
        if self.becomes:
            told += f", as published or made into {self.becomes} by the command magplus convert"
        return told


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
    published: Published | None = None
    """Where it is named by itself, and not by the generator that it is a part of."""

    def missing(self, tensors: Mapping[str, Tensor]) -> list[str]:
        """Which of ``required_keys`` are not there; all of them where a forbidden one is."""
        keys = set(self.tidy(tensors))
        return sorted(self.required_keys if self.forbidden_keys & keys else self.required_keys - keys)


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """A frozen generator as `backbones` lists it and `animate` builds it."""

    name: str
    title: str
    architectures: frozenset[str] = frozenset()
    """Names of the `Architecture`s that its files may have; none where it takes no file."""
    published: Published | None = None
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
        return f"{self.name} needs {self.published}."


SUPER_RESOLUTION = Architecture(
    name="metaportrait_sr",
    kind="super-resolution",
    title="MetaPortrait's temporal super-resolution (temporal_gfpgan)",
    required_keys=superres.REQUIRED_KEYS,
    build=superres.build,
    options=superres.OPTIONS,
    published=Published(
        files=("temporal_gfpgan.pth (from 600 MiB)",),
        origin="https://github.com/Meta-Portrait/MetaPortrait/releases/tag/v0.0.1",
        licence="code MIT, weights not stated",
        becomes="metaportrait_sr.safetensors",
    ),
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
        published=Published(
            files=("raft_chkpt_00140.pth", "arflow_chkpt_00140.pth"),
            origin="https://github.com/dangeng/flowmag, links in its README",
            licence="code MIT, weights not stated",
            one_of=True,
            becomes="flowmag_raft.safetensors",
        ),
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
        name="keyface",
        kind="backbone",
        title="KeyFace, the small generator of this pack",
        required_keys=keyface.REQUIRED_KEYS,
        build=keyface.network,
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
        name="emoportraits",
        kind="backbone",
        title="EMOPortraits, stage 1 (328_model)",
        required_keys=emoportraits.REQUIRED_KEYS,
        build=emoportraits.networks,
        tidy=emoportraits.tidy,
    ),
    Architecture(
        name="emoportraits-head-pose",
        kind="backbone",
        title="the head pose regressor of EMOPortraits, or another ResNet-18",
        required_keys=emoportraits.HEAD_POSE_KEYS,
        forbidden_keys=emoportraits.NO_HEAD_POSE_KEYS,
        build=emoportraits.networks,
        tidy=emoportraits.tidy,
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
        published=Published(
            files=("raft-things.pth",),
            origin="https://github.com/princeton-vl/RAFT",
            licence="code BSD-3-Clause, weights not stated",
        ),
    ),
    Architecture(
        name="arflow",
        kind="flow estimator",
        title="ARFlow (PWC-lite), optical flow",
        required_keys=arflow.REQUIRED_KEYS,
        build=arflow.build,
        published=Published(
            files=("pwclite_ar.tar (checkpoints/KITTI15)",),
            origin="https://github.com/lliuz/ARFlow",
            licence="code MIT, weights not stated",
        ),
    ),
)

BACKBONES = {
    "flow": BackboneSpec(
        name="flow",
        title="Flow Transfer: dense motion of the driver, carried onto the portrait (no weights)",
        framing=flow_transfer.FRAMING,
        target_pct_face=3.0,
        build=flow_transfer.build,
    ),
    "keyface": BackboneSpec(
        name="keyface",
        title="KeyFace: our own small keypoint animator, trained on drawn faces alone, 96 px; for tests and evidence",
        options=keyface.OPTIONS,
        framing=keyface.FRAMING,
        target_pct_face=2.5,  # measured: `magplus response`, on drawn faces,
        build=keyface.build,
    ),
    "fomm": BackboneSpec(
        name="fomm",
        title="First Order Motion Model: ten keypoints with local affine maps",
        architectures=frozenset({"fomm"}),
        published=Published(
            files=("vox-adv-cpk.pth.tar (228 MiB)", "vox-cpk.pth.tar (695 MiB)"),
            origin="https://github.com/AliaksandrSiarohin/first-order-model",
            licence="code MIT, weights not stated",
            one_of=True,
            becomes="fomm_vox-adv.safetensors",
        ),
        options=fomm.OPTIONS,
        framing=fomm.FRAMING,
        target_pct_face=3.0,
        build=fomm.build,
    ),
    "fsrt": BackboneSpec(
        name="fsrt",
        title="FSRT: keypoints and an expression vector, decoded pixel by pixel; slow without a GPU",
        architectures=frozenset({"fsrt", "fsrt-detector"}),
        published=Published(
            files=("kp_detector.pt (54 MiB)", "vox256.pt or vox256_2Source.pt (182 MiB each)"),
            origin="https://github.com/andrerochow/fsrt",
            licence="none granted",
            becomes="fsrt_vox256.safetensors",
        ),
        options=fsrt.OPTIONS,
        framing=fsrt.FRAMING,
        target_pct_face=3.0,
        build=fsrt.build,
    ),
    "emoportraits": BackboneSpec(
        name="emoportraits",
        title="EMOPortraits: a volume given an expression of 128 numbers and a head pose, 512 px; slow without a GPU",
        architectures=frozenset({"emoportraits", "emoportraits-head-pose"}),
        published=Published(
            files=("328_model.pth (from logs.zip)", "head_pose_regressor.pth (from repos.zip)"),
            origin="https://github.com/neeek2303/EMOPortraits",
            licence="code Apache-2.0 by its authors' word, weights not stated",
            becomes="emoportraits.safetensors",
        ),
        options=emoportraits.OPTIONS,
        guides=emoportraits.GUIDES,
        framing=emoportraits.FRAMING,
        target_pct_face=3.0,
        build=emoportraits.build,
    ),
    "metaportrait": BackboneSpec(
        name="metaportrait",
        title="MetaPortrait: 669 landmarks, warp and refine",
        architectures=frozenset({"metaportrait"}),
        published=Published(
            files=("ckpt_base.pth.tar (from 500 MiB)",),
            origin="https://github.com/Meta-Portrait/MetaPortrait",
            licence="code MIT, weights not stated",
            becomes="metaportrait_base.safetensors",
        ),
        options=metaportrait.OPTIONS,
        guides=metaportrait.GUIDES,
        framing=metaportrait.FRAMING,
        target_pct_face=3.0,
        build=metaportrait.build,
    ),
}
