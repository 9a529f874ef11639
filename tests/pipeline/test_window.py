"""The window that changes most."""

import pytest
import torch
from magplus.pipeline.window import busiest


@pytest.mark.parametrize("at", [(0, 0), (3, 99), (64, 40), (139, 149)])
def test_a_single_pixel_is_inside(at):
    change = torch.zeros(140, 150)
    change[at] = 1
    for size in ((128, 128), (20, 33), (140, 150)):
        top, left = busiest(change, size)
        assert 0 <= top <= at[0] < top + size[0] <= 140
        assert 0 <= left <= at[1] < left + size[1] <= 150


def test_the_larger_change_wins():
    change = torch.zeros(200, 200)
    change[10:20, 10:20], change[150:170, 150:170] = 1, 1
    assert busiest(change, (64, 64)) >= (106, 106)
