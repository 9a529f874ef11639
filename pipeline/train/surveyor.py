# SPDX-License-Identifier: Apache-2.0
"""Training of lkmag's surveyor, beside a weigher and a refiner that stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ...models.lkmag import arch
from ...models.lkmag.levels import product
from ...models.lkmag.network import LKMag
from ...models.lkmag.surveyor import Surveyor
from .pieces import PieceRecipe, PieceTrainer
from .surveys import Surveys, piece, turned

VALIDATION = (0, 1)
"""Pieces that are not trained on."""
FIRST_PIECES = 4
BORDER_CELLS = 2
"""Left out of what is judged: what moves in from outside cannot be known."""
CLEAR, CLEARLY = 2.5, 4.0
"""Strength of a motion in parts of the floor from which its gain counts (by one half), and how sharply."""
FAR_OVER = 40.0
"""Motions over the floor so many times are known without a surveyor."""
FAR_OVER_ODDS, OTHERS_ODDS = 0.15, 0.6
"""How often these, and pictures without white noise, are drawn in parts of the others."""
FAINT = 1.0
"""Strength in parts of the floor below which motion is faint."""
ABRUPT = 0.55
"""Change of the displacement from cell to cell, in parts of its largest, that only something in front makes: there a
cell's mean is no motion of it, and its gain does not count."""
NEARER = 0.97
"""A displacement is to be at least so much nearer to the truth than none at all."""


@dataclass(frozen=True, kw_only=True)
class SurveyorRecipe(PieceRecipe):
    """Everything a run depends on besides its seed's draws."""

    steps: int = 4000
    batch: int = 16
    learning_rate: float = 1.5e-3
    least_rate: float = 4e-5
    settle_part: float = 0.9
    pieces: int = 24
    """Sets of scenes to learn from (`surveys.PIECE` each); `FIRST_PIECES` are enough to begin with."""
    new_piece: int = 40
    """Steps after which one more is rendered."""
    early_part: float = 0.45
    """Part of the steps at the beginning with the early weights: with much weight for gain and stillness from the
    first step on the network hardly learns to read its neighbourhood, and its error stays where it is."""
    gain_weight: float = 3.0
    still_weight: float = 4.5
    coded_still: float = 1.8
    """Times as much beside a codec, whose noise looks most like motion."""
    steady_weight: float = 1.0
    """Of what changes in parts of the motion with the noise that is told."""
    noise_jitter: float = 0.03
    """How much more or less noise is told than was measured (sigma of its logarithm): a part of a picture tells another
    noise than all of it."""
    error_weight: float = 0.6
    """Of the error's logarithm where motion is not far over its floor: there it counts most not to be wrong."""


EARLY_GAIN, EARLY_STILL, EARLY_CODED = 1.5, 2.0, 1.0
"""Weights of a recipe in the early part of its steps."""


@dataclass(frozen=True, kw_only=True)
class SurveyorScore:
    """Of scenes that training never draws, most of them with noise."""

    error: float
    """Mean end-point error in parts of the motion, geometric mean of scenes with noise over their floor."""
    faint_error: float
    """The same of those below."""
    coded_error: float
    """The same beside a codec, of scenes over their floor."""
    gain: float
    """Slope of found on true displacement of scenes with noise over three times their floor."""

    def __str__(self) -> str:
        return (
            f"error {self.error:.3f}, of faint motion {self.faint_error:.3f}, beside a codec {self.coded_error:.3f}, "
            f"gain {self.gain:.3f}"
        )


class SurveyorTrainer(PieceTrainer[SurveyorRecipe, LKMag, Surveys]):
    """lkmag in training, of which only the surveyor changes."""

    architecture, recipe_type, warm_up = "lkmag", SurveyorRecipe, 50
    longest_gradient = 20.0
    scenes = Path("scenes")
    """Folder of the pieces that were rendered."""

    def __init__(self, recipe: SurveyorRecipe) -> None:
        super().__init__(recipe)
        self._pool: list[Surveys] = []
        """All pieces so far, joined to one."""
        self._pieces = 0

    @staticmethod
    def make(recipe: SurveyorRecipe) -> LKMag:
        """The built-in networks with a new surveyor, which weighs all offers by their expected errors."""
        network = arch.builtin()
        network.surveyor = Surveyor()
        return network

    @classmethod
    def chosen(cls, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights of a file to begin with: of all networks, or of those that a new surveyor is trained beside."""
        return {**{f"surveyor.{name}": value for name, value in Surveyor().state_dict().items()}, **tensors}

    def losses(self, batch: Surveys) -> dict[str, Tensor]:
        """Error, gain, what is farther from the truth than standing still, and what hangs on the noise level."""
        r, draw = self._weights(), self._draw()
        found = answered(self.network, jittered(batch, r.noise_jitter, draw))
        told = judged(found, batch)
        over = batch.strength / told.floor
        clear = torch.sigmoid(CLEARLY * (over - CLEAR)) * (batch.strength > 0) * ~told.abrupt
        slack = 0.05 * told.floor + 2e-4
        error = ((told.error + slack) / (told.length + slack)).log()
        worse = (told.error - NEARER * told.length).clamp(min=0) / (told.length + 0.2 * told.floor + 1e-3)
        off = ((told.slope - 1).square() + 1e-3).sqrt().clamp(max=1.5)
        with torch.no_grad():
            other = answered(self.network, jittered(batch, r.noise_jitter, draw))
        shaken = _mean_length(found - other, batch) / (told.length + 0.2 * told.floor + 1e-3)
        return {
            "error": (error * torch.where(over < FAR_OVER, r.error_weight, 1.0)).mean(),
            "worse": r.still_weight * (worse.clamp(max=3) * torch.where(batch.coded, r.coded_still, 1.0)).mean(),
            "gain": r.gain_weight * (off * clear).sum() / clear.sum().clamp(min=1),
            "shaken": r.steady_weight * shaken.clamp(max=3).mean(),
        }

    def _weights(self) -> SurveyorRecipe:
        """The recipe with the weights of this step."""
        r = self.recipe
        if self.step >= r.early_part * r.steps:
            return r
        return replace(r, gain_weight=EARLY_GAIN, still_weight=EARLY_STILL, coded_still=EARLY_CODED)

    def batch(self) -> Surveys:
        """Pairs drawn from all pieces so far, turned and mirrored."""
        r = self.recipe
        pool = self._up_to(min(r.pieces, FIRST_PIECES + self.step // r.new_piece))
        draw = self._draw()
        far = pool.strength >= FAR_OVER * pool.floor.clamp(min=1e-6)
        odds = torch.where(far, FAR_OVER_ODDS, 1.0) * torch.where(pool.noisy, 1.0, OTHERS_ODDS)
        index = torch.multinomial(odds, r.batch, generator=draw)
        turns, mirror = int(torch.randint(4, (), generator=draw)), bool(torch.randint(2, (), generator=draw))
        return turned(pool[index], turns, mirror)

    def _draw(self) -> torch.Generator:
        """Of this step."""
        return torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + self.step)

    def _up_to(self, pieces: int) -> Surveys:
        while self._pieces < pieces:
            new = piece(self.scenes, len(VALIDATION) + self._pieces)
            self._pool = [Surveys.joined([*self._pool, new])]
            self._pieces += 1
        return self._pool[0]

    def score(self, network: LKMag) -> SurveyorScore:
        """On the development scenes."""
        return validate(network, Surveys.joined([piece(self.scenes, number) for number in VALIDATION]))


def jittered(surveys: Surveys, sigma: float, draw: torch.Generator) -> Surveys:
    """The same with another noise told on each level, but no less than is assumed at least."""

    def told(noise: Tensor) -> Tensor:
        return noise * (sigma * torch.randn(noise.shape, generator=draw)).exp()

    cells = surveys.cells
    fine = replace(cells.fine, noise=torch.maximum(told(cells.fine.noise), cells.least_noise))
    coarse = replace(cells.coarse, noise=told(cells.coarse.noise))
    return replace(surveys, cells=replace(cells, fine=fine, coarse=coarse))


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a displacement is worth, ``(N,)`` each."""

    error: Tensor
    """Mean end-point error in px of places that count, as the next one."""
    length: Tensor
    """Mean length of the motion."""
    slope: Tensor
    """Of found on true displacement, by what they change in the picture."""
    floor: Tensor
    abrupt: Tensor
    """Whether something in front moves on its own."""


def answered(network: LKMag, surveys: Surveys) -> Tensor:
    """The displacement of every cell, ``(N, 2, h, w)`` in px, as the magnifier takes it."""
    if network.surveyor is None:
        return surveys.cells.found
    return torch.lerp(surveys.cells.found, *network.surveyor.answer(surveys.cells))


def judged(found: Tensor, surveys: Surveys) -> Told:
    """Against the truth."""
    truth = surveys.truth
    length = truth.norm(dim=1)
    largest = length.amax((1, 2))
    moving = length > 0.1 * largest.view(-1, 1, 1)
    by_picture = _inner(product(surveys.products, truth) * moving[:, None])
    slope = (by_picture * _inner(found)).sum((1, 2, 3)) / (by_picture * _inner(truth)).sum((1, 2, 3)).clamp(min=1e-12)
    steps = [truth.diff(dim=dim).norm(dim=1).amax((1, 2)) for dim in (2, 3)]
    return Told(
        error=_mean_length(found - truth, surveys),
        length=_mean_length(truth, surveys),
        slope=slope,
        floor=surveys.floor.clamp(min=1e-4),
        abrupt=torch.maximum(*steps) > ABRUPT * largest,
    )


def _mean_length(vectors: Tensor, surveys: Surveys) -> Tensor:
    """Over places that count, ``(N,)``."""
    counted = _inner(surveys.counted)[:, 0] + 1e-3
    lengths = (_inner(vectors).square().sum(1) + 1e-10).sqrt()
    return (lengths * counted).sum((1, 2)) / counted.sum((1, 2))


def _inner(values: Tensor) -> Tensor:
    return values[..., BORDER_CELLS:-BORDER_CELLS, BORDER_CELLS:-BORDER_CELLS]


@torch.no_grad()
def validate(network: LKMag, surveys: Surveys) -> SurveyorScore:
    """Of scenes that move."""
    used = surveys[(surveys.strength > 0).nonzero()[:, 0]]
    told = judged(answered(network, used), used)
    over, error = used.strength / told.floor, (told.error / told.length.clamp(min=1e-3)).log()
    return SurveyorScore(
        error=float(error[used.noisy & (over >= FAINT)].mean().exp()),
        faint_error=float(error[used.noisy & (over < FAINT)].mean().exp()),
        coded_error=float(error[used.coded & (over >= FAINT)].mean().exp()),
        gain=float(told.slope[used.noisy & (over > 3) & ~told.abrupt].mean()),
    )
