# SPDX-License-Identifier: Apache-2.0
"""The main job: magnify a micro-expression, drive a frozen backbone with it, scale the result back, measure it all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from ..models.contracts import AnimationBackbone, DisplacementMagnifier, FlowEstimator, Magnifier
from ..models.errors import MagPlusError
from ..models.geometry import FaceBox
from .clip import Clip, SpooledClip, since
from .face.anatomy import FaceMap
from .face.crop import CroppedClip
from .face.frame import Framed, frame_side, frame_sources
from .face.guides import of_reference, place_guides
from .face.head import HeadMotion, StillClip, measure_head
from .face.regions import RegionStrengths
from .measure import (
    SPLINE_FIT,
    STAGES,
    MotionComparison,
    MotionCurve,
    compare,
    displacement_by,
    measure_clip,
)
from .measure.stages import StageMotion, examine_stages
from .motion.animate import Reference, animate, resolve_reference
from .motion.calibrate import choose_alpha
from .motion.demagnify import check_intensity, demagnify, demagnify_onto, factor_for, local_factors
from .motion.encoded import EncodedSources
from .motion.fitting import Escape, fitting, with_gradients
from .motion.loop import LocalGain, Loop, close_loop
from .motion.magnify import estimator_of, magnify, measuring
from .parts import Parts
from .progress import Progress, silent

Pixels = Literal["source", "generated"]


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What a user may choose; ``alpha`` None stands for auto."""

    target_pct_face: float
    alpha: float | None = None
    intensity: float = 1.0
    pixels: Pixels = "source"
    reference: Reference = 0
    motion_strength: float = 1.0
    """Scales the motion inside the backbone; the loop measures what is left for de-magnification."""
    guides: Mapping[str, Any] = field(default_factory=dict)
    """Of the driving clip as it is given, not as it is magnified."""
    driver_box: FaceBox | None = None
    source_box: FaceBox | None = None
    regions: RegionStrengths | None = None
    """A factor for each part of the driving face, instead of ``alpha``."""
    still_head: bool = False
    """Take the head's own motion out of the driver first."""
    gain: Literal["face", "regions"] = "face"
    """Whether one measured gain is undone, or that of each part of the face (`motion.loop`)."""


@dataclass(kw_only=True)
class RunResult:
    """All stages of a run on disk, and what was measured. Close it to release the scratch files."""

    alpha: float
    alpha_reason: str
    factor: float
    reference: int
    measured_by: DisplacementMagnifier
    """The magnifier that closed the loop and scaled the motion back: the chosen one, if it tells its displacement."""
    loop: MotionComparison
    """Generated against input by the estimator that closed the loop: where ``factor`` comes from."""
    local: LocalGain | None
    """The gain of each part of the face, where that was asked for: ``factor`` is then the whole face's."""
    clips: dict[str, Clip]
    stages: dict[str, StageMotion]
    """By the report's estimator, which is not the one of the loop."""
    estimator: str
    """Its name."""
    driver: Framed
    source: Framed
    seconds: dict[str, float]
    head: HeadMotion | None = None
    """What was taken out of the driver, if that was asked for."""
    opened: ExitStack = field(default_factory=ExitStack, repr=False)

    @property
    def curves(self) -> dict[str, MotionCurve]:
        """The motion of every stage, each along its own pattern."""
        return {name: one.curve for name, one in self.stages.items()}

    @property
    def comparisons(self) -> dict[str, MotionComparison]:
        """Every stage against the input."""
        return {name: compare(self.stages["input"].compared, self.stages[name].compared) for name in STAGES[1:]}

    def close(self) -> None:
        """Release the scratch files."""
        self.opened.close()


def run(
    driver: Clip,
    sources: list[Tensor],
    *,
    backbone: AnimationBackbone,
    magnifier: Magnifier,
    settings: RunSettings,
    scratch: Path,
    estimator: FlowEstimator = SPLINE_FIT,
    parts: Callable[[str], Parts] | None = None,
    escape: Escape = with_gradients,
    progress: Progress = silent,
) -> RunResult:
    """Run all stages. Scratch files (6 bytes a pixel and frame, unnamed) go to the folder ``scratch``.

    With ``parts``, which tells where a stage of a name is kept, every stage goes on where a run before it stopped.

    ``estimator`` measures what the report says; it must not be the magnifier's own, which closes the loop.
    """
    with ExitStack() as stack:
        backbone = EncodedSources.once(fitting(backbone, progress=progress, escape=escape))
        job = _Job(driver, sources, backbone, magnifier, settings, scratch, estimator, parts, progress, stack)
        result = job.run()
        result.opened = stack.pop_all()
        return result


@dataclass
class _Job:
    """One run: the parts that all stages share."""

    clip: Clip
    sources: list[Tensor]
    backbone: AnimationBackbone
    magnifier: Magnifier
    settings: RunSettings
    scratch: Path
    estimator: FlowEstimator
    parts: Callable[[str], Parts] | None
    progress: Progress
    stack: ExitStack
    seconds: dict[str, float] = field(default_factory=dict)
    reference: int = 0

    def run(self) -> RunResult:
        check_intensity(self.settings.intensity)
        info, framing = self.clip.info, self.backbone.framing
        driver = frame_side("driving clip", (info.height, info.width), self.settings.driver_box, framing)
        source, crops = frame_sources(self.sources, self.settings.source_box, framing)
        view: Clip = CroppedClip(self.clip, driver.work)
        self.reference = self._reference(driver, source, crops)
        head = self._head(view, driver)
        if head is not None:
            still = StillClip(view, head)
            view = self._spool(lambda first: since(still, first).chunks(), "input")
        alpha, reason = self._alpha(view, driver)
        alpha = self._same("alpha", alpha, "magnified")
        magnified = self._magnify(view, self._factors(driver, alpha))
        generated = self._animate(driver.from_work(magnified), driver, source, crops)
        loop = self._loop(view, magnified, generated, driver, source)
        allowed = self._measuring.alpha_range
        factor = self._same("factor", factor_for(loop.face, self.settings.intensity, allowed=allowed), "restored")
        restored = self._restore(generated, source, local_factors(factor, loop.local, allowed=allowed))
        stages: tuple[Clip, ...] = (view, magnified, generated, restored)
        clips = dict(zip(STAGES, stages, strict=True))
        return RunResult(
            alpha=alpha,
            alpha_reason=reason,
            factor=factor,
            reference=self.reference,
            measured_by=self._measuring,
            loop=loop.face,
            local=loop.local,
            clips=clips,
            stages=self._stages(clips, driver, source),
            estimator=self.estimator.name,
            driver=driver,
            source=source,
            seconds=self.seconds,
            head=head,
        )

    def _head(self, view: Clip, driver: Framed) -> HeadMotion | None:
        if not self.settings.still_head:
            return None
        with self._timed("head"):
            return measure_head(view, driver.box_in_work, reference=self.reference, progress=self.progress)

    def _factors(self, driver: Framed, alpha: float) -> float | Tensor:
        """The factor, or that of every pixel of the working crop."""
        regions, size = self.settings.regions, driver.work.size
        if regions is None:
            return alpha
        return regions.alpha_map(FaceMap.from_box(driver.box_in_work), (size, size))

    def _reference(self, driver: Framed, source: Framed, crops: Tensor) -> int:
        driving = CroppedClip(self.clip, driver.crop)
        with self._timed("reference"):
            return resolve_reference(
                self.settings.reference,
                self.backbone,
                crops,
                driving,
                guides=self._guides(self.settings.guides, driver, source),
                progress=self.progress,
            )

    def _guides(self, given: Mapping[str, Any], driver: Framed, source: Framed) -> dict[str, Any]:
        info = self.clip.info
        driving_size, source_size = (info.height, info.width), self.sources[0].shape[-2:]
        return place_guides(
            given,
            self.backbone,
            driving=(driver, driving_size),
            source=(source, (source_size[0], source_size[1])),
        )

    def _alpha(self, view: Clip, driver: Framed) -> tuple[float, str]:
        if self.settings.regions is not None:
            return self.settings.regions.strongest, f"the strongest of {self.settings.regions}"
        if self.settings.alpha is not None:
            return self.settings.alpha, "given"
        with self._timed("calibrate"):
            curve = measure_clip(
                view,
                driver.box_in_work,
                reference=self.reference,
                estimator=estimator_of(self._measuring),
                progress=lambda _, *tick: self.progress("calibrate", *tick),
            )
        chosen = choose_alpha(curve, target_pct_face=self.settings.target_pct_face, allowed=self.magnifier.alpha_range)
        return chosen.alpha, chosen.reason

    def _magnify(self, view: Clip, alpha: float | Tensor) -> Clip:
        about: Any = {"alpha": alpha, "reference": self.reference, "progress": self.progress}
        with self._timed("magnify"):
            return self._spool(lambda first: magnify(view, self.magnifier, first=first, **about), "magnified")

    def _animate(self, driven: Clip, driver: Framed, source: Framed, crops: Tensor) -> Clip:
        about: Any = {
            "reference": self.reference,
            "motion_strength": self.settings.motion_strength,
            "guides": self._guides(of_reference(self.settings.guides, self.reference), driver, source),
            "progress": self.progress,
        }

        def chunks(first: int) -> Iterator[Tensor]:
            return (result.frames for result in animate(self.backbone, crops, driven, first=first, **about))

        with self._timed("animate"):
            return self._spool(chunks, "generated")

    def _loop(self, view: Clip, magnified: Clip, generated: Clip, driver: Framed, source: Framed) -> Loop:
        with self._timed("calibrate"):
            return close_loop(
                {"input": view, "magnified": magnified, "generated": generated},
                _boxes(driver, source),
                gain=self.settings.gain,
                reference=self.reference,
                estimator=estimator_of(self._measuring),
                stage="calibrate",
                progress=self.progress,
            )

    def _restore(self, generated: Clip, source: Framed, factor: float | Tensor) -> Clip:
        about: Any = {"factor": factor, "reference": self.reference, "progress": self.progress}

        def chunks(first: int) -> Iterator[Tensor]:
            if self.settings.pixels == "generated":
                return demagnify(generated, self._measuring, first=first, **about)
            to_portrait, portrait = source.crop.to_picture, self.sources[0]
            return demagnify_onto(portrait, generated, self._measuring, to_portrait=to_portrait, first=first, **about)

        with self._timed("demagnify"):
            return self._spool(chunks, "restored")

    def _stages(self, clips: dict[str, Clip], driver: Framed, source: Framed) -> dict[str, StageMotion]:
        boxes = _boxes(driver, source)
        if self.settings.pixels == "source":
            boxes["restored"] = source.box
        with self._timed("measure"):
            by = displacement_by(self.estimator)
            return examine_stages(
                clips, boxes, {}, reference=self.reference, estimator=by, quality=False, progress=self.progress
            )

    @cached_property
    def _measuring(self) -> DisplacementMagnifier:
        return measuring(self.magnifier)

    def _same(self, name: str, value: float, stage: str) -> float:
        """What the finished parts of a stage were made with, where there are any; the same but for rounding."""
        return value if self.parts is None else self.parts(stage).once(name, lambda: value)

    def _spool(self, chunks_from: Callable[[int], Iterator[Tensor]], name: str) -> Clip:
        """A stage on disk. ``chunks_from(k)`` gives its chunks from frame k on."""
        if self.parts is not None:
            parts = self.parts(name)
            parts.fill(chunks_from)
            return parts.clip(self.sources[0].device)
        try:
            clip = SpooledClip.of(chunks_from(0), rate=self.clip.info.rate, folder=self.scratch, name=name)
        except OSError as error:
            raise MagPlusError(
                f"The scratch file for the {name} clip could not be written to {self.scratch} ({error.strerror}). "
                "Free some space, or choose another output folder."
            ) from error
        self.stack.callback(clip.close)
        return clip

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


def _boxes(driver: Framed, source: Framed) -> dict[str, FaceBox]:
    """The face in every stage, on working and backbone crops."""
    return dict.fromkeys(STAGES[:2], driver.box_in_work) | dict.fromkeys(STAGES[2:], source.box_in_crop)
