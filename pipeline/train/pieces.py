# SPDX-License-Identifier: Apache-2.0
"""Training in pieces that end when their time is up and go on where they stopped, whatever is trained."""

from __future__ import annotations

import copy
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from ...models.checkpoint import load_strictly, read_checkpoint, write_safetensors, write_state
from ...models.errors import MagPlusError
from ..log import log


@dataclass(frozen=True, kw_only=True)
class PieceRecipe:
    """What every training depends on. ``steps`` may be changed when a run goes on."""

    steps: int
    seed: int = 0
    batch: int = 8
    learning_rate: float
    least_rate: float
    settle_part: float
    """Part of the steps at the end over which the learning rate falls to its least."""
    average: float = 0.995
    """Decay of the running mean of the weights that is kept in the end."""
    validate_every: int = 200
    start: str = ""
    """sha256 of the weights that it began with; none where it began at rest."""


R = TypeVar("R", bound=PieceRecipe)
N = TypeVar("N", bound=nn.Module)
B = TypeVar("B")


class PieceTrainer(ABC, Generic[R, N, B]):
    """A network of kind ``N`` in training on batches ``B``; `save` and `load` carry all of its state."""

    architecture: ClassVar[str]
    recipe_type: ClassVar[type[Any]]
    warm_up: ClassVar[int]
    """Steps over which the learning rate rises at the beginning."""
    longest_gradient: ClassVar[float] = 1.0
    """Longer gradients are shortened to this."""

    def __init__(self, recipe: R) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.network: N = self.make(recipe)
        self.average: N = copy.deepcopy(self.network).requires_grad_(False).train(False)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=recipe.learning_rate)
        self.step = 0
        self.cpu_s = 0.0
        self.history: list[dict[str, float]] = []

    @staticmethod
    @abstractmethod
    def make(recipe: R) -> N:
        """The network before its first step."""

    @abstractmethod
    def batch(self) -> B:
        """What this step learns from; the same whenever it is asked for."""

    @abstractmethod
    def losses(self, batch: B) -> dict[str, Tensor]:
        """What this step lowers, by name."""

    @abstractmethod
    def score(self, network: N) -> Any:
        """A dataclass of numbers that can be printed: how good the network is on what training never sees."""

    @classmethod
    def begun_with(cls, recipe: R, weights: Path) -> Any:
        """A new training whose first step begins with the weights of a file."""
        given = read_checkpoint(weights)
        trainer = cls(replace(recipe, start=given.sha256))
        for network in (trainer.network, trainer.average):
            load_strictly(network, cls.chosen(given.tensors), what=cls.architecture)
        return trainer

    @classmethod
    def chosen(cls, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Which of a file's tensors a training begins with."""
        return tensors

    @property
    def finished(self) -> bool:
        """Whether all steps of the recipe are done."""
        return self.step >= self.recipe.steps

    def advance(self) -> dict[str, float]:
        """One step; its losses by name."""
        started = time.process_time()
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        losses = self.losses(self.batch())
        self.optimiser.zero_grad(set_to_none=True)
        sum(losses.values(), torch.zeros(())).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.longest_gradient)
        self.optimiser.step()
        self.step += 1
        self._follow()
        self.cpu_s += time.process_time() - started
        return {name: float(value.detach()) for name, value in losses.items()}

    def _rate(self) -> float:
        """Short start, constant, cosine descent."""
        r = self.recipe
        done = (self.step - (1 - r.settle_part) * r.steps) / (r.settle_part * r.steps)
        fall = 0.5 + 0.5 * math.cos(math.pi * min(max(done, 0.0), 1.0))
        least = min(r.least_rate, r.learning_rate)
        return (least + (r.learning_rate - least) * fall) * min(1.0, (self.step + 1) / self.warm_up)

    def _follow(self) -> None:
        """The running mean takes a step after the network; what only counts is copied."""
        decay = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        now = self.network.state_dict()
        with torch.no_grad():
            for name, mean in self.average.state_dict().items():
                if mean.is_floating_point():
                    mean.lerp_(now[name], 1 - decay)
                else:
                    mean.copy_(now[name])

    def validate(self) -> Any:
        """Score of the running mean; it is added to the history."""
        score = self.score(self.average)
        self.history.append({"step": float(self.step), "cpu_s": self.cpu_s, **asdict(score)})
        return score

    def save(self, path: Path) -> None:
        """Write everything needed to go on; the file appears complete or not at all."""
        write_state(
            {
                "recipe": asdict(self.recipe),
                "step": self.step,
                "cpu_s": self.cpu_s,
                "history": self.history,
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
            },
            path,
        )

    @classmethod
    def load(cls, path: Path, *, steps: int | None = None) -> Any:
        """Go on from a file of `save`; ``steps`` replaces the number of steps of its recipe."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        recipe = cls.recipe_type(**state["recipe"])
        trainer = cls(recipe if steps is None else replace(recipe, steps=steps))
        trainer.network.load_state_dict(state["network"])
        trainer.average.load_state_dict(state["average"])
        trainer.optimiser.load_state_dict(state["optimiser"])
        trainer.step, trainer.cpu_s, trainer.history = state["step"], state["cpu_s"], state["history"]
        return trainer

    def export(self, path: Path) -> None:
        """Write the running mean as weights, with the recipe as metadata."""
        notes = {"architecture": self.architecture, "step": str(self.step), "cpu_s": f"{self.cpu_s:.0f}"}
        recipe = {f"recipe.{name}": str(value) for name, value in asdict(self.recipe).items()}
        write_safetensors(self.average.state_dict(), path, {**notes, **recipe})


AnyTrainer = PieceTrainer[Any, Any, Any]


def train(
    trainer: AnyTrainer, *, minutes: float, checkpoint: Path, tick: Callable[[AnyTrainer, dict[str, float]], None]
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
