# SPDX-License-Identifier: Apache-2.0
"""Where a written clip came from, as a small JSON file beside it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from ... import __version__
from ...models.errors import MagPlusError
from .partial import Partial

SYNTHETIC = "synthetic: made with magplus"
"""How the comment of every written clip begins, so that its picture is not taken for a recording."""


def provenance(
    *, inputs: Iterable[str | Path] = (), weights: Iterable[str | Path] = (), settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Record of a run: program versions, SHA-256 of inputs and weights, settings (factors among them), UTC time.

    ``synthetic`` marks the picture as generated, for whoever finds it later.
    """
    return {
        "synthetic": True,
        "created_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {
            "magplus": __version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "av": av.__version__,
        },
        "inputs": {str(path): sha256(path) for path in inputs},
        "weights": {str(path): sha256(path) for path in weights},
        "settings": dict(settings),
    }


def sha256(path: str | Path) -> str:
    """Hash of a file's content; of a folder: over the sorted names and contents of the files below it."""
    path = Path(path)
    digest = hashlib.sha256()
    try:
        if not path.is_dir():
            _feed(digest, path)
            return digest.hexdigest()
        for file in sorted(f for f in path.rglob("*") if f.is_file()):
            inner = hashlib.sha256()
            _feed(inner, file)
            digest.update(f"{file.relative_to(path).as_posix()}\0{inner.hexdigest()}\n".encode())
    except OSError as error:
        raise MagPlusError(f"{path} cannot be read for its checksum ({error.strerror}).") from error
    return digest.hexdigest()


def _feed(digest: Any, path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)


def write_sidecar(path: str | Path, record: Mapping[str, Any]) -> Path:
    """Write ``record`` to ``<path>.json``, replacing an older one in one step. Returns the file's path."""
    target = Path(f"{path}.json")
    text = json.dumps(_plain(record), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    partial = Partial(target, overwrite=True)
    try:
        partial.begin()
        partial.path.write_text(text, encoding="utf-8")
        partial.commit()
    except OSError as error:
        raise MagPlusError(f"{target} could not be written ({error.strerror}). Check space and permissions.") from error
    finally:
        partial.discard()
    return target


def _plain(value: Any) -> Any:
    """The same in what JSON knows; numbers that are not finite become null, everything unknown its text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [_plain(item) for item in value]
        return sorted(items, key=str) if isinstance(value, (set, frozenset)) else items
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return f"{value.numerator}/{value.denominator}" if isinstance(value, Fraction) else str(value)
