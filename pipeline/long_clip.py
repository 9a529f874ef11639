# SPDX-License-Identifier: Apache-2.0
"""From a file into a file, magnification alone or the main job.

Memory stays the same at any length, and a cancelled run can go on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import __version__
from ..models.contracts import AnimationBackbone, FlowEstimator, Magnifier, PerFrame
from ..models.geometry import FaceBox
from .clip import CHUNK, CHUNK_PIXELS, Clip, ClipInfo
from .face.regions import strongest
from .measure import SPLINE_FIT
from .media import FFV1, SYNTHETIC, FileClip, Format, sha256, write_sidecar
from .media.audio import Audio
from .motion.auto import choose
from .motion.fitting import Escape, with_gradients
from .motion.gauge import MotionGauge
from .motion.magnify import check_alpha, magnify
from .motion.masks import Mask
from .parts import Parts
from .progress import Progress, silent
from .run import RunResult, RunSettings, run

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class FileOnDevice:
    """A file as a clip on the device where it is computed, in chunks of CHUNK_PIXELS at most."""

    file: FileClip
    device: torch.device

    @property
    def info(self) -> ClipInfo:
        return self.file.info

    def chunks(self, size: int = CHUNK) -> Iterator[Tensor]:
        yield from self.chunks_from(0, size)

    def chunks_from(self, first: int, size: int = CHUNK) -> Iterator[Tensor]:
        """The chunks from frame ``first`` on."""
        size = max(1, min(size, CHUNK_PIXELS // (self.info.height * self.info.width)))
        yield from (chunk.to(self.device) for chunk in self.file.chunks_from(first, size))

    def frame(self, index: int) -> Tensor:
        return self.file.frame(index).to(self.device)


@dataclass(frozen=True, kw_only=True)
class LongMagnification:
    """What is to be done. ``alpha``: a number, a map ``(H, W)``, or None to reach ``target_pct_face`` in ``box``."""

    file: FileClip
    device: torch.device = CPU
    magnifier: Magnifier
    alpha: float | Tensor | None
    target_pct_face: float
    box: FaceBox | None = None
    reference: int = 0
    mask: Mask | None = None
    grow_mask_px: int = 0

    @property
    def clip(self) -> Clip:
        """The frames where they are computed."""
        return FileOnDevice(file=self.file, device=self.device)

    def work(self, base: Path, format: Format, progress: Progress = silent) -> Work:
        """Magnify what the parts beside ``base`` lack."""
        if isinstance(self.alpha, (int, float)):
            check_alpha(self.alpha, self.magnifier.alpha_range)
        parts = Parts.beside(base, self._facts(), rate=self.clip.info.rate, format=format)
        alpha = self._alpha(parts, progress)
        about: dict[str, Any] = {"alpha": alpha, "reference": self.reference, "progress": progress}
        about |= {"mask": self.mask, "grow_mask_px": self.grow_mask_px}
        with MotionGauge(self.clip.info, self.box, reference=self.reference) as gauge:
            # What is known of a motion is known of all frames: a run that goes on has not seen the first ones.
            parts.fill(lambda k: magnify(self.clip, self.magnifier, first=k, watch=None if k else gauge, **about))
            motion = gauge.told(warn=self.alpha is not None)
        told = {"alpha": strongest(alpha) if isinstance(alpha, Tensor) else alpha}
        return Work(result=parts, all=(parts,), told=told | ({} if motion is None else {"motion": motion}))

    def _alpha(self, parts: Parts, progress: Progress) -> float | Tensor:
        """Measured at the first run only: it takes a pass over the whole clip."""
        if self.alpha is not None:
            return self.alpha
        about: dict[str, Any] = {"magnifier": self.magnifier, "reference": self.reference, "progress": progress}
        alpha = parts.once("alpha", lambda: choose(self.clip, self.box, target_pct_face=self.target_pct_face, **about))
        check_alpha(alpha, self.magnifier.alpha_range)
        return alpha

    def _facts(self) -> dict[str, Any]:
        """Everything that the pixels depend on."""
        return {
            **_common(self.file, self.device, self.magnifier),
            "alpha": [self.target_pct_face, str(self.box)] if self.alpha is None else _told(self.alpha),
            "reference": self.reference,
            "mask": None if self.mask is None else _digest(self.mask),
            "grow_mask_px": self.grow_mask_px,
        }


@dataclass(frozen=True, kw_only=True)
class LongRun:
    """The main job on a file (`pipeline.run`), each of whose stages goes on where it stopped."""

    file: FileClip
    device: torch.device = CPU
    sources: list[Tensor]
    backbone: AnimationBackbone
    magnifier: Magnifier
    settings: RunSettings
    estimator: FlowEstimator = SPLINE_FIT
    escape: Escape = with_gradients

    @property
    def clip(self) -> Clip:
        """The frames where they are computed."""
        return FileOnDevice(file=self.file, device=self.device)

    def begin(self, base: Path, format: Format, progress: Progress = silent) -> tuple[RunResult, dict[str, Parts]]:
        """All stages, and their parts by name beside ``base``. ``format``: of the restored clip."""
        if self.settings.alpha is not None:
            check_alpha(self.settings.alpha, self.magnifier.alpha_range)
        facts, rate = self._facts(), self.clip.info.rate
        kept: dict[str, Parts] = {}

        def parts(stage: str) -> Parts:
            if stage not in kept:
                place = base.with_name(f"{base.name}.{stage}")
                inside = format if stage == "restored" else FFV1
                kept[stage] = Parts.beside(place, facts, rate=rate, format=inside)
            return kept[stage]

        result = run(
            self.clip,
            self.sources,
            backbone=self.backbone,
            magnifier=self.magnifier,
            settings=self.settings,
            scratch=base.parent,
            estimator=self.estimator,
            parts=parts,
            escape=self.escape,
            progress=progress,
        )
        return result, kept

    def work(self, base: Path, format: Format, progress: Progress = silent) -> Work:
        """The restored clip's parts, and what was measured."""
        result, kept = self.begin(base, format, progress)
        try:
            gain = result.comparisons["restored"].gain
            told = {"alpha": result.alpha, "factor": result.factor, "reference": result.reference, "gain": gain}
        finally:
            result.close()
        return Work(result=kept["restored"], all=tuple(kept.values()), told=told)

    def _facts(self) -> dict[str, Any]:
        names = (entry.name for entry in fields(self.settings))
        return {
            **_common(self.file, self.device, self.magnifier),
            "sources": [_digest(source) for source in self.sources],
            "backbone": [self.backbone.name, _weights(self.backbone)],
            "settings": {name: _told(getattr(self.settings, name)) for name in names},
        }


@dataclass(frozen=True, kw_only=True)
class Work:
    """Finished parts: those of the result, those of all stages, and what was found on the way."""

    result: Parts
    all: tuple[Parts, ...]
    told: dict[str, Any]

    def deliver(
        self,
        target: Path,
        *,
        format: Format,
        audio: Audio | None,
        record: dict[str, Any],
        metadata: Mapping[str, str] | None = None,
        overwrite: bool = False,
        progress: Progress = silent,
    ) -> int:
        """Write the result and its sidecar ``record``, then let go of the parts. Returns the number of frames."""
        comment = f"{SYNTHETIC} {json.dumps(record['settings'], default=str)}"
        about: dict[str, Any] = {"audio": audio, "metadata": {"comment": comment, **(metadata or {})}}
        count = self.result.finish(target, format=format, overwrite=overwrite, progress=progress, **about)
        write_sidecar(target, record)
        self.discard()
        return count

    def discard(self) -> None:
        """Let go of the parts."""
        for parts in self.all:
            parts.discard()


def _common(file: FileClip, device: torch.device, magnifier: Magnifier) -> dict[str, Any]:
    """What every result depends on."""
    return {
        "versions": [__version__, str(torch.__version__)],
        "input": sha256(file.source.path),
        "frames": [file.start, file.stop],
        "magnifier": [magnifier.name, _weights(magnifier)],
        "device": device.type,
    }


def _told(value: Any) -> Any:
    """A setting as text or number, large ones by their digest."""
    if isinstance(value, PerFrame):
        return _digest(value.values)
    if isinstance(value, Mapping):
        return {str(name): _told(one) for name, one in value.items()}
    if isinstance(value, Tensor):
        return _digest(value)
    return value if isinstance(value, (int, float, str)) or value is None else repr(value)


def _digest(values: Tensor | Clip) -> str:
    digest = hashlib.sha256()
    for part in [values] if isinstance(values, Tensor) else values.chunks():
        digest.update(f"{part.dtype} {tuple(part.shape)}".encode())
        digest.update(part.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _weights(model: Any) -> list[str]:
    """Digest of every tensor of the networks in a model, and the model's own switches."""
    parts = [model] if isinstance(model, nn.Module) else [v for v in vars(model).values() if isinstance(v, nn.Module)]
    tensors = [f"{name} {_digest(value)}" for part in parts for name, value in part.state_dict().items()]
    plain = (bool, int, float, str, torch.dtype)
    switches = {name: v for name, v in sorted(vars(model).items()) if isinstance(v, plain) or is_dataclass(v)}
    return [*tensors, *(f"{name} {value}" for name, value in switches.items())]
