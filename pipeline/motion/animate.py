"""Drive a frozen backbone with a clip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ...models.contracts import AnimationBackbone, DriveResult, Guides
from ...models.errors import MagPlusError
from ..clip import CHUNK, Clip
from ..progress import Progress, silent


@torch.no_grad()
def animate(
    backbone: AnimationBackbone,
    sources: Tensor,
    driver: Clip,
    *,
    reference: int = 0,
    guides: Guides | None = None,
    progress: Progress = silent,
) -> Iterator[DriveResult]:
    """Generated chunks for the portrait ``sources`` ``(N, 3, H, W)``, both sides framed as the backbone asks.

    ``guides`` go to the backbone by name; a guide whose first dimension is the clip's length is sliced like the
    frames. The reference is the driver's neutral frame: the motion of frame t is that from the reference to t.
    """
    guides = dict(guides or {})
    unknown = sorted(set(guides) - backbone.guide_names)
    if unknown:
        offered = ", ".join(sorted(backbone.guide_names)) or "none"
        raise MagPlusError(f"{backbone.name} takes no guide '{unknown[0]}'. Its guides: {offered}.")
    if len(sources) > backbone.max_sources:
        raise MagPlusError(f"{backbone.name} takes {backbone.max_sources} source picture(s), not {len(sources)}.")
    count = driver.info.count
    source_state = backbone.encode_source(sources, guides)
    reference_guides = _sliced(guides, reference, reference + 1, count)
    drive_state = backbone.set_reference(source_state, driver.frame(reference), reference_guides)
    done = 0
    for chunk in driver.chunks(CHUNK):
        result = backbone.drive(drive_state, chunk, _sliced(guides, done, done + len(chunk), count))
        for frame in result.frames:
            done += 1
            progress("animate", done, count, frame)
        yield result


def _sliced(guides: Mapping[str, Any], start: int, stop: int, count: int | None) -> dict[str, Any]:
    def part(value: Any) -> Any:
        per_frame = isinstance(value, Tensor) and value.ndim > 0 and len(value) == count
        return value[start:stop] if per_frame else value

    return {name: part(value) for name, value in guides.items()}
