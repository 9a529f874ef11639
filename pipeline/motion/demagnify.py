# SPDX-License-Identifier: Apache-2.0
"""DeMagPlus: scale generated motion back to the intensity of the micro-expression it came from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ...models.contracts import AlphaRange, DisplacementMagnifier, Magnifier
from ...models.errors import MagPlusError
from ...models.geometry import Similarity
from ...models.sampling import spline_coefficients
from ...models.warp import border_window, carry, warp_by
from ..clip import CHUNK, Clip, since
from ..log import log
from ..measure import MotionComparison
from ..progress import Progress, silent
from .loop import LocalGain
from .magnify import check_alpha, magnify
from .masks import check_mask

INTENSITY_MAX = 10.0
Factor = float | Tensor
"""Of all motion, or a map ``(H, W)`` on the generated clip's reference frame."""
ANY = AlphaRange(low=0.0, high=math.inf)


def factor_for(comparison: MotionComparison, intensity: float = 1.0, *, allowed: AlphaRange = ANY) -> float:
    """Factor that brings a generated clip to ``intensity`` times the motion of its original.

    It is the inverse of the gain that was measured, not of the alpha that was asked for, so that whatever the backbone
    did to the motion's size is undone too.
    """
    check_intensity(intensity)
    gain = gain_of(comparison)
    factor = intensity / gain
    if factor > allowed.high:
        raise MagPlusError(
            f"The generated clip moves only {gain:.2g} times as much as the original: to reach intensity "
            f"{intensity:g} its motion would have to be enlarged {factor:.3g} times, and the magnifier takes "
            f"{allowed.high:g} at most. Magnify the driving clip more, lower the intensity, or take another generator."
        )
    if 0 < factor < allowed.low:
        raise MagPlusError(
            f"The generated clip moves {gain:.3g} times as much as the original: to reach intensity "
            f"{intensity:g} its motion would have to be scaled by {factor:.2g}, and the magnifier takes "
            f"{allowed.low:.3g} at least. Magnify the driving clip less."
        )
    return factor


def local_factors(factor: float, local: LocalGain | None, *, allowed: AlphaRange = ANY) -> Factor:
    """The whole face's ``factor`` (`factor_for`), or its map where the gain is known by place, within ``allowed``."""
    if local is None or factor == 0:
        return factor
    log.info("gain by region: %s", local)
    return local.factors(factor).clamp(allowed.low, allowed.high)


def gain_of(comparison: MotionComparison) -> float:
    """The measured gain, above 0; an error that says why there is none."""
    if comparison.gain is None:
        raise MagPlusError(f"The factor cannot be measured: {comparison.reason} Give alpha as a number.")
    if comparison.gain <= 0:
        raise MagPlusError(
            f"The generated clip moves against the original (gain {comparison.gain:.2f}), so there is nothing to scale "
            "back. Check that both clips belong together and share the reference frame, or give alpha as a number."
        )
    return comparison.gain


def check_intensity(intensity: float) -> None:
    """Refuse an intensity outside 0 .. 10."""
    if not 0 <= intensity <= INTENSITY_MAX:
        raise MagPlusError(f"intensity must lie between 0 and {INTENSITY_MAX:g}, not {intensity:g}.")


def demagnify(
    generated: Clip,
    magnifier: Magnifier,
    *,
    factor: Factor,
    reference: int = 0,
    first: int = 0,
    progress: Progress = silent,
) -> Iterator[Tensor]:
    """`pixels=generated`: chunks ``(n, 3, H, W)`` of the backbone's own picture, its motion times ``factor``.

    A factor of 0 repeats the reference frame. ``first``: begin at this frame of the clip.
    """
    if not isinstance(factor, Tensor) and factor == 0:
        return _repeated(generated, reference, first, progress)
    about: dict[str, Any] = {"stage": "demagnify", "first": first, "progress": progress}
    return magnify(generated, magnifier, alpha=factor, reference=reference, **about)


def _repeated(clip: Clip, reference: int, first: int, progress: Progress) -> Iterator[Tensor]:
    still = clip.frame(reference)
    done = first
    for chunk in since(clip, first).chunks(CHUNK):
        for _ in chunk:
            done += 1
            progress("demagnify", done, clip.info.count, still)
        yield still.expand_as(chunk)


@torch.no_grad()
def demagnify_onto(
    portrait: Tensor,
    generated: Clip,
    magnifier: DisplacementMagnifier,
    *,
    to_portrait: Similarity,
    factor: Factor,
    reference: int = 0,
    first: int = 0,
    progress: Progress = silent,
) -> Iterator[Tensor]:
    """`pixels=source`: chunks ``(n, 3, H, W)`` of the original ``portrait`` ``(3, H, W)``, moved.

    The generated clip's displacement times ``factor`` is carried through ``to_portrait``, which maps the generated
    picture's coordinates to the portrait's. Only motion is taken from the backbone, no pixel: the identity cannot
    change, and a factor of 0 gives back the portrait's own bits.
    """
    if isinstance(factor, Tensor):
        factor = factor.to(generated.frame(reference))
        check_mask(factor, generated, generated.frame(reference), what="map of factors")
    for value in (factor.min(), factor.max()) if isinstance(factor, Tensor) else (factor,):
        if value != 0:
            check_alpha(float(value), magnifier.alpha_range)
    image = portrait[None].float()
    coefficients = spline_coefficients(image)
    height, width = portrait.shape[-2:]
    state = magnifier.prepare(generated.frame(reference), 1.0)
    done = first
    for chunk in since(generated, first).chunks(CHUNK):
        measured = factor * magnifier.displacement(state, chunk)
        # One frame at a time: a portrait may be much larger than the backbone's picture.
        frames = []
        for field in (measured * border_window(measured)).split(1):
            frames.append(warp_by(image, coefficients, carry(field, to_portrait, (height, width))))
            done += 1
            progress("demagnify", done, generated.info.count, frames[-1][0])
        if done > reference >= done - len(chunk):
            frames[reference - done + len(chunk)] = image
        yield torch.cat(frames)
