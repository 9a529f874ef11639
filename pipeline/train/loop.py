# SPDX-License-Identifier: Apache-2.0
"""The training loop: three phases, in pieces that end when their time is up and go on where they stopped."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ...models.checkpoint import write_safetensors
from ...models.errors import MagPlusError
from ...models.lkmag.arch import freeze
from ...models.lkmag.network import LKMag
from ...models.lkmag.refiner import Refiner
from ...models.lkmag.weigher import WindowWeigher
from ..log import log
from .losses import flow_loss, gain_loss, motion_loss, picture_loss
from .scenes import Batch, render_batch
from .validate import Score, validate

TRAINING = 0x7EA1
"""Part of the seeds of training scenes, and of no others."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything a run depends on besides its seed's pictures. ``steps`` may be changed when a run goes on."""

    steps: int = 2300
    seed: int = 0
    size_px: int = 72
    batch: int = 8
    reuse: int = 6
    """How often a scene is shown, each time with another symmetry."""
    chapter: int = 45
    """Steps that draw from one set of scenes."""
    weigher_width: int = 40
    refiner_width: int = 48
    learning_rate: float = 1.5e-3
    least_rate: float = 5e-5
    flow_part: float = 0.06
    """Part of the steps at the beginning that learn the displacement alone."""
    settle_part: float = 0.25
    """Part of the steps at the end over which the learning rate falls to its least."""
    joint_every: int = 3
    """Every so many steps the picture's error reaches the displacement too, and the output's motion is looked at; in
    between the refiner learns alone, for half the work."""
    average: float = 0.995
    """Decay of the running mean of the weights that is kept in the end."""
    validate_every: int = 200


class Trainer:
    """A network in training; `save` and `load` carry all of its state."""

    def __init__(self, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.network = LKMag(
            weigher=WindowWeigher(width=recipe.weigher_width), refiner=Refiner(width=recipe.refiner_width)
        )
        self.average = freeze(copy.deepcopy(self.network))
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=recipe.learning_rate)
        self.step = 0
        self.cpu_s = 0.0
        self.history: list[dict[str, float]] = []

    @property
    def finished(self) -> bool:
        return self.step >= self.recipe.steps

    def advance(self) -> dict[str, float]:
        """One step; its losses by name."""
        started = time.process_time()
        rate = self._rate()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        losses = self._losses(self._batch())
        self.optimiser.zero_grad(set_to_none=True)
        sum(losses.values(), torch.zeros(())).backward()
        torch.nn.utils.clip_grad_norm_([p for p in self.network.parameters() if p.grad is not None], 1.0)
        self.optimiser.step()
        self.step += 1
        self._follow()
        self.cpu_s += time.process_time() - started
        return {name: float(value.detach()) for name, value in losses.items()}

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        network = self.network
        state = network.prepare_pairs(batch.reference, batch.alpha)
        found = network.estimates(state, batch.frame)
        losses = {"flow": flow_loss(found, batch.displacement), "gain": 1.5 * gain_loss(found[0], batch.displacement)}
        if self.step < self.recipe.flow_part * self.recipe.steps or network.refiner is None:
            return losses
        joint = self.step % self.recipe.joint_every == 0
        with torch.set_grad_enabled(joint):
            warps = network.warps(state, batch.frame, found[0])
        picture = network.refiner(warps)
        losses["picture"] = picture_loss(picture, batch.truth)
        if joint:
            losses["before"] = 0.5 * picture_loss(warps.blended(), batch.truth)
            losses["motion"] = 0.2 * motion_loss(picture, batch)
        return losses

    def _rate(self) -> float:
        """Short start, constant, cosine descent."""
        r = self.recipe
        done = (self.step - (1 - r.settle_part) * r.steps) / (r.settle_part * r.steps)
        fall = 0.5 + 0.5 * math.cos(math.pi * min(max(done, 0.0), 1.0))
        return (r.least_rate + (r.learning_rate - r.least_rate) * fall) * min(1.0, (self.step + 1) / 20)

    def _follow(self) -> None:
        decay = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)

    def _batch(self) -> Batch:
        """Scenes of this step: drawn from its chapter's, turned and mirrored."""
        r = self.recipe
        chapter = self.step // r.chapter
        scenes = _chapter(r.seed, chapter, max(r.batch, r.batch * r.chapter // r.reuse), r.size_px)
        draw = torch.Generator().manual_seed(r.seed * 1_000_003 + self.step)
        index = torch.randperm(len(scenes.reference), generator=draw)[: r.batch]
        turn, mirror = int(torch.randint(4, (), generator=draw)), bool(torch.randint(2, (), generator=draw))
        return turned(scenes, index, turn, mirror)

    def validate(self) -> Score:
        """Score of the running mean; it is added to the history."""
        score = validate(self.average)
        self.history.append({"step": float(self.step), "cpu_s": self.cpu_s, **asdict(score)})
        return score

    def save(self, path: Path) -> None:
        """Write everything needed to go on; the file appears complete or not at all."""
        state = {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "cpu_s": self.cpu_s,
            "history": self.history,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        partial = path.with_name(path.name + ".partial")
        torch.save(state, partial)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path, *, steps: int | None = None) -> Trainer:
        """Go on from a file of `save`; ``steps`` replaces the number of steps of its recipe."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        recipe = Recipe(**state["recipe"])
        trainer = cls(recipe if steps is None else replace(recipe, steps=steps))
        trainer.network.load_state_dict(state["network"])
        trainer.average.load_state_dict(state["average"])
        trainer.optimiser.load_state_dict(state["optimiser"])
        trainer.step, trainer.cpu_s, trainer.history = state["step"], state["cpu_s"], state["history"]
        return trainer

    def export(self, path: Path) -> None:
        """Write the running mean as weights, with the recipe as metadata."""
        notes = {"architecture": "lkmag", "step": str(self.step), "cpu_s": f"{self.cpu_s:.0f}"}
        recipe = {f"recipe.{name}": str(value) for name, value in asdict(self.recipe).items()}
        write_safetensors(self.average.state_dict(), path, {**notes, **recipe})


class Training(Protocol):
    """Something that is trained in pieces."""

    recipe: Any
    step: int
    cpu_s: float
    history: list[dict[str, float]]

    @property
    def finished(self) -> bool: ...

    def advance(self) -> dict[str, float]:
        """One step; its losses by name."""
        ...

    def validate(self) -> Any:
        """A score that can be printed; it is added to the history."""
        ...

    def save(self, path: Path) -> None:
        """Write everything needed to go on."""
        ...

    def export(self, path: Path) -> None:
        """Write the weights so far."""
        ...


def train(
    trainer: Training, *, minutes: float, checkpoint: Path, tick: Callable[[Training, dict[str, float]], None]
) -> None:
    """Train until the time is up or the recipe is done, writing ``checkpoint`` every minute and at the end."""
    if trainer.finished:
        raise MagPlusError(f"{checkpoint} has done its {trainer.recipe.steps} steps. Give more --steps to go on.")
    ends, saved = time.monotonic() + 60 * minutes, time.monotonic()
    try:
        while not trainer.finished and time.monotonic() < ends:
            losses = trainer.advance()
            if trainer.step % trainer.recipe.validate_every == 0 or trainer.finished:
                log.info("step %d: %s", trainer.step, trainer.validate())
            tick(trainer, losses)
            if time.monotonic() - saved > 60:
                trainer.save(checkpoint)
                saved = time.monotonic()
    finally:
        trainer.save(checkpoint)


@lru_cache(maxsize=1)
def _chapter(seed: int, chapter: int, count: int, size_px: int) -> Batch:
    return render_batch((TRAINING, seed, chapter), count, size_px)


def turned(batch: Batch, index: Tensor, quarter_turns: int, mirror: bool) -> Batch:
    """Some scenes of a batch, mirrored and turned: what was rendered stays exact."""

    def picture(images: Tensor) -> Tensor:
        images = images.flip(-1) if mirror else images
        return torch.rot90(images, quarter_turns, (-2, -1))

    field = batch.displacement[index]
    if mirror:
        field = field * field.new_tensor([-1.0, 1.0]).view(1, 2, 1, 1)
    for _ in range(quarter_turns):
        # A quarter turn of the picture to the left takes (x, y) to (y, -x), y pointing down.
        field = torch.stack([field[:, 1], -field[:, 0]], 1)
    return Batch(
        reference=picture(batch.reference[index]),
        frame=picture(batch.frame[index]),
        truth=picture(batch.truth[index]),
        displacement=picture(field),
        alpha=batch.alpha[index],
    )
