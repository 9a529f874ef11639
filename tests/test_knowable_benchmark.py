"""The best linear estimator of the benchmark: it finds what can be known, and nothing where nothing can."""

import numpy as np
import pytest
import torch
from magplus.pipeline.train.motion import grid

SIZE = 48


@pytest.fixture(scope="module")
def bench(benchmark_of):
    return benchmark_of("knowable")


@pytest.fixture(scope="module")
def motions(bench):
    return bench.other_motions(SIZE)


@pytest.fixture(scope="module")
def truth(bench):
    field = bench.face(np.random.default_rng(9), SIZE)(grid(SIZE)).T.reshape(1, 2, SIZE, SIZE)
    small = torch.nn.functional.avg_pool2d(field, bench.CELL_PX)[0]
    return 0.2 * small / small.square().sum(0).mean().sqrt()


def answer(bench, motions, truth, strength):
    """Of a picture whose texture tells the first direction three times as well as the other."""
    information = strength * torch.tensor([9.0, 1.0, 1.0]).view(3, 1, 1).expand(3, *truth.shape[1:])
    draw = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    told = bench.product(information[None], truth[None])[0] + bench.root(information, draw)
    return bench.best_linear(motions, information, told, 0.2)[0]


def test_much_signal_tells_the_motion_and_none_tells_nothing(bench, motions, truth):
    length = truth.norm(dim=0).mean()
    errors = [(answer(bench, motions, truth, s) - truth).norm(dim=0).mean() / length for s in (1e6, 10.0, 0.1)]
    assert errors[0] < 0.1 < errors[1] < errors[2] < 1.05
    assert answer(bench, motions, truth, 1e-6).norm(dim=0).max() < 0.01 * truth.norm(dim=0).max()


def test_noise_has_the_covariance_of_its_information(bench):
    information = torch.tensor([4.0, 1.5, 1.0]).view(3, 1, 1).expand(3, 200, 200)
    draw = torch.randn(2, 200, 200, generator=torch.Generator().manual_seed(1))
    noise = bench.root(information, draw).flatten(1)
    found = (noise @ noise.T) / noise.shape[1]
    assert torch.allclose(found, torch.tensor([[4.0, 1.5], [1.5, 1.0]]), atol=0.06)


def test_error_and_slope_of_half_a_motion_are_a_half(bench):
    truth, products = torch.randn(2, 64, 64), torch.tensor([2.0, 0.5, 1.0]).view(3, 1, 1).expand(3, 64, 64)
    assert bench.judged(0.5 * truth, truth, products) == pytest.approx((0.5, 0.5), abs=1e-5)
    assert bench.judged(truth, truth, products) == pytest.approx((0, 1), abs=1e-5)
