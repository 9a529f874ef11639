"""Measuring the stages of a chain together: weak motions along the pattern of their strong versions."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ...models.geometry import FaceBox
from ..clip import Clip
from ..progress import Progress, silent
from .curve import MotionCurve, measure_clip
from .flow import DisplacementEstimator, dense_displacement

STAGES = ("input", "magnified", "generated", "restored")
"""The chain in its order. The first two show the driving face, the others the portrait's."""


def measure_stages(
    clips: Mapping[str, Clip],
    boxes: Mapping[str, FaceBox],
    *,
    reference: int = 0,
    estimator: DisplacementEstimator = dense_displacement,
    stage: str = "measure",
    progress: Progress = silent,
) -> dict[str, MotionCurve]:
    """Curves of those `STAGES` that ``clips`` holds, each inside its box, in the order of the chain.

    The pattern of a barely visible motion is known badly, while its magnified version has the same and shows it. So
    the input is measured along the magnified clip and the restored clip along the generated one, where those are
    there; the generated clip keeps a pattern of its own, with the sign of the driver's. Ticks under the name ``stage``.
    """

    def measure(name: str, *, like: MotionCurve | None = None, along: MotionCurve | None = None) -> MotionCurve | None:
        clip = clips.get(name)
        if clip is None:
            return None
        return measure_clip(
            clip, boxes[name], reference=reference, estimator=estimator, like=like, along=along, progress=tick
        )

    def tick(_: str, done: int, total: int | None, preview: Tensor | None = None) -> None:
        progress(stage, done, total, preview)

    magnified = measure("magnified")
    first = measure("input", along=magnified)
    driver = magnified or first
    generated = measure("generated", like=driver)
    restored = measure("restored", along=generated, like=driver)
    found = zip(STAGES, (first, magnified, generated, restored), strict=True)
    return {name: curve for name, curve in found if curve is not None}
