"""Magnification of a file into a file: memory stays the same at any length, and a cancelled run can go on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import __version__
from ..models.contracts import Magnifier
from ..models.geometry import FaceBox
from .clip import Clip
from .media import FileClip, Format, sha256
from .motion.auto import choose
from .motion.magnify import check_alpha, magnify
from .motion.masks import Mask
from .parts import Parts
from .progress import Progress, silent


@dataclass(frozen=True, kw_only=True)
class LongMagnification:
    """What is to be done. ``alpha``: a number, a map ``(H, W)``, or None to reach ``target_pct_face`` in ``box``."""

    file: FileClip
    clip: Clip
    """The same frames where they are computed."""
    magnifier: Magnifier
    alpha: float | Tensor | None
    target_pct_face: float
    box: FaceBox | None = None
    reference: int = 0
    mask: Mask | None = None
    grow_mask_px: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    """Whatever else the pixels depend on."""

    def parts(self, place: Path, format: Format) -> Parts:
        """Where the work is kept until it is finished."""
        return Parts.beside(place, self._facts(), rate=self.clip.info.rate, format=format)

    def into(self, parts: Parts, progress: Progress = silent) -> float | Tensor:
        """Magnify what the parts lack. Returns alpha."""
        alpha = self._alpha(parts, progress)
        parts.fill(
            lambda first: magnify(
                self.clip,
                self.magnifier,
                alpha=alpha,
                reference=self.reference,
                mask=self.mask,
                grow_mask_px=self.grow_mask_px,
                first=first,
                progress=progress,
            )
        )
        return alpha

    def _alpha(self, parts: Parts, progress: Progress) -> float | Tensor:
        """Measured at the first run only: it takes a pass over the whole clip."""
        if self.alpha is not None:
            return self.alpha
        about: dict[str, Any] = {"magnifier": self.magnifier, "reference": self.reference, "progress": progress}
        alpha = parts.once(
            "alpha", lambda: choose(self.clip, self.box, target_pct_face=self.target_pct_face, **about)
        )
        check_alpha(alpha, self.magnifier.alpha_range)
        return alpha

    def _facts(self) -> dict[str, Any]:
        """Everything that the pixels depend on."""
        alpha: Any = _digest(self.alpha) if isinstance(self.alpha, Tensor) else self.alpha
        return {
            "versions": [__version__, str(torch.__version__)],
            "input": sha256(self.file.source.path),
            "frames": [self.file.start, self.file.stop],
            "alpha": [self.target_pct_face, str(self.box)] if alpha is None else alpha,
            "reference": self.reference,
            "mask": None if self.mask is None else _digest(self.mask),
            "grow_mask_px": self.grow_mask_px,
            "magnifier": [self.magnifier.name, _weights(self.magnifier)],
            "device": self.clip.frame(self.reference).device.type,
            "options": self.options,
        }


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
    switches = (bool, int, float, str, torch.dtype)
    return [*tensors, *(f"{name} {value}" for name, value in sorted(vars(model).items()) if isinstance(value, switches))]
