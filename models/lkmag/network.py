# SPDX-License-Identifier: Apache-2.0
"""lkmag: a magnifier that measures the displacement, scales it, and moves the pixels of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import check_picture, check_same_size
from ..contracts import AlphaRange, Part, Surroundings
from ..filters import double_displacement, gaussian_blur, wide_blur
from ..medians import medians
from ..sampling import invert, pixel_grid, sample_linear, sample_spline, spline_coefficients
from .bands import bands
from .blocks import SAMPLED
from .cells import CELL_PX, Cells, Settled, cells_of
from .doubt import Proposal, believed, judged
from .levels import ReferenceLevel, coefficients_of, pyramid, reference_level, rounding_noise
from .light import light_between
from .prior import Estimate, Unexplained, by_windows, unexplained, weigh
from .refiner import Refiner, Warps
from .surveyor import Surveyor
from .weigher import WindowWeigher

STEPS = (3, 2, 2, 3)
"""Gauss-Newton steps per pyramid level, finest first. More at the finest level fit noise; the coarsest must catch
motions of tens of px."""

UNKNOWN_PX = 4.0
"""Motion to be expected at the coarsest level, in its px, before anything was measured."""

DAMPING = 1e-6
"""Added to the structure tensor: squared gradient (per px) of a texture too weak to measure. A hundred times more
shrinks what faint skin shows by up to a third, without any noise."""

GRAIN = 0.4
"""How far the finish goes where both pictures differ by noise alone. All the way it gains 1 to 7 dB more, and faint
texture goes with the noise, by which motion is seen: with 0.4 of it points are found 0.56 to 0.92 times as far from
their places (two scenes each at alpha 8, 16 and 32, noise 0.01, 0.02 and 0.05)."""
GRAIN_PER_VARIANCE = 25.0
"""The more noise, the less faint texture is left in it to be kept: at noise 0.05 0.57 of the finish are taken."""

SMOOTHING_PX = 1.5
"""Blur of the displacement after every step of the prior: keeps single-pixel outliers of small windows out."""


ALIGNED_PX = 32
"""Parts begin at multiples of it: three times halved by the pyramid, twice more by the widest blur of a level."""

AROUND_PART_PX = 96
"""How far around a part evidence is gathered: the surveyor's neighbourhoods. With 64 px of it, as far as windows and
the other networks reach, single pixels come out up to 9 levels of 8 bits otherwise than in the whole picture (alpha 8,
noise 0.03)."""

LEAST_PX = 288
"""Sides of a part: enough pixels to tell the noise."""

WHOLE_FROM = 2
"""The pyramid's level from which on the whole picture is seen, whatever part of it is wanted: the windows of coarse
levels reach for hundreds of px, and these levels have a twelfth of the pixels."""


@dataclass(frozen=True, kw_only=True)
class LKState:
    """A reference, prepared once per clip and alpha; or as many as there will be frames."""

    reference: Tensor
    coefficients: Tensor
    levels: Sequence[ReferenceLevel]
    alpha: Tensor
    """``(1, 1, H, W)``, or ``(B, 1, 1, 1)`` for B references."""
    part: Part | None = None
    """What the finer levels, ``reference``, its coefficients and ``alpha`` show of the picture; None: all of it."""

    def seen(self, pictures: Tensor) -> list[Tensor]:
        """What each level sees of whole pictures ``(N, 3, H, W)``."""
        return _seen(pictures, self.part)


class LKMag(nn.Module):
    """Magnifier with an explicit displacement (`models.contracts.DisplacementMagnifier`).

    All networks are optional: without them, or with an untrained weigher and refiner, this is the Lucas-Kanade prior
    alone. That one stays where noise explains what the windows see, unless ``may_stay`` is false.
    """

    name = "lkmag"
    alpha_range = AlphaRange(low=1 / 32, high=32)

    def __init__(
        self,
        *,
        weigher: WindowWeigher | None = None,
        refiner: Refiner | None = None,
        surveyor: Surveyor | None = None,
        may_stay: bool = True,
    ) -> None:
        super().__init__()
        self.weigher = weigher
        self.refiner = refiner
        self.surveyor = surveyor
        self.may_stay = may_stay

    def prepare(self, reference: Tensor, alpha: float | Tensor = 1.0) -> LKState:
        """State for a reference ``(3, H, W)``, H and W >= 16; ``alpha`` is a number or a map ``(H, W)``."""
        check_picture(reference)
        return self._state(reference[None], _factor(alpha, reference), None)

    def surroundings(self, alpha: float) -> Surroundings:
        """Windows of coarse levels and the picture's noise reach farther, but little: docs/lkmag.md has the numbers."""
        return Surroundings(reach_px=AROUND_PART_PX, aligned_px=ALIGNED_PX, least_px=LEAST_PX)

    def prepare_part(self, reference: Tensor, alpha: float | Tensor, part: Part) -> LKState:
        """State for a part of a reference ``(3, H, W)``; the coarse levels see all of it."""
        check_picture(reference)
        return self._state(reference[None], _factor(alpha, reference), part)

    def prepare_pairs(self, references: Tensor, alpha: Tensor) -> LKState:
        """State for ``references (N, 3, H, W)``, one per frame; ``alpha`` is ``(N, 1, 1, 1)``."""
        return self._state(references, alpha, None)

    def _state(self, references: Tensor, alpha: Tensor, part: Part | None) -> LKState:
        images = references.float()
        noise = rounding_noise(images)
        levels = [
            reference_level(level, damping=DAMPING, least_noise=noise, halvings=index)
            for index, level in enumerate(_seen(images, part))
        ]
        if part is not None:
            images, alpha = part.of(images), part.of(alpha) if alpha.shape[-1] > 1 else alpha
        return LKState(
            reference=images, coefficients=spline_coefficients(images), levels=levels, alpha=alpha, part=part
        )

    def displacement(self, state: LKState, frames: Tensor) -> Tensor:
        """Displacement of the reference's pixels, or a part's, to each whole frame, ``(N, 2, H, W)`` in px."""
        return self.estimates(state, frames)[0]

    def measurer(self) -> LKMag:
        """The windows alone, to measure with: they shrink nothing; noise keeps its size and is known for noise."""
        return LKMag(may_stay=False)

    def displacements(self, state: LKState, frames: Tensor) -> tuple[Tensor, Tensor]:
        """`displacement`, and what the windows alone say in its last step, before anyone could take it for noise."""
        if self.weigher is None:
            found = self.displacement(state, frames)
            return found, found
        aside: list[Tensor] = []
        found = self.estimates(state, frames, aside)[0]
        return found, aside[0]

    def estimates(self, state: LKState, frames: Tensor, aside: list[Tensor] | None = None) -> list[Tensor]:
        """The displacement on every pyramid level, finest first, in that level's px.

        ``aside`` is given what the windows alone say in the finest level's last step.

        Gradients reach the networks through one level at a time: every level is told its own truth in training, and the
        search of the prior, which has nothing to learn, keeps no graph.
        """
        alone = [] if aside is None and self.surveyor is not None else aside
        steps = self._search(state, frames, alone)
        found = [step.after.displacement for step in steps]
        if self.surveyor is not None and len(steps) > 1 and alone:
            cells = cells_of(steps[0], steps[1], alone[0])
            found[0] = believed(_surveyed(self.surveyor, found[0], cells), state.levels[0], cells.codec)
        return found

    def cells(self, state: LKState, frames: Tensor) -> Cells:
        """What a surveyor is told. The picture must have two pyramid levels: 24 px and more."""
        alone: list[Tensor] = []
        steps = self._search(state, frames, alone)
        return cells_of(steps[0], steps[1], alone[0])

    def _search(self, state: LKState, frames: Tensor, aside: list[Tensor] | None) -> list[Settled]:
        """The last step of every level, finest first."""
        if state.part is None:
            check_same_size(state.reference, frames)
        coefficients = coefficients_of(state.seen(frames.float()))
        coarsest = state.levels[-1].image
        unknown = coarsest.new_full((len(frames), *coarsest.shape[-2:]), UNKNOWN_PX**2)
        nothing = coarsest.new_zeros(len(frames), 2, *coarsest.shape[-2:])
        now = Estimate(displacement=nothing, error=unknown, variance=unknown)
        steps = []
        for index in reversed(range(len(state.levels))):
            level = state.levels[index]
            now = _finer(now, (level.image.shape[-2], level.image.shape[-1]))
            steps.append(self._settle(level, coefficients[index], now, aside))
            now = steps[-1].after
            now = replace(now, displacement=now.displacement.detach())
            if state.part is not None and index == WHOLE_FROM:
                seen = _halved(state.part, index)
                now = now.at(seen.rows, seen.columns)
        return steps[::-1]

    def _settle(
        self, level: ReferenceLevel, coefficients: Tensor, now: Estimate, aside: list[Tensor] | None
    ) -> Settled:
        grid = pixel_grid(*level.image.shape[-2:], like=now.displacement)
        for step in reversed(range(STEPS[level.halvings])):
            before = now
            with torch.no_grad():
                left = unexplained(level, coefficients, grid, before, settled=not step)
            now = self._step(level, left, before, aside, last=not step)
        return Settled(level=level, before=before, left=left, after=now)

    def _step(
        self, level: ReferenceLevel, left: Unexplained, now: Estimate, aside: list[Tensor] | None, *, last: bool
    ) -> Estimate:
        """The next estimate; a level's last one by the network, and without what noise explains."""
        weigher = self.weigher if last else None
        finest = last and not level.halvings
        found, plain, proposals = [], [], []
        for rows, kept in bands(*level.image.shape[-2:]):
            near = now.at(rows)
            with torch.no_grad():
                evidence = weigh(level.at(rows), left.at(rows), near)
            found.append(by_windows(evidence, near, may_stay=self.may_stay or not finest).at(kept))
            if finest and aside is not None:
                plain.append(by_windows(evidence, near, may_stay=False).at(kept))
            if weigher is not None:
                proposals.append(weigher(evidence, near.displacement).at(kept))
        if finest and aside is not None:
            aside.append(smoothed(Estimate.joined(plain).displacement))
        estimate = Estimate.joined(found)
        displacement = estimate.displacement
        if proposals:
            displacement = judged(Proposal.joined(proposals), level, left.blocks.sure)
        return replace(estimate, displacement=smoothed(displacement))

    def render(
        self,
        state: LKState,
        frames: Tensor,
        displacement: Tensor,
        mask: Tensor | None = None,
        part: Tensor | None = None,
    ) -> Tensor:
        """Frames ``(N, 3, H, W)`` whose material points stand at alpha times ``displacement`` from the reference.

        Where ``mask`` (``(H, W)`` or ``(N, H, W)``) is below 1, alpha goes linearly to 1. With ``part`` alpha acts on
        that part of the displacement alone.

        Reference and frame are sampled at the same material points; their difference is appearance that is no motion.
        It follows alpha up to 1 and stays at full strength beyond, except where it is no larger than noise.
        """
        warps = self.warps(state, frames, displacement, mask, part)
        grain = (GRAIN + GRAIN_PER_VARIANCE * warps.noise**2).clamp(max=1)
        return torch.lerp(warps.blended(), self.finished(warps), grain + (1 - grain) * warps.changed).clamp(0, 1)

    def finished(self, warps: Warps) -> Tensor:
        """What the refiner makes of them, the whole of which it learns by; `render` takes a part."""
        if self.refiner is None:
            return warps.blended()
        parts = [self.refiner(warps.at(rows))[..., kept, :] for rows, kept in bands(*warps.moved.shape[-2:])]
        return torch.cat(parts, 2)

    def warps(
        self,
        state: LKState,
        frames: Tensor,
        displacement: Tensor,
        mask: Tensor | None = None,
        part: Tensor | None = None,
    ) -> Warps:
        """What `render` blends, from its arguments."""
        coefficients = spline_coefficients(frames.float())
        alpha = state.alpha
        if mask is not None:
            alpha = 1 + mask.to(frames).view(-1, 1, *mask.shape[-2:]) * (alpha - 1)
        wanted = alpha * displacement if part is None else displacement + (alpha - 1) * part
        origin = invert(wanted)
        at_origin = sample_linear(displacement, origin)
        still = sample_spline(state.coefficients.expand(len(frames), -1, -1, -1), origin)
        moved = sample_spline(coefficients, origin + at_origin)
        # Light is no motion: it follows alpha up to 1, and both samples are brought to it before they are compared.
        light, share = light_between(still, moved).on(still), alpha.clamp(0, 1)
        still, moved = still + share * light, moved - (1 - share) * light
        blend, changed, noise = _share_of_frame(still, moved, alpha)
        return Warps(
            still=still,
            moved=moved,
            motion=sample_linear(wanted, origin),
            alpha=alpha,
            blend=blend,
            changed=changed,
            noise=noise,
        )

    def run(self, state: LKState, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Magnified frames ``(N, 3, H, W)`` in [0, 1], ``mask`` as in `render`."""
        own = frames if state.part is None else state.part.of(frames)
        return self.render(state, own, self.displacement(state, frames), mask)


def _factor(alpha: float | Tensor, reference: Tensor) -> Tensor:
    """A number or a map as `LKState.alpha`."""
    factor = torch.as_tensor(alpha, dtype=torch.float32, device=reference.device)
    return factor.expand(1, 1, *factor.shape) if factor.ndim == 2 else factor.view(1, 1, 1, 1)


def _seen(pictures: Tensor, part: Part | None) -> list[Tensor]:
    """The pyramid of whole pictures, its finer levels cut to a part."""
    levels = pyramid(pictures, len(STEPS))
    if part is None:
        return levels
    return [_halved(part, i).of(level) if i < WHOLE_FROM else level for i, level in enumerate(levels)]


def _halved(part: Part, times: int) -> Part:
    """A part that begins at multiples of `ALIGNED_PX`, on a level of the pyramid."""
    rows, columns = (slice(s.start >> times, -(-s.stop >> times)) for s in (part.rows, part.columns))
    return Part(rows=rows, columns=columns, size=(-(-part.size[0] >> times), -(-part.size[1] >> times)))


def _finer(estimate: Estimate, size: tuple[int, int]) -> Estimate:
    """The estimate of one level on the grid of the next, or as it is where it has that size already."""
    if estimate.displacement.shape[-2:] == size:
        return estimate
    squares = torch.stack([estimate.error, estimate.variance], 1)
    error, variance = (4 * F.interpolate(squares, size=size, mode="nearest")).unbind(1)
    return Estimate(displacement=double_displacement(estimate.displacement, size), error=error, variance=variance)


def _surveyed(surveyor: Surveyor, found: Tensor, cells: Cells) -> Tensor:
    """The displacement ``(N, 2, H, W)`` where it is clear, and what the surveyor makes of its cells elsewhere."""
    answer = torch.cat(surveyor.answer(cells), 1)
    # align_corners=False: areas of cells and of pixels coincide.
    answer = F.interpolate(answer, scale_factor=CELL_PX, mode="bicubic", align_corners=False)
    answer = answer[..., : found.shape[-2], : found.shape[-1]]
    return torch.lerp(found, answer[:, :2], answer[:, 2:].clamp(0, 1))


def smoothed(displacement: Tensor) -> Tensor:
    """Blur without shrinking peaks: what the blur took away is blurred and given back (Tukey's twicing)."""
    once = gaussian_blur(displacement, SMOOTHING_PX)
    return once + gaussian_blur(displacement - once, SMOOTHING_PX)


def _share_of_frame(still: Tensor, moved: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weight of the frame's pixels against the reference's, ``(N, 1, H, W)``: 0 at alpha 0 and 1 at alpha 1, exactly.

    Above 1 the weight falls towards one half where both pictures differ by noise only: two noisy copies of a pixel are
    averaged. Where they differ by more (shading, wrinkles, occlusion) the frame is kept.

    Below 1 the weight is alpha. Where the displacement is off by e, the reference's pixels then stand off by alpha e
    to one side and the frame's by (1 - alpha) e to the other: in this mixture both cancel, in any other the error of
    the displacement enters divided by alpha, at 1/32 more than thirtyfold. So a network may leave it only as far
    as the second result says, ``(N, 1, H, W)`` in [0, 1]: where both clearly differ by more than noise. Third comes
    the sigma of that noise, ``(N, 1, 1, 1)``.
    """
    difference = (moved - still).square().mean(1, keepdim=True)
    noise = medians(difference.flatten(1)[:, ::SAMPLED]).view(-1, 1, 1, 1) / 0.455
    local = wide_blur(difference, 2.4)
    like_noise = (1.5 - local / (2 * noise + 1e-9)).clamp(0, 1)
    average = (1 - 1 / alpha.clamp(min=1)) * 0.5 * like_noise
    changed = (local / (2 * noise + 1e-9) - 1.5).clamp(0, 1).detach()
    # What is measured is no way to please a loss, and a root has no gradient where two pictures agree to the last bit.
    return alpha.clamp(0, 1) * (1 - average), changed, noise.detach().sqrt()
