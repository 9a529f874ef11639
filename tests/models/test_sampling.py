"""Sampling and warping against closed forms."""

import numpy as np
import pytest
import synth
import torch
import torch.nn.functional as F
from magplus.models import filters, geometry, sampling, warp
from magplus.models.medians import medians


def frame(dx=0.0, dy=0.0, size=96, seed=1):
    return synth.render(synth.Texture(seed), synth.shift(dx, dy), size, size)[None]


def test_a_spline_passes_through_its_pixels():
    picture = torch.rand(2, 3, 21, 34)
    grid = sampling.pixel_grid(21, 34, like=picture).expand(2, -1, -1, -1)
    assert (sampling.sample_spline(sampling.spline_coefficients(picture), grid) - picture).abs().max() < 6e-6


def test_a_spline_finds_a_sub_pixel_shift_far_better_than_linear():
    still, moved = frame(), frame(0.37, -0.22)
    at = sampling.pixel_grid(96, 96, like=still) + torch.tensor([0.37, -0.22]).view(1, 2, 1, 1)
    inner = (..., slice(6, -6), slice(6, -6))
    spline = (sampling.sample_spline(sampling.spline_coefficients(moved), at) - still)[inner].abs().max()
    linear = (sampling.sample_linear(moved, at) - still)[inner].abs().max()
    assert spline < 2e-4
    assert linear > 20 * spline


def test_spline_samples_have_the_gradient_of_the_picture():
    picture = frame(size=32).double()
    coefficients = sampling.spline_coefficients(picture)
    at = (torch.rand(1, 2, 4, 4, dtype=torch.float64) * 28 + 1.5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: sampling.sample_spline(coefficients, x), (at,), atol=1e-5)


def test_inverting_a_displacement_undoes_it():
    field = synth.total(synth.bump(30, 40, 12, 6, -3), synth.shift(1.5, -2))
    displacement = synth.displacement(field, 80, 80)[None]
    origin = sampling.invert(displacement, iterations=30)
    landed = origin + sampling.sample_linear(displacement, origin)
    assert (landed - sampling.pixel_grid(80, 80, like=origin)).abs().max() < 1e-3


def test_a_fold_is_smoothed_away_and_nothing_else():
    field = synth.displacement(synth.bump(60, 60, 8, 3, 0), 120, 120)[None]
    assert torch.equal(sampling.without_folds(field), field)
    torn = field.clone()
    torn[..., 20:24, 20:24] += torch.randn(1, 2, 4, 4) * 20
    origin = sampling.invert(torn, iterations=30)
    mended = sampling.without_folds(torn)
    landed = origin + sampling.sample_linear(mended, origin)
    assert (landed - sampling.pixel_grid(120, 120, like=origin)).abs().max() < 0.05
    assert torch.equal(mended[..., 50:, 50:], field[..., 50:, 50:])


def test_sampling_outside_continues_the_edge():
    picture = torch.rand(1, 1, 16, 16)
    at = torch.tensor([[-5.0, 3.0], [20.0, 3.0]]).T.reshape(1, 2, 1, 2)
    out = sampling.sample_spline(sampling.spline_coefficients(picture), at)
    assert torch.allclose(out[0, 0, 0], picture[0, 0, 3, [0, 15]], atol=1e-5)


@pytest.mark.parametrize("sigma", [1.2, 2.4, 4.8, 9.6])
def test_wide_blur_has_the_width_it_says(sigma):
    point = torch.zeros(1, 1, 129, 129)
    point[..., 64, 64] = 1
    out = filters.wide_blur(point, sigma)[0, 0].sum(0)
    x = torch.arange(129.0) - 64
    assert ((out * x**2).sum() / out.sum()).sqrt() == pytest.approx(sigma, rel=0.02)
    assert out.sum() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("size", [(16, 16), (17, 40), (33, 21)])
def test_blur_keeps_a_constant_at_any_size(size):
    assert torch.allclose(filters.wide_blur(torch.full((1, 2, *size), 0.3), 9.6), torch.tensor(0.3), atol=1e-5)


@pytest.mark.parametrize("size", [(12, 50), (16, 16), (31, 33), (47, 96), (64, 97), (100, 161)])
@pytest.mark.parametrize("blur", [lambda x: filters.gaussian_blur(x, 1.2), sampling.spline_coefficients,
                                  *(lambda x, s=s: filters.wide_blur(x, s) for s in (4.8, 9.6, 64.0))])  # fmt: skip
def test_a_product_with_a_matrix_is_the_filter(monkeypatch, size, blur):
    """Whole lines of small pictures and blocks of longer ones are filtered so, and their derivatives are those of the
    filter too, whoever asked first."""
    filters._convolution.cache_clear()
    filters._wide.cache_clear()
    pictures = torch.rand(2, 3, *size)
    with torch.inference_mode():
        by_matrix = blur(pictures).clone()
    wanted = torch.rand_like(pictures)
    slopes = []
    for longest, by_matrix_at_all in ((filters.MATRIX_PX, True), (0, True), (0, False)):
        monkeypatch.setattr(filters, "MATRIX_PX", longest)
        monkeypatch.setattr(filters, "_by_matrix", lambda images, does=by_matrix_at_all: does)
        leaf = pictures.clone().requires_grad_()
        out = blur(leaf)
        assert (out - by_matrix).abs().max() < 3e-6
        slopes.append(torch.autograd.grad((out * wanted).sum(), leaf)[0])
    assert all((slopes[2] - other).abs().max() < 3e-6 for other in slopes[:2])


@pytest.mark.parametrize("size", [(40, 96), (161, 300)])
@pytest.mark.parametrize("blur", [sampling.spline_coefficients, *(lambda x, s=s: filters.gaussian_blur(x, s)
                                                                 for s in (0.7, 1.2, 2.4, 5.6))])  # fmt: skip
def test_a_masks_one_stays_one_to_the_last_bit(size, blur):
    assert (blur(torch.ones(1, 1, *size)) == 1).all()


@pytest.mark.parametrize("size", [(30, 44), (31, 45)])
def test_halving_and_doubling_are_those_of_torch(size):
    pictures = torch.rand(2, 3, *size)
    even = F.pad(pictures, (0, size[1] % 2, 0, size[0] % 2), mode="replicate")
    assert torch.allclose(filters.means_of_four(pictures), F.avg_pool2d(even, 2), atol=1e-6)
    wanted = F.interpolate(pictures, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(filters.doubled(pictures), wanted, atol=1e-6)


@pytest.mark.parametrize("count", [1, 6, 7])
def test_medians_leave_nan_out(count):
    """The lower of both middle values, with numpy and with torch's own."""
    values = torch.rand(3, count)
    values[0, ::2] = torch.nan
    values[1] = torch.nan
    wanted = values.clone().requires_grad_()
    assert torch.equal(medians(values).nan_to_num(-1), medians(wanted).detach().nan_to_num(-1))


def test_doubling_a_level_keeps_a_linear_field():
    y, x = torch.meshgrid(torch.arange(10.0), torch.arange(13.0), indexing="ij")
    coarse = torch.stack([0.1 * x, -0.2 * y])[None]
    fine = filters.double_displacement(coarse, (20, 25))
    yy, xx = torch.meshgrid(torch.arange(19.0), torch.arange(25.0), indexing="ij")
    assert torch.allclose(fine[0, :, :19], torch.stack([0.1 * xx, -0.2 * yy]), atol=1e-5)


def test_similarities_compose_and_invert():
    a = geometry.similarity(1.7, 20, (3, 4), (10, -2))
    b = geometry.similarity(0.6, -35, (1, 1), (0, 5))
    identity = geometry.compose(geometry.inverse(a), a)
    assert np.allclose(identity, [[1, 0, 0], [0, 1, 0]])
    point = np.array([7.0, 9.0, 1.0])
    assert np.allclose(geometry.compose(b, a) @ point, b @ np.append(a @ point, 1))


def test_between_lays_one_face_on_the_other():
    box = geometry.FaceBox(cx=50, cy=40, width=30, height=36, angle_deg=5)
    other = geometry.FaceBox(cx=120, cy=90, width=60, height=72, angle_deg=25)
    moved = box.moved_by(geometry.between(box, other))
    assert moved.cx == pytest.approx(120) and moved.cy == pytest.approx(90)
    assert moved.width == pytest.approx(60) and moved.angle_deg == pytest.approx(25)


def test_carrying_a_field_scales_and_turns_it():
    field = synth.displacement(synth.bump(32, 32, 8, 0.5, 0.2), 64, 64)[None]
    transform = geometry.similarity(2, 20, (32, 32), (70, 60))
    carried = warp.carry(field, transform, (128, 144))[0, :, 60, 70]
    turned = torch.from_numpy(transform[:, :2]).float() @ torch.tensor([0.5, 0.2])
    assert torch.allclose(carried, turned, atol=2e-3)


def test_what_does_not_move_keeps_its_bits():
    picture = torch.rand(1, 3, 64, 64)
    field = synth.displacement(synth.bump(32, 32, 4, 1, 0), 64, 64)[None]
    field[field.abs() < 1e-3] = 0
    out = warp.warp_by(picture, sampling.spline_coefficients(picture), field)
    still = (field == 0).all(1)[0]
    far = still & (torch.nn.functional.max_pool2d((~still).float()[None], 9, 1, 4)[0] == 0)
    assert far.any() and torch.equal(out[..., far], picture[..., far])
    assert (out - picture).abs().max() > 0.01
