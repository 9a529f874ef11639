# SPDX-License-Identifier: Apache-2.0
"""The closed loop: how many times larger a generated face moves than its original, as a whole and part by part.

A learned generator passes on brows less than a mouth, and one gain for the whole face cannot undo both. So the gain is
also told for each place of the face: the generated motion is regressed on the driver's, over all frames and a gaussian
window of `WINDOW` face widths. The driver is the magnified clip where there is one, as that shows its motion clearly;
how much it was magnified is measured in turn, over the whole face. Noise is taken out of all sums by second
differences. A window counts as much as the driver's motion in it stands out from noise, and as the generated motion
there is the driver's at all; the rest of its gain is that of the whole face.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...models.errors import MagPlusError
from ...models.geometry import FaceBox
from ..clip import Clip
from ..face.anatomy import REGIONS, FaceMap, region_mask
from ..measure import MotionComparison, compare, measure_stages
from ..measure.broken import runs_of
from ..measure.flow import DisplacementEstimator
from ..measure.grid import GRID, face_grid, mask_grid
from ..measure.modes import FieldSpool, Vectors
from ..progress import Progress, silent

Values = NDArray[np.float64]

GAINS = ("face", "regions")
"""What the closed loop may undo: one gain, or a gain for each part of the face."""
WINDOW = 0.1
"""Standard deviation of the window in face widths: half a brow, or a corner of the mouth."""
DOUBT = 0.3
"""Weight of the whole face's gain against a window that shows as much noise and foreign motion as motion."""
LIMIT = 4.0
"""How far a part's factor may be from the whole face's, in ratio. A part that is passed on four times less than the
rest shows mostly what the generator does of itself, which a larger factor would only enlarge."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalGain:
    """The gain of each place on a generated face: that of the whole face over ``relative``.

    ``relative`` ``(GRID, GRID)`` multiplies the whole face's factor, in [1 / LIMIT, LIMIT], on the cells of ``box``;
    ``size`` (height, width) is that of the generated picture.
    """

    whole: float
    relative: Values
    box: FaceBox
    size: tuple[int, int]

    def factors(self, factor: float) -> Tensor:
        """The factor at every pixel of the generated picture ``(H, W)``, where that of the whole face is ``factor``."""
        y, x = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in self.size), indexing="ij")
        turn = math.radians(self.box.angle_deg)
        x, y = x - self.box.cx, y - self.box.cy
        along = (math.cos(turn) * x + math.sin(turn) * y) * (2 / self.box.width)
        down = (math.cos(turn) * y - math.sin(turn) * x) * (2 / self.box.height)
        # align_corners=False: -1 and 1 are the edges of the box, which the cells divide evenly
        at = torch.from_numpy(np.stack([along, down], axis=-1)).float()[None]
        cells = torch.from_numpy(self.relative).float()[None, None]
        return factor * F.grid_sample(cells, at, mode="bilinear", padding_mode="border", align_corners=False)[0, 0]

    def by_region(self) -> dict[str, float]:
        """Gain of each of `anatomy.REGIONS`, where an average face has it."""
        face = FaceMap.from_box(self.box)
        shares = {name: mask_grid(region_mask(face, name, self.size), self.box) for name in REGIONS}
        return {
            name: self.whole / float((self.relative * share).sum() / share.sum())
            for name, share in shares.items()
            if share.max() > 0.5
        }

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {gain:.3g}" for name, gain in self.by_region().items())
        return f"{parts}; whole face {self.whole:.3g}"


@dataclass(frozen=True, kw_only=True)
class Loop:
    """What closes the loop: the generated clip against the original, and the gain by place if that was asked for."""

    face: MotionComparison
    local: LocalGain | None = None
    """None too where the whole face has no gain above zero: then there is no factor at all."""


def close_loop(
    clips: Mapping[str, Clip],
    boxes: Mapping[str, FaceBox],
    *,
    gain: str = "face",
    reference: int = 0,
    estimator: DisplacementEstimator,
    stage: str = "measure",
    progress: Progress = silent,
) -> Loop:
    """Measure "generated" against "input", along "magnified" where ``clips`` holds it; ``gain`` is one of `GAINS`."""
    if gain not in GAINS:
        raise MagPlusError(f"gain must be one of {', '.join(GAINS)}, not '{gain}'.")
    with ExitStack() as stack:
        tapes = {} if gain == "face" else {name: stack.enter_context(FieldTape()) for name in clips}
        about: Any = {"reference": reference, "estimator": estimator, "stage": stage, "progress": progress}
        curves = measure_stages(clips, boxes, watches=tapes, **about)
        found = compare(curves["input"], curves["generated"])
        if not tapes:
            return Loop(face=found)
        for name, tape in tapes.items():
            tape.leave_out(curves[name].left_out)
        info, original = clips["generated"].info, tapes["input"]
        local = local_gain(
            found,
            original=original.fields,
            driver=tapes.get("magnified", original).fields,
            generated=tapes["generated"].fields,
            box=boxes["generated"],
            size=(info.height, info.width),
        )
    return Loop(face=found, local=local)


class FieldTape:
    """A watch that keeps a clip's ``fields``: rows of 2 x GRID x GRID in percent of the face width."""

    def __init__(self) -> None:
        self.fields = FieldSpool(2 * GRID * GRID)

    def __enter__(self) -> FieldTape:
        return self

    def __exit__(self, *_: object) -> None:
        self.fields.close()

    def __call__(self, _: Tensor, __: Tensor, field: Tensor, place: FaceBox, /) -> None:
        self.fields.append(face_grid(field, place).reshape(len(field), -1))

    def leave_out(self, frames: Sequence[int]) -> None:
        """Take nothing from broken frames, as their curve does."""
        for run in runs_of(frames):
            self.fields.bridge(run)


@dataclass(frozen=True, eq=False)
class Rows:
    """Fields in memory, as `modes.Vectors`: ``(T, 2 x GRID x GRID)``."""

    values: Values

    def __len__(self) -> int:
        return len(self.values)

    def chunks(self) -> Iterator[Values]:
        """All at once."""
        yield self.values


def local_gain(
    face: MotionComparison,
    *,
    original: Vectors,
    driver: Vectors,
    generated: Vectors,
    box: FaceBox,
    size: tuple[int, int],
) -> LocalGain | None:
    """The gain of each place, see the module. The fields are rows of 2 x GRID x GRID in percent of the face width.

    ``driver`` is what drove the generator: the magnified clip, or the original itself. ``box`` and ``size`` say where
    the face is on the generated picture. None where the whole ``face`` has no gain above zero.
    """
    if face.gain is None or face.gain <= 0:
        return None
    counts = {len(original), len(driver), len(generated)}
    if len(counts) > 1:
        raise MagPlusError(
            f"The gain of regions is measured frame by frame, and the clips have {sorted(counts)} frames. Give clips "
            "of one length, or choose gain 'face'."
        )
    passed, power, own = _Sums.of(generated, driver), _Sums.of(driver, driver), _Sums.of(generated, generated)
    shown = power if driver is original else _Sums.of(original, driver)
    magnified = float(power.clean.sum() / shown.clean.sum()) if shown.clean.sum() > 0 else 0.0
    if magnified <= 0:  # noise alone: nothing stands out anywhere
        return LocalGain(whole=face.gain, relative=np.ones((GRID, GRID)), box=box, size=size)
    common = face.gain / magnified
    slope = _shrunk(_windowed(passed, box), _windowed(power, box), _windowed(own, box), common)
    return LocalGain(whole=face.gain, relative=_relative(slope / common), box=box, size=size)


@dataclass(frozen=True, kw_only=True)
class _Sums:
    """Sums over frames and both directions of products about the means, by cell, and noise's part of them."""

    total: Values
    noise: Values

    @property
    def clean(self) -> Values:
        return self.total - self.noise

    @classmethod
    def of(cls, first: Vectors, second: Vectors) -> _Sums:
        count, products, noise = 0, np.zeros(2 * GRID * GRID), np.zeros(2 * GRID * GRID)
        sums, tail = np.zeros((2, 2 * GRID * GRID)), np.zeros((2, 0, 2 * GRID * GRID))
        for rows in zip(first.chunks(), second.chunks(), strict=True):
            pair = np.stack(rows)
            count, sums = count + pair.shape[1], sums + pair.sum(axis=1)
            products += (pair[0] * pair[1]).sum(axis=0)
            joined = np.concatenate([tail, pair], axis=1)
            steps = np.diff(joined, n=2, axis=1)  # white noise has six times its variance in them
            noise, tail = noise + (steps[0] * steps[1]).sum(axis=0), joined[:, -2:]
        products -= sums[0] * sums[1] / max(count, 1)
        noise *= count / (6 * max(count - 2, 1))
        return cls(total=_by_cell(products), noise=_by_cell(noise))


def _by_cell(values: Values) -> Values:
    return values.reshape(2, GRID, GRID).sum(axis=0)


def _windowed(sums: _Sums, box: FaceBox) -> _Sums:
    """Sums over the window around each cell."""
    cells = np.subtract.outer(np.arange(GRID), np.arange(GRID)) / GRID
    across, down = (np.exp(-((cells * side) ** 2) / (2 * WINDOW**2)) for side in (1.0, box.height / box.width))
    return _Sums(total=down @ sums.total @ across, noise=down @ sums.noise @ across)


def _shrunk(passed: _Sums, power: _Sums, own: _Sums, common: float) -> Values:
    """Slope of the generated motion over the driver's in each window, drawn to ``common`` as far as it is unsure."""
    motion = np.maximum(power.clean, 0.0)
    foreign = own.total - passed.total**2 / np.maximum(power.total, 1e-30)
    doubt = DOUBT * (foreign / common**2 + np.maximum(power.noise, 0.0))
    return (passed.clean + doubt * common) / np.maximum(motion + doubt, 1e-30)


def _relative(gain: Values) -> Values:
    """Factors for gains, both in parts of the whole face's.

    Between 1 / LIMIT and 0 the factor goes back to 1: a part that does not follow the driver, or moves against it, is
    not brought back by enlarging it.
    """
    lowest = 1 / LIMIT
    weak = 1 + (LIMIT - 1) * np.clip(gain / lowest, 0.0, 1.0)
    return np.where(gain < lowest, weak, 1 / np.clip(gain, lowest, LIMIT))
