# SPDX-License-Identifier: Apache-2.0
"""Backbones that fit something to the portrait before they can encode it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from ...models.contracts import AnimationBackbone, EncodesInSteps, FitsSource, Guides
from ..progress import Progress, silent

Escape = Callable[..., Any]
"""``escape(function, *values)``: the function's result for the values, where gradients are possible."""


def with_gradients(function: Callable[..., Any], *values: Any) -> Any:
    """The escape of the command line, where nothing but ``no_grad`` stands in the way."""
    with torch.enable_grad():
        return function(*values)


def fitting(
    backbone: AnimationBackbone, *, progress: Progress = silent, escape: Escape = with_gradients
) -> AnimationBackbone:
    """The backbone, fitting what its guides leave open whenever a portrait is encoded, with one tick per step.

    One that has nothing to fit and encodes in steps ticks there.
    """
    if hasattr(backbone, "fit"):
        return _Fitting(cast(FitsSource, backbone), progress, escape)
    return _Ticking(cast(EncodesInSteps, backbone), progress) if hasattr(backbone, "encode_in_steps") else backbone


class _Ticking:
    """A backbone with one method replaced."""

    def __init__(self, backbone: EncodesInSteps, progress: Progress) -> None:
        self._backbone, self._progress = backbone, progress

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backbone, name)

    def encode_source(self, sources: Tensor, guides: Guides) -> Any:
        def tick(done: int, total: int) -> None:
            self._progress("encode", done, total)

        return self._backbone.encode_in_steps(sources, guides, tick)


class _Fitting:
    """A backbone with one method replaced."""

    def __init__(self, backbone: FitsSource, progress: Progress, escape: Escape) -> None:
        self._backbone, self._progress, self._escape = backbone, progress, escape

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backbone, name)

    def encode_source(self, sources: Tensor, guides: Guides) -> Any:
        fit = self._backbone.fit(sources, guides)
        if fit is None:
            return self._backbone.encode_source(sources, guides)

        def solve(network: Any, values: Any) -> Any:
            return fit.solve(network, values, lambda done, total: self._progress("fit", done, total))

        found = self._escape(solve, fit.network, fit.values)
        return self._backbone.encode_source(sources, {**guides, fit.guide: found})
