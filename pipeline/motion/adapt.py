# SPDX-License-Identifier: Apache-2.0
"""Test-time adaptation: a magnifier is trained on for a while on the clip it is going to magnify.

The loss is FlowMag's, which needs no truth: the flow from the reference to the magnified frame shall be alpha times the
flow to the frame, and both pictures, warped back, the same. Nothing else is asked, so what an adaptation brings is
measured: on pairs of the clip that never change, before, now and then, and by another estimator than the loss's.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ...models.contracts import FlowEstimator, Magnifier
from ...models.errors import MagPlusError
from ...models.flowmag.losses import magnification_loss, motion_error
from ...models.lkmag.flow import LucasKanadeFlow
from ...models.registry import learner_of
from ..clip import Clip
from ..log import log
from ..measure.flow import SPLINE_FIT
from ..progress import Progress, silent
from ..render.adaptation import adaptation_picture, as_frame
from .masks import Mask
from .pairs import Pairs, PairSource, log_range

EVERY = 10
"""Steps between two judgements."""

PATIENCE, WORTH = 10, 1e-3
"""Judgements without one that lowers the loss by this part, after which an adaptation ends."""

JUDGED = 4
"""Pairs that never change."""


@dataclass(frozen=True, kw_only=True)
class AdaptSettings:
    """What a user may choose. None stands for no limit of ``seconds``, and for a ``learning_rate`` that suits the
    magnifier; alpha is drawn log-uniform between its ends."""

    steps: int = 300
    seconds: float | None = None
    learning_rate: float | None = None
    batch: int = 2
    crop_px: int = 192
    alpha_low: float = 1.0
    alpha_high: float = 16.0
    reference: int = 0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Means over the pairs that never change: the loss, and the error of the motion by another estimator, in px."""

    step: int
    loss: float
    motion_error_px: float


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """What came of an adaptation: the best magnifier, its weights under the names of a file, numbers and a picture."""

    magnifier: Magnifier
    tensors: dict[str, Tensor]
    report: dict[str, Any]
    picture: Image.Image

    def metadata(self, sha256: str) -> dict[str, str]:
        """For a safetensors file; ``sha256`` is that of the weights it started from, empty without a file."""
        told = {name: value for name, value in self.report.items() if name != "history"}
        return {
            "architecture": self.magnifier.name,
            "adapted_from_sha256": sha256 or "builtin",
            "adaptation": json.dumps(told),
        }


class Adaptation:
    """A magnifier, learning. `run` may be left by any exception, Cancel too: `result` is the best so far."""

    def __init__(
        self,
        magnifier: Magnifier,
        clip: Clip,
        *,
        settings: AdaptSettings,
        estimator: FlowEstimator | None = None,
        region: Mask | None = None,
    ) -> None:
        _check(settings)
        alphas = log_range(settings.alpha_low, settings.alpha_high)
        self.settings, self.stopped, self.seconds = settings, "not run", 0.0
        self.history: list[Judgement] = []
        self._estimator = estimator or LucasKanadeFlow()
        self._source = PairSource(
            clip, reference=settings.reference, region=region, crop_px=settings.crop_px, alphas=alphas,
            seed=settings.seed,
        )  # fmt: skip
        self._judged = [
            (pair, SPLINE_FIT.flow(pair.reference, pair.frames)) for pair in self._source.fixed(JUDGED).split()
        ]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self._learner = learner_of(magnifier)
        self._name = magnifier.name
        self._learner.network.to(self._judged[0][0].frames.device)
        self._learning_rate = settings.learning_rate or self._learner.learning_rate
        self._best = self._snapshot()
        self._shown: list[Tensor] = []

    @property
    def best(self) -> Judgement:
        """The lowest loss so far."""
        return min(self.history, key=lambda one: one.loss)

    @property
    def has_learned(self) -> bool:
        """Whether anything better than the start was found."""
        return bool(self.history) and self.best.step > 0

    def run(self, progress: Progress = silent) -> None:
        """Train until a limit is met. One tick per step, with a running picture."""
        with torch.enable_grad():
            started = time.monotonic()
            try:
                self.stopped = self._train(progress, lambda: time.monotonic() - started)
            except BaseException:
                self.stopped = "cancelled"
                raise
            finally:
                self.seconds = time.monotonic() - started

    def result(self) -> Adapted:
        """The best so far. Nothing can be trained on after it."""
        self._learner.network.load_state_dict(self._best)
        return Adapted(
            magnifier=self._learner.magnifier(),
            tensors=self._learner.tensors(),
            report=self._report(),
            picture=self.picture(),
        )

    def picture(self) -> Image.Image:
        """The course of both numbers, and a magnified frame before and now."""
        told = [(one.step, one.loss, one.motion_error_px) for one in self.history]
        return adaptation_picture(told, self._shown)

    def _report(self) -> dict[str, Any]:
        first, best = self.history[0], self.best
        return {
            "magnifier": self._name,
            "flow": self._estimator.name,
            "settings": {**asdict(self.settings), "learning_rate": self._learning_rate},
            "crop_px": list(self._source.crop),
            "stopped": self.stopped,
            "steps": self.history[-1].step,
            "seconds": self.seconds,
            "best_step": best.step,
            "loss": {"before": first.loss, "after": best.loss},
            "motion_error_px": {
                "before": first.motion_error_px, "after": best.motion_error_px, "estimator": SPLINE_FIT.name,
            },
            "history": [asdict(one) for one in self.history],
        }  # fmt: skip

    def _train(self, progress: Progress, elapsed: Callable[[], float]) -> str:
        """Returns why it ended."""
        settings, network = self.settings, self._learner.network
        optimiser = torch.optim.Adam(network.parameters(), lr=self._learning_rate)
        shown = self._judge(0)
        improved = 0
        for step in range(1, settings.steps + 1):
            network.train()
            if shown is None or not self._step(optimiser, self._source.draw(settings.batch)):
                return self._ran_away()
            late = settings.seconds is not None and elapsed() >= settings.seconds
            if step % EVERY == 0 or step == settings.steps or late:
                before = self.best.loss
                shown = self._judge(step)
                improved = 0 if self.best.loss < (1 - WORTH) * before else improved + 1
            progress("adapt", step, settings.steps, shown)
            if late:
                return "seconds"
            if improved >= PATIENCE:
                return "early stop"
        return "steps"

    def _step(self, optimiser: torch.optim.Optimizer, pairs: Pairs) -> bool:
        """Whether the loss was a number."""
        optimiser.zero_grad(set_to_none=True)
        magnified = self._learner.magnified(pairs.reference, pairs.frames, pairs.alpha)
        loss = self._loss(pairs, magnified).total
        if not bool(loss.isfinite()):
            return False
        loss.backward()
        optimiser.step()
        return True

    def _ran_away(self) -> str:
        if not self.has_learned:
            raise MagPlusError("The adaptation ran away: its loss is no number any more. Lower learning_rate.")
        log.warning("adapt: the loss is no number any more; the best so far is kept. Lower learning_rate.")
        return "ran away"

    def _loss(self, pairs: Pairs, magnified: Tensor) -> Any:
        flow = partial(self._estimator.flow, quick=True)
        return magnification_loss(flow, pairs.reference, pairs.frames, magnified, pairs.alpha, region=pairs.region)

    @torch.no_grad()
    def _judge(self, step: int) -> Tensor | None:
        """Measure, as a magnifier would do it, and remember the best.

        Gives the running picture, or None where the weights give no numbers.
        """
        self._learner.network.train(False)
        losses, errors, made = [], [], []
        for pair, moved in self._judged:
            magnified = self._learner.magnified(pair.reference, pair.frames, pair.alpha).clamp(0, 1)
            losses.append(float(self._loss(pair, magnified).total))
            found = SPLINE_FIT.flow(pair.reference, magnified)
            errors.append(float(motion_error(found, moved, pair.alpha, pair.region)))
            made.append(magnified[0])
        if not all(map(math.isfinite, losses + errors)):
            return None
        now = Judgement(step=step, loss=_mean(losses), motion_error_px=_mean(errors))
        if not self.history or now.loss < self.best.loss:
            self._best = self._snapshot()
        self.history.append(now)
        before = self._shown[1] if self._shown else made[-1]
        self._shown = [self._judged[-1][0].frames[0], before, made[-1]]
        return as_frame(self.picture())

    def _snapshot(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self._learner.network.state_dict().items()}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _check(settings: AdaptSettings) -> None:
    for name in ("steps", "batch", "learning_rate", "crop_px", "seconds"):
        value = getattr(settings, name)
        if value is not None and not value > 0:
            raise MagPlusError(f"{name} must be above 0, not {value:g}.")
