# SPDX-License-Identifier: Apache-2.0
"""lkmag's recipe: three phases on rendered scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ...models.lkmag.network import LKMag
from ...models.lkmag.refiner import Refiner
from ...models.lkmag.weigher import WindowWeigher
from .losses import flow_loss, gain_loss, motion_loss, picture_loss
from .pieces import PieceRecipe, PieceTrainer
from .scenes import Batch, render_batch
from .validate import Score, validate

TRAINING = 0x7EA1
"""Part of the seeds of training scenes, and of no others."""


@dataclass(frozen=True, kw_only=True)
class Recipe(PieceRecipe):
    """Everything a run depends on besides its seed's pictures."""

    steps: int = 2300
    size_px: int = 72
    reuse: int = 6
    """How often a scene is shown, each time with another symmetry."""
    chapter: int = 45
    """Steps that draw from one set of scenes."""
    weigher_width: int = 40
    refiner_width: int = 48
    learning_rate: float = 1.5e-3
    least_rate: float = 5e-5
    settle_part: float = 0.25
    flow_part: float = 0.06
    """Part of the steps at the beginning that learn the displacement alone."""
    joint_every: int = 3
    """Every so many steps the picture's error reaches the displacement too; in between the refiner learns alone, for
    half the work."""


class Trainer(PieceTrainer[Recipe, LKMag, Batch]):
    """lkmag's two networks in training."""

    architecture, recipe_type, warm_up = "lkmag", Recipe, 20

    @staticmethod
    def make(recipe: Recipe) -> LKMag:
        """Both networks at rest: they leave the prior as it is."""
        return LKMag(weigher=WindowWeigher(width=recipe.weigher_width), refiner=Refiner(width=recipe.refiner_width))

    @classmethod
    def chosen(cls, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """All but a surveyor, which is trained beside weights that stay."""
        return {name: value for name, value in tensors.items() if not name.startswith("surveyor.")}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Displacement first, then everything."""
        network = self.network
        state = network.prepare_pairs(batch.reference, batch.alpha)
        windows: list[Tensor] = []
        found = network.estimates(state, batch.frame, windows)
        gain = gain_loss(found[0], batch.displacement, windows[0])
        losses = {"flow": flow_loss(found, batch.displacement), "gain": 3.0 * gain}
        if self.step < self.recipe.flow_part * self.recipe.steps or network.refiner is None:
            return losses
        joint = self.step % self.recipe.joint_every == 0
        with torch.set_grad_enabled(joint):
            warps = network.warps(state, batch.frame, found[0])
        picture = network.refiner(warps)
        losses["picture"] = picture_loss(picture, batch.truth)
        if joint:
            losses["before"] = 0.5 * picture_loss(warps.blended(), batch.truth)
        losses["motion"] = 3 * motion_loss(picture, batch)
        return losses

    def batch(self) -> Batch:
        """Scenes of this step: drawn from its chapter's, turned and mirrored."""
        r = self.recipe
        chapter = self.step // r.chapter
        scenes = _chapter(r.seed, chapter, max(r.batch, r.batch * r.chapter // r.reuse), r.size_px)
        draw = torch.Generator().manual_seed(r.seed * 1_000_003 + self.step)
        index = torch.randperm(len(scenes.reference), generator=draw)[: r.batch]
        turn, mirror = int(torch.randint(4, (), generator=draw)), bool(torch.randint(2, (), generator=draw))
        return turned(scenes, index, turn, mirror)

    def score(self, network: LKMag) -> Score:
        """On the development scenes."""
        return validate(network)


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
