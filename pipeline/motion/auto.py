# SPDX-License-Identifier: Apache-2.0
"""Factors from measurement: alpha before a backbone, and the way back after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ...models.contracts import FlowEstimator, Magnifier
from ...models.errors import MagPlusError
from ...models.geometry import FaceBox, Similarity, similarity
from ...models.registry import needs_displacement
from ..clip import Clip
from ..face.sides import Sides
from ..log import log
from ..measure import MotionCurve, displacement_by, measure_clip, whole_frame_box
from ..progress import Progress, silent
from .calibrate import Calibration, Target, choose_alpha
from .demagnify import check_intensity, demagnify, demagnify_onto, factor_for, gain_of, local_factors
from .loop import LocalGain, Loop, close_loop
from .magnify import check_alpha, estimator_of, measuring


def choose(
    clip: Clip,
    box: FaceBox | None,
    *,
    magnifier: Magnifier,
    target_pct_face: float,
    reference: int = 0,
    progress: Progress = silent,
) -> float:
    """Alpha that brings the motion in ``box`` to ``target_pct_face``, see `choose_alpha`. No box: the whole picture."""
    target = Target(pct_face=target_pct_face)
    return calibrate(clip, box, magnifier=magnifier, target=target, reference=reference, progress=progress)[0].alpha


def calibrate(
    clip: Clip,
    box: FaceBox | None,
    *,
    magnifier: Magnifier,
    target: Target,
    reference: int = 0,
    estimator: FlowEstimator | None = None,
    progress: Progress = silent,
) -> tuple[Calibration, MotionCurve]:
    """The same with its reason, and the curve that it was read from.

    The magnifier measures, as it is what will magnify; or ``estimator``, where one is given.
    """
    if box is None:
        log.warning("alpha auto: no face box, so the whole picture is measured. Give a box or a mask for a better fit.")
    by = estimator_of(measuring(magnifier)) if estimator is None else displacement_by(estimator)
    box = box or whole_frame_box(clip.info)
    curve = measure_clip(clip, box, reference=reference, estimator=by, progress=progress)
    chosen = choose_alpha(curve, target_pct_face=target.pct_face, allowed=magnifier.alpha_range, origin=target.origin)
    log.info("alpha %.4g: %s", chosen.alpha, chosen.reason)
    return chosen, curve


SAME_PLACE = similarity(1.0, 0.0, (0.0, 0.0), (0.0, 0.0))

CALMEST = -1
"""Stands for the frame that `calmest` finds, where a reference frame is asked for by number."""


def calmest(clip: Clip, box: FaceBox | None, *, magnifier: Magnifier, progress: Progress = silent) -> int:
    """The frame to take for neutral: that whose motion is nearest to the clip's median.

    A micro-expression lasts a few frames, so most of a clip shows the face at rest, while the first frame may catch it
    in a blink. Told by the curve of the motion in ``box`` (the face in frame 0; None: the whole picture).
    """
    box = box or whole_frame_box(clip.info)
    curve = measure_clip(clip, box, estimator=estimator_of(measuring(magnifier)), progress=progress)
    values = curve.values_pct_face
    found = int(np.abs(values - np.median(values)).argmin())
    log.info("calmest frame: %d, %.3f %% of the face width from frame 0", found, values[found])
    return found


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What `auto` measures: the original, the magnified clip if there is one, and the faces where no `Sides` tell."""

    original: Clip | None = None
    magnified: Clip | None = None
    original_box: FaceBox | None = None
    generated_box: FaceBox | None = None


@dataclass(frozen=True, kw_only=True)
class Restored:
    """Chunks ``(n, 3, H, W)`` at the wanted intensity, the factor, the gain that it undoes, the face if it is known."""

    chunks: Iterator[Tensor]
    factor: float
    gain: float
    box: FaceBox | None
    local: LocalGain | None = None
    """The gain by place, where that was asked for; ``gain`` and ``factor`` are then those of the whole face."""


def restore(
    generated: Clip,
    magnifier: Magnifier,
    *,
    alpha: float | None,
    evidence: Evidence,
    sides: Sides | None,
    portrait: Tensor | None,
    intensity: float = 1.0,
    reference: int = 0,
    by: str = "face",
    progress: Progress = silent,
) -> Restored:
    """Scale a generated clip back, by ``alpha`` or, if that is None, by its gain measured against the original.

    ``by`` (`loop.GAINS`) says whether the measured gain is that of the whole face, or that of each part of it.
    With a ``portrait`` ``(3, H, W)`` the motion is carried onto that (`demagnify_onto`), through the crop in ``sides``;
    without them pixel by pixel, where the clip shows the whole portrait at its own size.
    """
    check_intensity(intensity)
    to_portrait = None if portrait is None else _to_portrait(generated, portrait, sides)
    if alpha is None:
        found = measured_loop(generated, magnifier, evidence, sides, reference=reference, by=by, progress=progress)
        gain, factor = gain_of(found.face), factor_for(found.face, intensity, allowed=magnifier.alpha_range)
        log.info("measured gain %.4g, so the factor is %.4g", gain, factor)
        factors = local_factors(factor, found.local, allowed=magnifier.alpha_range)
    else:
        check_alpha(alpha, magnifier.alpha_range)
        gain, factor = alpha, intensity / alpha
        found, factors = None, factor
    box = evidence.generated_box or (sides.box_on_square(generated.info) if sides else None)
    if portrait is None or to_portrait is None:
        chunks = demagnify(generated, magnifier, factor=factors, reference=reference, progress=progress)
    else:
        box = sides.box_on_portrait((portrait.shape[-2], portrait.shape[-1])) if sides else box
        chunks = demagnify_onto(
            portrait,
            generated,
            needs_displacement(magnifier, purpose="pixels 'source'"),
            to_portrait=to_portrait,
            factor=factors,
            reference=reference,
            progress=progress,
        )
    local = None if found is None else found.local
    return Restored(chunks=chunks, factor=factor, gain=gain, box=box, local=local)


def measured_loop(
    generated: Clip,
    magnifier: Magnifier,
    evidence: Evidence,
    sides: Sides | None,
    *,
    reference: int = 0,
    by: str = "face",
    progress: Progress = silent,
) -> Loop:
    """The generated clip's motion against the original's, by the magnifier's displacement or the built-in's."""
    original, magnified = evidence.original, evidence.magnified
    if original is None:
        raise MagPlusError(
            "factor 'auto' needs the clip from before magnification. Connect 'original', or choose 'number'."
        )
    box, generated_box = _boxes(generated, original, evidence, sides)
    clips = {"input": original, "generated": generated}
    if magnified is not None:
        if (magnified.info.height, magnified.info.width) != (original.info.height, original.info.width):
            raise MagPlusError(
                "'magnified' and 'original' have different sizes. Connect the clip that Magnify Motion made of it."
            )
        clips["magnified"] = magnified
    return close_loop(
        clips,
        {"input": box, "magnified": box, "generated": generated_box},
        gain=by,
        reference=reference,
        estimator=estimator_of(measuring(magnifier)),
        progress=progress,
    )


def _boxes(generated: Clip, original: Clip, evidence: Evidence, sides: Sides | None) -> tuple[FaceBox, FaceBox]:
    """Face on the original and on the generated clip: as given, else as framed, else both whole pictures."""
    box, generated_box = evidence.original_box, evidence.generated_box
    if sides is not None:
        return box or sides.box_on_driving(original.info), generated_box or sides.box_on_square(generated.info)
    if (box is None) != (generated_box is None):
        raise MagPlusError(
            "One face box alone says nothing about how large the two faces are to each other. Connect 'crop' from "
            "Animate Portrait, or both original_box and generated_box."
        )
    return box or whole_frame_box(original.info), generated_box or whole_frame_box(generated.info)


def _to_portrait(generated: Clip, portrait: Tensor, sides: Sides | None) -> Similarity:
    """Where the generated picture lies in the portrait."""
    height, width = portrait.shape[-2:]
    if sides is not None:
        return sides.on_portrait(generated.info, (height, width))
    if (generated.info.height, generated.info.width) != (height, width):
        raise MagPlusError(
            f"pixels 'source' needs to know where the generated clip ({generated.info.width} x "
            f"{generated.info.height} px) lies in the portrait ({width} x {height} px). Connect 'crop' from Animate "
            "Portrait, or a clip that shows the whole portrait at its own size, as other packs paste it back."
        )
    return SAME_PLACE
