# SPDX-License-Identifier: Apache-2.0
"""Training of KeyFace, the small generator of this pack, on drawn faces with macro motion alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.keyface.arch import FRAMING
from ...models.keyface.network import SIZE, KeyFaceNetwork
from ..measure.quality import psnr_db
from .face_pairs import FacePairs, render_pairs
from .pieces import PieceRecipe, PieceTrainer

TRAINING, VALIDATION = 0xFACE, 0xFACED
"""Part of the seeds of these faces, and of no others."""


@dataclass(frozen=True, kw_only=True)
class GeneratorRecipe(PieceRecipe):
    """Everything a run depends on."""

    steps: int = 1600
    chapter: int = 50
    """Steps that draw from one set of faces."""
    identities: int = 16
    """Faces of a chapter: up to 12 pairs each."""
    learning_rate: float = 2e-3
    least_rate: float = 3e-5
    settle_part: float = 0.4
    anchored_part: float = 0.4
    """Part of the steps at the beginning in which keypoints are drawn to places on the drawn face."""
    noise: float = 0.015
    """Largest standard deviation of the noise on what the networks see."""


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


class GeneratorTrainer(PieceTrainer[GeneratorRecipe, KeyFaceNetwork, FacePairs]):
    """KeyFace in training."""

    architecture, recipe_type, warm_up = "keyface", GeneratorRecipe, 50

    @staticmethod
    def make(recipe: GeneratorRecipe) -> KeyFaceNetwork:
        """Random keypoints, and a decoder that corrects nothing yet."""
        return KeyFaceNetwork()

    def losses(self, pairs: FacePairs) -> dict[str, Tensor]:
        """Picture, deformation, keypoints."""
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

    def batch(self) -> FacePairs:
        """Pairs of this step's chapter, each once before any comes again."""
        r = self.recipe
        pairs = _chapter(r.seed, self.step // r.chapter, r.identities)
        draw = torch.Generator().manual_seed(r.seed * 1_000_003 + self.step // r.chapter)
        order, place = torch.randperm(len(pairs.source), generator=draw), self.step % r.chapter
        return pairs[order[(place * r.batch + torch.arange(r.batch)) % len(order)]]

    def score(self, network: KeyFaceNetwork) -> GeneratorScore:
        """On the development faces."""
        return validate(network)


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
    side = pairs.origin.shape[-1]
    truth = F.avg_pool2d(pairs.origin, 2).permute(0, 2, 3, 1) * (side - 1) / (side - 2)
    line = torch.linspace(-1, 1, side // 2)
    still = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
    known = F.avg_pool2d(pairs.known, 2)[:, 0] * ((truth - still).norm(dim=-1) > 1e-4)
    error = ((motion.origin - truth).norm(dim=-1) * known).sum() / ((truth - still).norm(dim=-1) * known).sum()
    follows = (driving - arrivals(source, pairs)).norm(dim=-1).mean() * (side - 1) / 2
    return GeneratorScore(
        psnr_db=psnr_db(picture.clamp(0, 1), pairs.driving),
        error_pct=float(100 * error),
        keypoint_px=float(follows),
    )


@lru_cache(maxsize=1)
def _chapter(seed: int, chapter: int, identities: int) -> FacePairs:
    return render_pairs((TRAINING, seed, chapter), identities, SIZE, framing_scale=FRAMING.scale)


@lru_cache(maxsize=1)
def _development() -> FacePairs:
    return render_pairs((VALIDATION,), 5, SIZE, framing_scale=FRAMING.scale)
