# SPDX-License-Identifier: Apache-2.0
"""Measuring the stages of a chain together: weak motions are compared along the pattern of their strong versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ...models.geometry import FaceBox
from ..clip import Clip
from ..face.anatomy import FaceMap
from ..progress import Progress, silent
from .curve import MotionCurve, Watch
from .flow import DisplacementEstimator, dense_displacement
from .quality import Quality, QualityWatch
from .regions import FACE, RegionMotion, measure_regions

STAGES = ("input", "magnified", "generated", "restored")
"""The chain in its order. The first two show the driving face, the others the portrait's."""

UNWATCHED: Mapping[str, Watch] = {}


@dataclass(frozen=True, kw_only=True, eq=False)
class StageMotion:
    """One stage: its motion by region, and what else is to be said of it."""

    regions: Mapping[str, RegionMotion]
    quality: Quality | None = None

    @property
    def curve(self) -> MotionCurve:
        """Of the whole face."""
        return self.regions[FACE].curve

    @property
    def compared(self) -> MotionCurve:
        """The same as comparisons take it."""
        return self.regions[FACE].compared


def measure_stages(
    clips: Mapping[str, Clip],
    boxes: Mapping[str, FaceBox],
    *,
    reference: int = 0,
    estimator: DisplacementEstimator = dense_displacement,
    stage: str = "measure",
    watches: Mapping[str, Watch] = UNWATCHED,
    progress: Progress = silent,
) -> dict[str, MotionCurve]:
    """Curves to compare of those `STAGES` that ``clips`` holds, each inside its box, in the order of the chain.

    The pattern of a barely visible motion is known badly, while its magnified version has the same and shows it. So
    the input is compared along the magnified clip and the restored clip along the generated one, where those are
    there; the generated clip keeps a pattern of its own, with the sign of the driver's. Ticks under the name ``stage``.
    ``watches`` are shown what is measured of each stage, see `view_clip`.
    """
    found = examine_stages(
        clips,
        boxes,
        {},
        reference=reference,
        estimator=estimator,
        stage=stage,
        quality=False,
        watches=watches,
        progress=progress,
    )
    return {name: one.compared for name, one in found.items()}


def examine_stages(
    clips: Mapping[str, Clip],
    boxes: Mapping[str, FaceBox],
    faces: Mapping[str, FaceMap],
    *,
    reference: int = 0,
    estimator: DisplacementEstimator = dense_displacement,
    stage: str = "measure",
    quality: bool = True,
    watches: Mapping[str, Watch] = UNWATCHED,
    progress: Progress = silent,
) -> dict[str, StageMotion]:
    """The same with the regions of those stages whose face is known, and with their `Quality`, or else ``watches``."""

    def measure(name: str, *, like: StageMotion | None = None, along: StageMotion | None = None) -> StageMotion | None:
        clip = clips.get(name)
        if clip is None:
            return None
        watch = QualityWatch() if quality else None
        regions = measure_regions(
            clip,
            boxes[name],
            faces.get(name),
            reference=reference,
            estimator=estimator,
            like=like.regions if like else None,
            along=along.regions if along else None,
            watch=watch or watches.get(name),
            progress=tick,
        )
        return StageMotion(regions=regions, quality=watch.finish(regions[FACE].curve.left_out) if watch else None)

    def tick(_: str, done: int, total: int | None, preview: Tensor | None = None) -> None:
        progress(stage, done, total, preview)

    magnified = measure("magnified")
    first = measure("input", along=magnified)
    driver = magnified or first
    generated = measure("generated", like=driver)
    restored = measure("restored", along=generated, like=driver)
    found = zip(STAGES, (first, magnified, generated, restored), strict=True)
    return {name: one for name, one in found if one is not None}
