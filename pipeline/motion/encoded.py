# SPDX-License-Identifier: Apache-2.0
"""Encodings of portraits, kept from run to run: a new alpha changes the driving clip alone."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from ...models.contracts import AnimationBackbone, Guides
from ..log import log


class EncodedSources:
    """The last ``keep`` results of `AnimationBackbone.encode_source`, by content of the portrait and by weights."""

    def __init__(self, *, keep: int) -> None:
        self._keep = keep
        self._states: OrderedDict[str, Any] = OrderedDict()
        self._lock = Lock()
        self.encoded = self.reused = 0

    @classmethod
    def once(cls, backbone: AnimationBackbone) -> AnimationBackbone:
        """The backbone, encoding one portrait once however often it is asked."""
        return cls(keep=1).remembering(backbone, weights=())

    def remembering(self, backbone: AnimationBackbone, *, weights: Sequence[str]) -> AnimationBackbone:
        """The backbone, asking here before it encodes. ``weights`` are hashes, or whatever else tells them apart."""
        return _Remembering(self, backbone, weights)

    def get(self, backbone: AnimationBackbone, weights: Sequence[str], sources: Tensor, guides: Guides) -> Any:
        """The encoding, from here or made now."""
        key = content_key([backbone.name, *weights], sources, guides)
        with self._lock:
            if key in self._states:
                self._states.move_to_end(key)
                self.reused += 1
                log.debug("the encoded portrait is used again")
                return self._states[key]
        state = backbone.encode_source(sources, guides)
        with self._lock:
            self.encoded += 1
            self._states[key] = state
            while len(self._states) > self._keep:
                self._states.popitem(last=False)
        return state

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._states.clear()
            self.encoded = self.reused = 0


class _Remembering:
    """A backbone with one method replaced."""

    def __init__(self, cache: EncodedSources, backbone: AnimationBackbone, weights: Sequence[str]) -> None:
        self._cache, self._backbone, self._weights = cache, backbone, weights

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backbone, name)

    def encode_source(self, sources: Tensor, guides: Guides) -> Any:
        return self._cache.get(self._backbone, self._weights, sources, guides)


def content_key(names: Sequence[str], sources: Tensor, guides: Guides) -> str:
    """Hash of names, pictures and whatever else a result depends on."""
    digest = hashlib.sha256(repr((names, str(sources.device))).encode())
    _feed(digest, sources)
    for name in sorted(guides):
        digest.update(name.encode())
        _feed(digest, guides[name])
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        digest.update(repr((tuple(value.shape), value.dtype)).encode())
        digest.update(value.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    else:
        digest.update(repr(value).encode())
