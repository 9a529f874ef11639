# SPDX-License-Identifier: Apache-2.0
"""Weight files, read as data only: safetensors, or a pickle restricted to tensors and plain containers."""

from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .errors import MagPlusError

SUFFIXES = frozenset({".safetensors", ".sft", ".pth", ".pt", ".ckpt", ".bin", ".tar", ".pkl", ".zip"})
"""File endings that may hold weights. Which network it is, is told by the keys alone."""

_WRAPPERS = ("state_dict", "model_state_dict", "params", "params_ema", "model")
"""The first that is there. Files of BasicSR may hold two of them, and official test code takes ``params``."""
_SHOWN = 5
_COUNTER = ".num_batches_tracked"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Tensors by dotted name, and the text a safetensors file carries beside them."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    sha256: str


def read_checkpoint(path: Path | str) -> Checkpoint:
    """Read a weight file onto the CPU.

    Nested dictionaries become dotted names, ``module.`` prefixes of parallel training and a single outer wrapper are
    taken off, everything that is no tensor is dropped. Raises `MagPlusError` for a file that is missing, truncated,
    not a weight file, or a pickle that wants to run code.
    """
    path = Path(path)
    if not path.is_file():
        raise MagPlusError(f"There is no weights file {path}. Check the path.")
    if path.stat().st_size == 0:
        raise MagPlusError(f"{path} is empty. Fetch the file again.")
    if path.suffix in (".safetensors", ".sft"):
        tensors, metadata = _read_safetensors(path)
    else:
        tensors, metadata = dict(_flatten(_unwrap(_read_pickle(path)))), {}
    if not tensors:
        raise MagPlusError(f"{path} holds no tensors. It is not a weights file.")
    return Checkpoint(path=path, tensors=_without_module(tensors), metadata=metadata, sha256=sha256_of(path))


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise MagPlusError(f"{path} is not a complete safetensors file ({error}). Fetch it again.") from None


def _read_pickle(path: Path) -> Any:
    try:
        return torch.load(_packed(path) or path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        if "weights_only" not in str(error).lower() and "unsupported" not in str(error).lower():
            raise MagPlusError(f"{path} cannot be read: {error}. It is truncated or not a weights file.") from None
        raise MagPlusError(
            f"{path} holds more than weights and was not loaded: reading it could run code. "
            "Ask its author for a safetensors file, or for one saved from the state dict alone."
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MagPlusError(
            f"{path} cannot be read as weights ({reason}). It is truncated or not a weights file; fetch it again."
        ) from None


def _packed(path: Path) -> io.BytesIO | None:
    """The one weights file inside a zip. A file of torch is a zip too, and is no such thing."""
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if any(name.endswith("data.pkl") for name in names):
            return None
        inside = [name for name in names if Path(name).suffix in SUFFIXES - {".zip", ".safetensors", ".sft"}]
        if len(inside) != 1:
            raise MagPlusError(f"{path} is a zip with {len(inside)} weights files. Unpack it and give one of them.")
        return io.BytesIO(archive.read(inside[0]))


def _unwrap(content: Any) -> Any:
    for name in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            return content[name]
    return content


def _flatten(content: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield prefix.rstrip("."), content
    elif isinstance(content, Mapping):
        for name, value in content.items():
            yield from _flatten(value, f"{prefix}{name}.")


def _without_module(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): value for name, value in tensors.items()}
    return dict(tensors)


def sha256_of(path: Path) -> str:
    """Hash of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], *, what: str) -> None:
    """Fill a network; every key and shape must fit. The message of the error names the first that do not.

    The counters of batch norms may be absent: they matter in training only, and older files lack them.
    """
    expected = network.state_dict()
    missing = [name for name in expected if name not in tensors and not name.endswith(_COUNTER)]
    unexpected = [name for name in tensors if name not in expected]
    wrong = [
        f"{name} is {tuple(tensors[name].shape)}, not {tuple(value.shape)}"
        for name, value in expected.items()
        if name in tensors and tensors[name].shape != value.shape
    ]
    complaints = [_list("missing", missing), _list("unexpected", unexpected), _list("of another shape", wrong)]
    if any(complaints):
        raise MagPlusError(f"These weights do not fit {what}: " + "; ".join(c for c in complaints if c) + ".")
    network.load_state_dict(dict(tensors), strict=False)


def load_parts(networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor], *, what: str) -> None:
    """Fill and freeze the networks of a model, whose tensors have a network's name and a dot in front of their own."""
    stray = [name for name in tensors if name.partition(".")[0] not in networks]
    if stray:
        raise MagPlusError(f"These weights do not fit {what}: {_list('unexpected', stray)}.")
    for part, network in networks.items():
        prefix = f"{part}."
        own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        load_strictly(network, own, what=f"{what}'s {part}")
        network.train(False).requires_grad_(False)


def _list(title: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {title} ({', '.join(names[:_SHOWN])}{more})"


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every tensor with memory of its own: safetensors refuses what a module under two names shares."""
    seen: set[int] = set()
    apart = {}
    for name, value in tensors.items():
        storage = value.untyped_storage().data_ptr()
        apart[name] = value.clone() if storage in seen else value.contiguous()
        seen.add(storage)
    return {name: value.contiguous() for name, value in apart.items()}


def write_safetensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file; it appears under its name only when it is complete."""
    with _whole(path) as partial:
        save_file(_apart(tensors), partial, metadata=dict(metadata))


def write_state(state: Mapping[str, Any], path: Path) -> None:
    """Write what an unfinished work goes on from: tensors, numbers and text, for ``torch.load`` with ``weights_only``.

    It appears under its name only when it is complete.
    """
    with _whole(path) as partial:
        torch.save(dict(state), partial)


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A place to write to, which takes the name ``path`` once all is there."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise MagPlusError(f"{path} could not be written: {error}. Check the folder and the free space.") from None
    finally:
        partial.unlink(missing_ok=True)
