# SPDX-License-Identifier: Apache-2.0
"""Drive a frozen backbone with a clip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from ...models.contracts import AnimationBackbone, DriveResult, Guides, PerFrame
from ...models.errors import MagPlusError
from ..clip import CHUNK, Clip, since
from ..log import log
from ..progress import Progress, silent, ticking

Reference = int | Literal["best"]
"""A frame counted from 0, or the one that the backbone finds most like the portrait."""

STRENGTHS = (0.0, 10.0)


@torch.no_grad()
def animate(
    backbone: AnimationBackbone,
    sources: Tensor,
    driver: Clip,
    *,
    reference: int = 0,
    motion_strength: float = 1.0,
    guides: Guides | None = None,
    first: int = 0,
    progress: Progress = silent,
) -> Iterator[DriveResult]:
    """Generated chunks for the portrait ``sources`` ``(N, 3, H, W)``, both sides framed as the backbone asks.

    ``guides`` go to the backbone by name; those that are `PerFrame` are sliced like the frames. The reference is the
    driver's neutral frame: the motion of frame t is that from the reference to t. ``motion_strength`` scales it in the
    backbone's own space (1 as it is, 0 a still portrait). ``first``: begin at this frame of the driver; a backbone
    whose frames depend on those before them (``in_order``) is driven from frame 0 all the same.
    """
    guides = _with_strength(dict(guides or {}), motion_strength, backbone)
    count = driver.info.count
    _check(backbone, sources, guides, count)
    source_state = backbone.encode_source(sources, _about_source(guides))
    frame = driver.frame(reference)
    drive_state = backbone.set_reference(source_state, frame, _of_frame(guides, reference))
    done = 0 if getattr(backbone, "in_order", False) else first
    for chunk in since(driver, done).chunks(getattr(backbone, "frames_at_once", CHUNK)):
        result = backbone.drive(drive_state, chunk, _sliced(guides, done, done + len(chunk)))
        for frame in result.frames:
            done += 1
            progress("animate", done, count, frame)
        if done > first:
            yield result


@torch.no_grad()
def resolve_reference(
    reference: Reference,
    backbone: AnimationBackbone,
    sources: Tensor,
    driver: Clip,
    *,
    guides: Guides | None = None,
    progress: Progress = silent,
) -> int:
    """The reference as an index; ``best`` asks the backbone, once over the whole driving clip as it frames it."""
    if reference != "best":
        return reference
    choose = getattr(backbone, "choose_reference", None)
    if choose is None:
        raise MagPlusError(
            f"{backbone.name} cannot choose the reference itself, it has no keypoints. Give the number of a calm frame."
        )
    state = backbone.encode_source(sources, _about_source(guides or {}))
    index = int(choose(state, ticking(driver, "reference", progress)))
    log.info("reference frame %d: its keypoints are the nearest to the portrait's", index)
    return index


def _with_strength(guides: dict[str, Any], strength: float, backbone: AnimationBackbone) -> dict[str, Any]:
    low, high = STRENGTHS
    if not low <= strength <= high:
        raise MagPlusError(f"motion_strength {strength:g}: give a number from {low:g} to {high:g}.")
    if strength == 1 and "motion_strength" not in backbone.guide_names:
        return guides
    return guides | {"motion_strength": strength}


def _check(backbone: AnimationBackbone, sources: Tensor, guides: Guides, count: int | None) -> None:
    unknown = sorted(set(guides) - backbone.guide_names)
    if unknown:
        offered = ", ".join(sorted(backbone.guide_names)) or "none"
        raise MagPlusError(f"{backbone.name} takes no guide '{unknown[0]}'. Its guides: {offered}.")
    if len(sources) > backbone.max_sources:
        raise MagPlusError(f"{backbone.name} takes {backbone.max_sources} source picture(s), not {len(sources)}.")

    for name, value in guides.items():
        if isinstance(value, PerFrame) and count is not None and len(value.values) != count:
            raise MagPlusError(
                f"{name} has {len(value.values)} entries for a driving clip of {count} frames. Give one per frame, or "
                "that of the reference frame alone."
            )


def _about_source(guides: Guides) -> dict[str, Any]:
    return {name: value for name, value in guides.items() if name.startswith("source")}


def _sliced(guides: Mapping[str, Any], start: int, stop: int) -> dict[str, Any]:
    """Guides for some frames."""
    return {n: v.values[start:stop] if isinstance(v, PerFrame) else v for n, v in guides.items()}


def _of_frame(guides: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Guides for one frame, without the frames' dimension."""
    return {n: v.values[index] if isinstance(v, PerFrame) else v for n, v in guides.items()}
