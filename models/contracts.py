# SPDX-License-Identifier: Apache-2.0
"""What a magnifier, a flow estimator and an animation backbone promise to the pipeline.

Frames are float32 RGB in [0, 1], ``(3, H, W)`` for one and ``(N, 3, H, W)`` for several. Displacements are in px,
``(N, 2, H, W)`` with channel 0 = x (to the right) and channel 1 = y (downwards). Nothing is kept on ``self`` between
calls: what a clip needs travels in the returned state, so that two branches of a graph cannot disturb each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

Guides = Mapping[str, Any]
"""What a backbone needs beyond pixels, by the names in its ``guide_names``.

Those about the portrait start with ``source`` and are all that `AnimationBackbone.encode_source` is given. A value that
belongs to the driving clip frame by frame is wrapped in `PerFrame` until the backbone gets its part.
``motion_strength`` is a number, 1 where it is not given: the motion is scaled by it in the model's own space.
"""


@dataclass(frozen=True, kw_only=True)
class AlphaRange:
    """Magnification factors that a magnifier takes, both ends included."""

    low: float
    high: float
    trained_from: float = 0.0
    """Below it the factor is taken, but the weights never saw one: the caller is warned."""

    def __contains__(self, alpha: float) -> bool:
        return self.low <= alpha <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some rows and columns of pictures of one ``size`` (H, W)."""

    rows: slice
    columns: slice
    size: tuple[int, int]

    def of(self, pictures: Tensor) -> Tensor:
        """That part of ``(..., H, W)``, a view."""
        return pictures[..., self.rows, self.columns]


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What must be seen around the place where a pixel comes from, to make of a part what is made of the whole."""

    reach_px: int
    """On every side, where the picture does not end before."""
    aligned_px: int
    """A part begins at multiples of so many px, so that the grids of all halved pictures stay where they were."""
    least_px: int = 1
    """Sides are no shorter where the picture's are not."""


class Magnifier(Protocol):
    """Moves every material point of a reference by ``alpha`` times its displacement to a frame."""

    name: str
    alpha_range: AlphaRange

    def prepare(self, reference: Tensor, alpha: float | Tensor) -> Any:
        """State for one reference ``(3, H, W)``; ``alpha`` is a number or a map ``(H, W)``."""
        ...

    def run(self, state: Any, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Magnified frames ``(N, 3, H, W)``.

        ``mask`` is ``(H, W)``, or ``(N, H, W)`` for one per frame; between its 1 and its 0 the factor goes from alpha
        to 1, which leaves a frame as it is.
        """
        ...


class WorksOnParts(Magnifier, Protocol):
    """A magnifier that is given no more of a picture than its result depends on."""

    def surroundings(self, alpha: float) -> Surroundings:
        """What it sees around a pixel at a factor; of a map the largest."""
        ...

    def prepare_part(self, reference: Tensor, alpha: float | Tensor, part: Part) -> Any:
        """As `prepare`, of the same whole pictures, to make that part of whole frames.

        `run` and `displacement` are given whole frames and make the part; masks, displacements and the frames for
        `render` are the part's alone.
        """
        ...


class DisplacementMagnifier(Magnifier, Protocol):
    """A magnifier whose displacement is explicit, which measuring, targeting and `pixels=source` build on."""

    def measurer(self) -> DisplacementMagnifier:
        """The magnifier to measure with: this one, or one that shrinks no motion for the picture's sake."""
        ...

    def displacement(self, state: Any, frames: Tensor) -> Tensor:
        """Displacement in px of each pixel of the reference to each frame, ``(N, 2, H, W)``, before ``alpha``."""
        ...

    def render(
        self, state: Any, frames: Tensor, displacement: Tensor, mask: Tensor | None = None, part: Tensor | None = None
    ) -> Tensor:
        """Frames as `run` gives them, with a displacement of the caller's in place of the measured one.

        With ``part`` ``(N, 2, H, W)`` alpha acts on that part of the displacement alone, such as a band of frequencies;
        the rest stays as it is.
        """
        ...


class MeasuresAside(DisplacementMagnifier, Protocol):
    """A displacement magnifier that shrinks noise for the picture's sake, and tells what it measured before."""

    def displacements(self, state: Any, frames: Tensor) -> tuple[Tensor, Tensor]:
        """`displacement`, and the same as it was measured, whose noise is near to that of `measurer`, at no cost."""
        ...


class Learner(Protocol):
    """A magnifier whose weights are being trained: a copy, so that the one it was made of stays as it is."""

    @property
    def network(self) -> nn.Module:
        """All that is trained, and what has a training mode."""
        ...

    @property
    def learning_rate(self) -> float:
        """Of Adam, where the user gives none."""
        ...

    def magnified(self, reference: Tensor, frames: Tensor, alpha: Tensor) -> Tensor:
        """Magnified ``frames`` of pairs, all ``(N, 3, H, W)``, with one ``alpha`` ``(N,)`` each; gradients pass."""
        ...

    def magnifier(self) -> Magnifier:
        """What has been learned so far as a magnifier of its own, frozen, on the CPU."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """The same under the names of a weights file."""
        ...


class FlowEstimator(Protocol):
    """Optical flow, for losses and for measuring. Those that gradients pass through may be used in a loss."""

    name: str

    def flow(self, first: Tensor, second: Tensor, *, quick: bool = False) -> Tensor:
        """Flow in px ``(N, 2, H, W)`` from each pixel of ``first`` to ``second``, both ``(N, 3, H, W)`` of any size.

        ``quick`` asks a network that searches step by step for the few steps that a loss needs.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Framing:
    """Square crop a backbone wants: side ``scale`` x face-box height, moved down by ``shift_y`` sides, ``size`` px."""

    scale: float
    shift_y: float
    size: int


@dataclass(frozen=True, kw_only=True)
class DriveResult:
    """Generated frames ``(N, 3, H, W)`` and, where the backbone knows it, their foreground ``(N, H, W)`` in [0, 1]."""

    frames: Tensor
    mask: Tensor | None = None


class AnimationBackbone(Protocol):
    """A frozen generator: one portrait, moved as a driving clip moves. Some are `ChoosesReference` too."""

    name: str
    framing: Framing
    max_sources: int
    guide_names: frozenset[str]

    def encode_source(self, sources: Tensor, guides: Guides) -> Any:
        """SourceState of ``(N, 3, H, W)`` pictures of one person: expensive, depends on nothing but the source."""
        ...

    def set_reference(self, source_state: Any, frame: Tensor, guides: Guides) -> Any:
        """DriveState for the driving clip's reference ``(3, H, W)``: cheap, changes with every clip and alpha."""
        ...

    def drive(self, drive_state: Any, frames: Tensor, guides: Guides) -> DriveResult:
        """One generated picture per driving frame ``(N, 3, H, W)``; per-frame guides are sliced like the frames."""
        ...


@dataclass(frozen=True, kw_only=True)
class PerFrame:
    """A guide with one entry for each frame of the driving clip.

    `AnimationBackbone.set_reference` gets the reference's entry without the frame's dimension,
    `AnimationBackbone.drive` those of its frames, with it.
    """

    values: Tensor


class Fit(Protocol):
    """Something about the portrait that is found by optimisation before it can be encoded."""

    guide: str
    """Which guide the result is."""
    network: nn.Module
    values: Sequence[Any]
    """Tensors, or containers of them, that the optimisation works on."""

    def solve(self, network: nn.Module, values: Sequence[Any], tick: Callable[[int, int], None]) -> Any:
        """The guide's value; runs where gradients are possible. ``tick(done, total)`` after each step."""
        ...


class FitsSource(AnimationBackbone, Protocol):
    """A backbone that may have to fit a guide to the portrait."""

    def fit(self, sources: Tensor, guides: Guides) -> Fit | None:
        """What is to be fitted, None where the guides say it all."""
        ...


class Paced(AnimationBackbone, Protocol):
    """A backbone that is given fewer frames at once than others, so that progress keeps step with a slow one."""

    frames_at_once: int


class InOrder(AnimationBackbone, Protocol):
    """A backbone whose frames may depend on those before them: it cannot begin in the middle of a clip."""

    in_order: bool


class EncodesInSteps(AnimationBackbone, Protocol):
    """A backbone that encodes a portrait for so long that it tells how far it has got."""

    def encode_in_steps(self, sources: Tensor, guides: Guides, tick: Callable[[int, int], None]) -> Any:
        """As `encode_source`; ``tick(done, total)`` after each step."""
        ...


class ChoosesReference(AnimationBackbone, Protocol):
    """A backbone that can tell which driving frame is most like the portrait."""

    def choose_reference(self, source_state: Any, frames: Iterable[Tensor]) -> int:
        """Index of that frame, of a clip in chunks ``(N, 3, H, W)``; of equals the first."""
        ...
