"""The survey of the two finest levels in cells: what it is told, what it may do, and where it is not asked."""

from dataclasses import replace

import pytest
import synth
import torch
from magplus.models.lkmag import arch
from magplus.models.lkmag.cells import ALIGNED_CELLS, CELL_PX
from magplus.models.lkmag.network import LKMag
from magplus.models.lkmag.refiner import Refiner
from magplus.models.lkmag.surveyor import FINE_CELLS, Surveyor, asked, offers_of
from magplus.models.lkmag.weigher import WindowWeigher

SIZE = 96
INNER = slice(4, -4)


def clip(field, noise, seed=5):
    """Reference and frames ``(2, 3, S, S)``, each with its own noise."""
    texture, draw = synth.Texture(seed), torch.Generator().manual_seed(seed)
    still = synth.render(texture, synth.shift(0, 0), SIZE, SIZE)
    moved = synth.render(texture, field, SIZE, SIZE).expand(2, -1, -1, -1)
    return still + noise * torch.randn(still.shape, generator=draw), moved + noise * torch.randn(
        moved.shape, generator=draw
    )


@pytest.fixture(scope="module")
def magnifier():
    return arch.freeze(LKMag(weigher=WindowWeigher(width=8), refiner=Refiner(width=8)))


def cells(magnifier, field, noise):
    reference, frames = clip(field, noise)
    return magnifier.cells(magnifier.prepare(reference), frames)


def share(told):
    return asked(told, offers_of(told))


def test_cells_hold_the_sums_of_both_levels(magnifier):
    reference, frames = clip(synth.shift(0.2, -0.1), 0.01)
    state = magnifier.prepare(reference)
    told = magnifier.cells(state, frames)
    fine, coarse = state.levels[0].products, state.levels[1].products
    assert told.found.shape == (2, 2, SIZE // CELL_PX, SIZE // CELL_PX)
    assert torch.allclose(told.fine.products[0, :, 2, 3], fine[0, :, 8:12, 12:16].sum((1, 2)), rtol=1e-4)
    # A px of the next level is two of the finest: slopes per px are half as large there.
    assert torch.allclose(told.coarse.products[0, :, 2, 3], coarse[0, :, 4:6, 6:8].sum((1, 2)) / 4, rtol=1e-4)
    assert told.coarse.displacement.mean((0, 2, 3)).tolist() == pytest.approx([0.2, -0.1], abs=0.03)


def test_cells_reach_beyond_pictures_of_any_size(magnifier):
    frames = torch.rand(1, 3, 37, 50)
    told = magnifier.cells(magnifier.prepare(frames[0]), frames)
    whole = CELL_PX * ALIGNED_CELLS
    assert told.found.shape[-2:] == (-(-37 // whole) * ALIGNED_CELLS, -(-50 // whole) * ALIGNED_CELLS)
    assert told.coarse.moments.shape[-2:] == told.fine.moments.shape[-2:] == told.found.shape[-2:]


def test_every_window_finds_a_motion_that_is_the_same_everywhere(magnifier):
    offers = offers_of(cells(magnifier, synth.shift(0.3, -0.2), 0.01))
    found = offers.displacement[..., INNER, INNER].mean((0, 3, 4))
    assert torch.allclose(found, torch.tensor([0.3, -0.2]).expand_as(found), atol=0.03)
    errors = (offers.displacement - torch.tensor([0.3, -0.2]).view(2, 1, 1)).square().sum(2)
    told = errors[..., INNER, INNER].mean((0, 2, 3)) / offers.error[..., INNER, INNER].mean((0, 2, 3))
    # Wider ones see the picture's edge, where few independent cells are left.
    assert (told[:2] > 0.4).all() and (told[:2] < 1.6).all(), "errors are as expected"


def test_a_surveyor_that_learned_nothing_weighs_by_expected_errors(magnifier):
    field = synth.shift(0.15, 0.1)
    answer, _ = Surveyor().answer(cells(magnifier, field, 0.03))
    truth = torch.tensor([0.15, 0.1]).view(2, 1, 1)
    # Some of it is lost to the choice of no motion, and to offers whose error may be as large as the motion.
    slope = (answer * truth)[..., INNER, INNER].sum() / (truth.square() * torch.ones_like(answer))[
        ..., INNER, INNER
    ].sum()
    assert 0.6 < slope < 1.02
    assert (answer - truth)[..., INNER, INNER].norm(dim=1).mean() < 0.4 * truth.norm()


def test_it_may_enlarge_a_motion_only_by_what_noise_may_have_taken(magnifier):
    told = cells(magnifier, synth.shift(0.4, 0.0), 0.01)
    plain, eager = Surveyor(), Surveyor()
    eager.head.bias.data[-1] = 9.0
    offers = offers_of(told)
    lifted = (eager(told, offers)[:, 0] / plain(told, offers)[:, 0])[..., INNER, INNER]
    may = 1 + 2 * (offers.typical_error / offers.typical_power)[..., INNER, INNER]
    assert torch.allclose(lifted, may.clamp(max=2), rtol=1e-3) and may.mean() < 1.2


def test_it_is_asked_where_motion_is_faint_and_beside_a_codec_but_not_for_mere_rounding(magnifier):
    clear, faint = (cells(magnifier, synth.shift(s, 0.0), noise) for s, noise in ((0.5, 1e-4), (0.02, 0.03)))
    assert share(clear).max() < 1e-3 and share(faint).min() > 0.9
    rounded = replace(faint, fine=replace(faint.fine, noise=1.5 * faint.least_noise))
    assert share(rounded).max() == 0
    assert share(replace(rounded, codec=torch.ones_like(faint.codec))).min() > 0.9


def test_it_is_not_asked_where_a_whole_neighbourhood_tells_nothing(magnifier):
    faint = cells(magnifier, synth.shift(0.02, 0.0), 0.03)
    flat = replace(faint, fine=replace(faint.fine, products=1e-4 * faint.fine.products))
    assert share(faint).min() > 0.9 and share(flat).max() == 0


def test_noise_in_blocks_is_no_surer_in_wide_windows(magnifier):
    told = cells(magnifier, synth.shift(0.1, 0.0), 0.02)
    coarse = replace(told, fine=replace(told.fine, coarseness=9 * told.fine.coarseness))
    (white, blocks), fine = (offers_of(t).error for t in (told, coarse)), len(FINE_CELLS)
    assert torch.allclose(blocks[:, :fine], 9 * white[:, :fine], rtol=1e-3)
    assert torch.equal(blocks[:, -1], white[:, -1]), "what was found has its own"


def test_files_without_a_surveyor_go_without():
    tensors = LKMag(weigher=WindowWeigher(width=8), refiner=Refiner(width=8)).state_dict()
    assert arch.build(tensors).surveyor is None
    whole = LKMag(
        weigher=WindowWeigher(width=8), refiner=Refiner(width=8), surveyor=Surveyor(widths=(8, 12, 16))
    ).state_dict()
    assert [block.second.bias.numel() for block in arch.build(whole).surveyor.down] == [8, 12, 16]


def test_gradients_reach_every_parameter(magnifier):
    network = LKMag(weigher=WindowWeigher(width=8), refiner=Refiner(width=8), surveyor=Surveyor(widths=(8, 12, 16)))
    torch.nn.init.normal_(network.surveyor.head.weight, std=0.05)
    torch.nn.init.normal_(network.weigher.head.weight, std=0.05)
    reference, frames = clip(synth.shift(0.1, 0.05), 0.02)
    network.displacement(network.prepare(reference), frames).square().mean().backward()
    dead = [
        name
        for part in (network.surveyor, network.weigher)
        for name, p in part.named_parameters()
        if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert dead == []
