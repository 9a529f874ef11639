"""What least squares make of a displacement that is roughly known: noise, flat places, light, pieces, what is kept."""

import gc
import weakref
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import synth
import torch
import torch.nn.functional as F
from magplus.models.geometry import FaceBox
from magplus.pipeline.face.anatomy import FaceMap, region_mask
from magplus.pipeline.measure import CurveBuilder, dense_displacement, splines
from magplus.pipeline.measure.grid import mask_grid
from magplus.pipeline.measure.regions import RegionShift
from magplus.pipeline.measure.splines import fit_of
from magplus.pipeline.media import open_clip

BOX, SIZE = FaceBox(cx=156, cy=166, width=250, height=271), (333, 312)
SAMPLE = Path(__file__).parents[3] / "samples" / "driver.mkv"
STRENGTHS = synth.micro_motion(9, width=0.17)


def _of_a_face(displacement):
    """Peak of the curve of the whole face and of the mean motion of the brows, px."""
    brows = mask_grid(region_mask(FaceMap.from_box(BOX), "brows", SIZE), BOX)
    with CurveBuilder(box=BOX, rate=25) as builder:
        builder.append(displacement)
        shift = RegionShift.of(builder.mean_pct_face(brows)).values_pct_face
        return builder.finish().peak_px, float(shift[np.abs(shift).argmax()]) * BOX.width / 100


@pytest.mark.parametrize("size_px", [0.1, 1.0])
def test_a_peak_under_noise_is_measured_within_a_hundredth_of_a_pixel_or_three_percent(size_px):
    """The bar for motion curves, at noise 0.01 on a face of 250 px."""
    brows = (FaceMap.from_box(BOX).points[f"{side} brow"] for side in ("left", "right"))
    push = synth.total(*(synth.bump(*brow, 23.4, 0.0, -size_px) for brow in brows))
    truth = _of_a_face(torch.stack([synth.displacement(synth.scaled(push, float(s)), *SIZE) for s in STRENGTHS]))
    still, found = synth.clip(push, STRENGTHS, SIZE, seed=42), []
    for seed in range(2):
        clip = still + 0.01 * torch.randn(still.shape, generator=torch.Generator().manual_seed(seed))
        found.append(_of_a_face(dense_displacement(clip[0], clip)))
    errors = np.sqrt(np.mean((np.array(found) - truth) ** 2, axis=0))
    assert (errors <= np.maximum(0.01, 0.03 * np.abs(truth))).all()


def test_noise_on_a_flat_place_is_not_taken_for_motion():
    """The left half shows nothing: what moves the right half must not be made up there."""
    clip = synth.clip(synth.bump(100, 64, 12, 0.5, 0.0), np.array([0.0, 1.0]), (128, 128))
    clip[..., :56] = 0.5
    clip += 0.01 * torch.randn(clip.shape, generator=torch.Generator().manual_seed(1))
    found = dense_displacement(clip[0], clip[1:])[0]
    assert found[:, :, :48].square().mean().sqrt() < 0.2
    assert found[0, 64, 100] == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(("gain", "shift"), [(1.05, 0.0), (0.9, 0.02)])
def test_light_that_changes_everywhere_alike_moves_nothing(gain, shift):
    clip = synth.clip(synth.bump(48, 48, 14, 0.4, 0.3), np.array([0.0, 1.0]), (96, 96))
    plain = dense_displacement(clip[0], clip[1:])
    lit = dense_displacement(clip[0], gain * clip[1:] + shift)
    assert (lit - plain).abs()[..., 8:-8, 8:-8].max() < 0.02


def test_a_grey_picture_moves_as_its_colours_do():
    clip = synth.clip(synth.bump(48, 48, 14, 0.4, 0.3), np.array([0.0, 1.0]), (96, 96))
    grey = clip.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    found = dense_displacement(grey[0], grey[1:])
    assert (found - synth.displacement(synth.bump(48, 48, 14, 0.4, 0.3), 96, 96)).abs()[..., 8:-8, 8:-8].max() < 0.03


def test_a_black_picture_has_not_moved():
    black = torch.zeros(2, 3, 64, 64)
    assert dense_displacement(black[0], black[1:]).abs().max() < 1e-6


@pytest.mark.parametrize("border_px", [20, 40])
def test_a_border_that_is_carried_on_makes_no_motion(border_px):
    """As where a crop is larger than its picture. Streaks show nothing along themselves, and a flow makes up 100 px."""
    photo = open_clip(SAMPLE).frame(0)
    still = F.pad(photo[None], (0, 0, border_px, 0), mode="replicate")[0]
    hardly = still + 1e-4 * torch.rand(still.shape, generator=torch.Generator().manual_seed(1))
    assert dense_displacement(still, hardly[None]).abs().max() < 0.01


def test_a_border_that_is_carried_on_does_not_touch_what_moves_far_from_it():
    """Beside it the two motions contradict each other, as what is carried on stands still or changes its colour."""
    photo = open_clip(SAMPLE).frame(0)
    before, after = (F.pad(photo[None, :, 20:220, x : 200 + x], (30,) * 4, mode="replicate")[0] for x in (20, 19))
    inside = dense_displacement(before, after[None])[0, :, 80:-80, 80:-80]
    assert (inside - torch.tensor([1.0, 0.0]).view(2, 1, 1)).abs().max() < 0.05


def test_pieces_of_a_large_picture_agree_with_the_whole(monkeypatch):
    field = synth.total(synth.bump(100, 70, 20, 0.6, -0.3), synth.shift(0.2, 0.1))
    clip = synth.clip(field, np.array([0.0, 1.0]), (140, 230))
    whole = dense_displacement(clip[0], clip[1:])
    monkeypatch.setattr(splines, "PIECE_PX", 120)
    monkeypatch.setattr(splines, "OVERLAP_PX", 40)
    pieces = dense_displacement(clip[0].clone(), clip[1:])
    assert (pieces - whole).abs().mean() < 0.005
    assert (pieces - synth.displacement(field, 140, 230)).abs()[..., 10:-10, 10:-10].max() < 0.04


@pytest.mark.parametrize("length", [16, 640, 641, 1080, 1920, 3000])
def test_pieces_cover_a_side_and_overlap(length):
    spans = splines._spans(length)
    assert spans[0].start == 0 and spans[-1].stop == length
    assert max(span.stop - span.start for span in spans) <= splines.PIECE_PX
    assert all(a.stop - b.start >= splines.OVERLAP_PX - 1 for a, b in pairwise(spans))


def test_what_is_known_of_a_reference_is_kept_while_it_lives_and_is_what_it_was():
    first = synth.clip(synth.shift(0, 0), np.zeros(1), (48, 48))[0]
    fit = fit_of(first)
    other = first.clone()
    fit_of(other)
    assert fit_of(first) is fit, "clips take turns"
    first += 0.1
    assert fit_of(first) is not fit
    kept = weakref.ref(fit_of(first))
    del first, fit
    gc.collect()
    assert kept() is None
