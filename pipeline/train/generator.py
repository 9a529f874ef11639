# SPDX-License-Identifier: Apache-2.0
"""Training of KeyFace, the small generator of this pack, on drawn faces with macro motion alone."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.checkpoint import write_safetensors
from ...models.keyface.arch import FRAMING
from ...models.keyface.network import SIZE, KeyFaceNetwork
from .face_pairs import FacePairs, render_pairs

TRAINING, VALIDATION = 0xFACE, 0xFACED
"""Part of the seeds of these faces, and of no others."""


@dataclass(frozen=True, kw_only=True)
class GeneratorRecipe:
    """Everything a run depends on. ``steps`` may be changed when a run goes on."""

    steps: int = 1600
    seed: int = 0
    batch: int = 8
    chapter: int = 50
    """Steps that draw from one set of faces."""
    identities: int = 16
    """Faces of a chapter: up to 12 pairs each."""
    learning_rate: float = 2e-3
    least_rate: float = 3e-5
    anchored_part: float = 0.4
    """Part of the steps at the beginning in which keypoints are drawn to places on the drawn face."""
    settle_part: float = 0.4
    noise: float = 0.015
    """Largest standard deviation of the noise on what the networks see."""
    average: float = 0.995
    validate_every: int = 200


@dataclass(frozen=True, kw_only=True)
class GeneratorScore:
    """On faces that training never draws, macro motion."""

    psnr_db: float
    error_pct: float
    """Mean end-point error of the deformation on the head, in parts of that of standing still."""
    keypoint_px: float
    """Mean distance of keypoints from where the true motion takes those of the source, px."""

    def __str__(self) -> str:
        return f"{self.psnr_db:.2f} dB, motion error {self.error_pct:.1f} %, keypoints {self.keypoint_px:.2f} px off"


class GeneratorTrainer:
    """A generator in training; `save` and `load` carry all of its state."""

    def __init__(self, recipe: GeneratorRecipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.network = KeyFaceNetwork()
        self.average = copy.deepcopy(self.network).requires_grad_(False).train(False)
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
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        losses = self._losses(self._batch())
        self.optimiser.zero_grad(set_to_none=True)
        sum(losses.values(), torch.zeros(())).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self._follow()
        self.cpu_s += time.process_time() - started
        return {name: float(value.detach()) for name, value in losses.items()}

    def _losses(self, pairs: FacePairs) -> dict[str, Tensor]:
        network, count = self.network, len(pairs.source)
        draw = torch.Generator().manual_seed(self.recipe.seed * 7_000_003 + self.step)
        sigma = self.recipe.noise * torch.rand(2 * count, 1, 1, 1, generator=draw)
        clean = torch.cat([pairs.source, pairs.driving])
        seen = clean + sigma * torch.randn(clean.shape, generator=draw)
        places = network.detector(seen)
        source, driving = places[:count], places[count:]
        picture, motion = network(seen[:count], source, driving)
        losses = {
            "picture": 4 * picture_loss(picture, pairs.driving),
            "flow": 4 * flow_loss(motion.origin, pairs),
            "follows": 5 * (driving - arrivals(source, pairs)).abs().mean(),
        }
        if self.step < self.recipe.anchored_part * self.recipe.steps:
            losses["anchors"] = 5 * (torch.stack([source, driving], 1) - pairs.anchors).abs().mean()
        return losses

    def _rate(self) -> float:
        """Short start, constant, cosine descent."""
        r = self.recipe
        done = (self.step - (1 - r.settle_part) * r.steps) / (r.settle_part * r.steps)
        fall = 0.5 + 0.5 * math.cos(math.pi * min(max(done, 0.0), 1.0))
        return (r.least_rate + (r.learning_rate - r.least_rate) * fall) * min(1.0, (self.step + 1) / 50)

    def _follow(self) -> None:
        decay = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        now = self.network.state_dict()
        with torch.no_grad():
            for name, mean in self.average.state_dict().items():
                if mean.is_floating_point():
                    mean.lerp_(now[name], 1 - decay)
                else:
                    mean.copy_(now[name])

    def _batch(self) -> FacePairs:
        r = self.recipe
        pairs = _chapter(r.seed, self.step // r.chapter, r.identities)
        draw = torch.Generator().manual_seed(r.seed * 1_000_003 + self.step // r.chapter)
        order, place = torch.randperm(len(pairs.source), generator=draw), self.step % r.chapter
        return pairs[order[(place * r.batch + torch.arange(r.batch)) % len(order)]]

    def validate(self) -> GeneratorScore:
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
    def load(cls, path: Path, *, steps: int | None = None) -> GeneratorTrainer:
        """Go on from a file of `save`; ``steps`` replaces the number of steps of its recipe."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        recipe = GeneratorRecipe(**state["recipe"])
        trainer = cls(recipe if steps is None else replace(recipe, steps=steps))
        trainer.network.load_state_dict(state["network"])
        trainer.average.load_state_dict(state["average"])
        trainer.optimiser.load_state_dict(state["optimiser"])
        trainer.step, trainer.cpu_s, trainer.history = state["step"], state["cpu_s"], state["history"]
        return trainer

    def export(self, path: Path) -> None:
        """Write the running mean as weights, with the recipe as metadata."""
        notes = {"architecture": "keyface", "step": str(self.step), "cpu_s": f"{self.cpu_s:.0f}"}
        recipe = {f"recipe.{name}": str(value) for name, value in asdict(self.recipe).items()}
        write_safetensors(self.average.state_dict(), path, {**notes, **recipe})


def picture_loss(picture: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error of colours and of their differences, at three resolutions."""
    total = picture.new_zeros(())
    for _ in range(3):
        error = picture - truth
        slopes = error.diff(dim=3).abs().mean() + error.diff(dim=2).abs().mean()
        total = total + error.abs().mean() + slopes
        picture, truth = F.avg_pool2d(picture, 2), F.avg_pool2d(truth, 2)
    return total


def flow_loss(origin: Tensor, pairs: FacePairs) -> Tensor:
    """Mean error of where pixels come from, at half the resolution, in half pictures x 10."""
    known = F.avg_pool2d(pairs.known, 2)[:, 0]
    truth = F.avg_pool2d(pairs.origin, 2).permute(0, 2, 3, 1)
    # Outermost pixel centres of the small picture lie half a small pixel further in than those of the large one.
    side = pairs.origin.shape[-1]
    truth = truth * (side - 1) / (side - 2)
    error = ((origin - truth).square().sum(-1) + 1e-8).sqrt()
    return 10 * (error * known).sum() / known.sum()


def arrivals(places: Tensor, pairs: FacePairs) -> Tensor:
    """Where the true motion takes ``places`` ``(N, K, 2)`` of the source picture."""
    at = places.detach()[:, :, None]
    still = torch.stack(torch.meshgrid(*(2 * [torch.linspace(-1, 1, pairs.arrival.shape[-1])]), indexing="xy"))
    moves = F.grid_sample(pairs.arrival - still, at, padding_mode="border", align_corners=True)
    return places + moves[..., 0].transpose(1, 2)


@torch.no_grad()
def validate(network: KeyFaceNetwork) -> GeneratorScore:
    """Score of a network on the development faces."""
    pairs = _development()
    source, driving = network.detector(pairs.source), network.detector(pairs.driving)
    picture, motion = network(pairs.source, source, driving)
    squared = (picture.clamp(0, 1) - pairs.driving).square().mean((1, 2, 3))
    side = pairs.origin.shape[-1]
    truth = F.avg_pool2d(pairs.origin, 2).permute(0, 2, 3, 1) * (side - 1) / (side - 2)
    line = torch.linspace(-1, 1, side // 2)
    still = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
    known = F.avg_pool2d(pairs.known, 2)[:, 0] * ((truth - still).norm(dim=-1) > 1e-4)
    error = ((motion.origin - truth).norm(dim=-1) * known).sum() / ((truth - still).norm(dim=-1) * known).sum()
    follows = (driving - arrivals(source, pairs)).norm(dim=-1).mean() * (side - 1) / 2
    return GeneratorScore(
        psnr_db=float((-10 * squared.clamp(min=1e-10).log10()).mean()),
        error_pct=float(100 * error),
        keypoint_px=float(follows),
    )


@lru_cache(maxsize=1)
def _chapter(seed: int, chapter: int, identities: int) -> FacePairs:
    return render_pairs((TRAINING, seed, chapter), identities, SIZE, framing_scale=FRAMING.scale)


@lru_cache(maxsize=1)
def _development() -> FacePairs:
    return render_pairs((VALIDATION,), 5, SIZE, framing_scale=FRAMING.scale)
