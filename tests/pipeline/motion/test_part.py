"""What mask and alpha leave alone is not computed, and what they touch comes out as in the whole picture."""

from __future__ import annotations

from fractions import Fraction

import pytest
import synth
import torch
from magplus.models.contracts import Surroundings
from magplus.models.lkmag import arch
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.motion.band import Band
from magplus.pipeline.motion.magnify import magnify
from magplus.pipeline.motion.masks import grown
from magplus.pipeline.motion.part import part_around, touched_by

SIZE = (352, 384)
FIELD = synth.total(synth.bump(190, 180, 20, 0.4, -0.3), synth.bump(350, 20, 15, 0.5, 0.4), synth.shift(0.1, -0.05))
TEXTURE = synth.Texture(4, waves=24, shortest_px=5, longest_px=250)
LEVEL = 1 / 255


class Whole:
    """The built-in magnifier, given whole pictures."""

    name, alpha_range = "lkmag", arch.builtin().alpha_range

    def __init__(self):
        inner = arch.builtin()
        self.prepare, self.run, self.displacement, self.render = (
            inner.prepare, inner.run, inner.displacement, inner.render,
        )  # fmt: skip


class Seen(Whole):
    """The built-in magnifier, and the sizes of the parts that it made."""

    def __init__(self):
        super().__init__()
        inner, self.sizes = arch.builtin(), []
        self.surroundings, self.prepare_part = inner.surroundings, inner.prepare_part

        def displacement(state, frames):
            found = inner.displacement(state, frames)
            self.sizes.append(tuple(found.shape[-2:]))
            return found

        self.displacement = displacement


@pytest.fixture(scope="module")
def pictures():
    return torch.stack([synth.render(TEXTURE, f, *SIZE) for f in (synth.shift(0, 0), FIELD)])


def noisy(pictures, noise):
    noise = noise * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1))
    return ((pictures + noise).clamp(0, 1) * 255).round() / 255


def box(rows, columns):
    mask = torch.zeros(SIZE)
    mask[rows, columns] = 1
    return mask


def joined(chunks):
    return torch.cat(list(chunks))


@pytest.mark.parametrize("noise", [0.0, 0.03])
@pytest.mark.parametrize("where", [(slice(150, 210), slice(160, 223)), (slice(0, 50), slice(321, 384))])
def test_a_part_comes_out_as_in_the_whole_picture(pictures, noise, where):
    clip, mask = TensorClip(noisy(pictures, noise)), box(*where)
    part, whole = (joined(magnify(clip, m, alpha=8.0, mask=mask)) for m in (arch.builtin(), Whole()))
    outside, inside = mask == 0, mask > 0
    assert torch.equal(part[..., outside], clip.frames[..., outside])
    error = (part - whole)[1][:, inside].abs()
    assert error.max() < (2 * LEVEL if noise else 0.1 * LEVEL) and error.mean() < 1e-3
    assert (part - clip.frames)[1][:, inside].abs().max() > 8 * LEVEL


def test_a_map_is_a_mask_too(pictures):
    alpha = 1 + 5 * box(slice(160, 200), slice(165, 205))
    magnifier = Seen()
    part, whole = (joined(magnify(TensorClip(pictures), m, alpha=alpha)) for m in (magnifier, Whole()))
    assert torch.equal(part[..., alpha == 1], pictures[..., alpha == 1])
    assert (part - whole).abs().max() < LEVEL
    assert magnifier.sizes == [(320, 320)]


def test_what_moves_from_far_away_is_still_seen(pictures):
    """80 px of magnified motion reach beyond the room that a part has at first."""
    far = torch.stack([pictures[0], synth.render(TEXTURE, synth.bump(190, 180, 60, 10.0, 0.0), *SIZE)])
    mask, magnifier = box(slice(160, 200), slice(180, 200)), Seen()
    part, whole = (joined(magnify(TensorClip(far), m, alpha=8.0, mask=mask)) for m in (magnifier, Whole()))
    assert (part - whole).abs().max() < LEVEL
    assert len(magnifier.sizes) == 2 and magnifier.sizes[0] != magnifier.sizes[1]


def test_nothing_is_computed_where_nothing_can_change(pictures):
    magnifier = Seen()
    for about in ({"alpha": 1.0}, {"alpha": 8.0, "mask": torch.zeros(SIZE)}, {"alpha": torch.ones(SIZE)}):
        for band in (None, Band(high_hz=5.0)):
            out = joined(magnify(TensorClip(pictures), magnifier, band=band, **about))
            assert torch.equal(out, pictures)
    assert magnifier.sizes == []


def test_masks_per_frame_share_a_part_and_a_later_beginning_changes_no_bit(pictures):
    frames = torch.cat([pictures[i % 2 : i % 2 + 1] for i in range(5)])
    masks = torch.stack([box(slice(150, 170), slice(166 + 2 * i, 186 + 2 * i)) for i in range(5)])
    per_frame = TensorClip(masks[:, None].expand(-1, 3, -1, -1))
    about = {"alpha": 6.0, "mask": per_frame, "grow_mask_px": 3}
    magnifier = Seen()
    whole = joined(magnify(TensorClip(frames), magnifier, **about))
    assert set(magnifier.sizes) == {(320, 320)}
    assert torch.equal(joined(magnify(TensorClip(frames), arch.builtin(), first=4, **about)), whole[4:])
    far = grown(masks, 3) == 0
    assert all(torch.equal(a[:, out], b[:, out]) for a, b, out in zip(whole, frames, far, strict=True))


def test_a_band_is_measured_on_the_part_alone(pictures):
    frames = torch.cat([pictures[i % 2 : i % 2 + 1] for i in range(4)])
    about = {"alpha": 6.0, "mask": box(slice(0, 40), slice(330, 384)), "band": Band(low_hz=6)}
    clip, magnifier = TensorClip(frames, rate=Fraction(25)), Seen()
    part, whole = (joined(magnify(clip, m, **about)) for m in (magnifier, Whole()))
    assert (part - whole).abs().max() < LEVEL and (part - frames).abs().max() > 3 * LEVEL
    assert set(magnifier.sizes) == {(288, 288)}


def test_parts_lie_on_the_grid_and_in_the_picture():
    needs = Surroundings(reach_px=20, aligned_px=16, least_px=64)
    touched = torch.zeros(200, 150, dtype=torch.bool)
    touched[100, 70] = True
    part = part_around(touched, needs, 10)
    assert (part.rows, part.columns) == (slice(64, 144), slice(32, 112))
    touched = torch.zeros(200, 150, dtype=torch.bool)
    touched[199, 0] = True
    part = part_around(touched, needs, 0)
    assert (part.rows, part.columns) == (slice(128, 200), slice(0, 64))
    touched[:] = True
    part = part_around(touched, needs, 5)
    assert part.of(torch.zeros(3, 200, 150)).shape == (3, 200, 150)


def test_touched_is_all_that_any_frame_magnifies():
    masks = torch.zeros(5, 1, 9, 9)
    masks[0, 0, 1, 1], masks[4, 0, 7, 7] = 0.2, 1.0
    picture, alpha = torch.zeros(3, 9, 9), torch.full((9, 9), 4.0)
    alpha[7, 8] = 1.0
    found = touched_by(alpha, TensorClip(masks.expand(-1, 3, -1, -1)), picture, 1)
    assert found.nonzero().tolist() == [[0, 1], [1, 0], [1, 1], [1, 2], [2, 1], [6, 7], [7, 6], [7, 7], [8, 7]]
