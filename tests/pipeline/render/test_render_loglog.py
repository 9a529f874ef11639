"""Panels with logarithmic axes: lines and intervals lie where their numbers say."""

import math

import numpy as np
import pytest
from magplus.pipeline.render.loglog import MARGINS, Line, LogPanel, draw_log_panels

SIZE = (400, 300)
RED = (200, 0, 0)


def ink(**interval):
    line = Line(label="", at=np.array([1.0]), values=np.array([1.0]), colour=RED, **interval)
    panel = LogPanel(title="", across="", up="", x=(0.1, 10.0), y=(0.1, 10.0), lines=[line])
    picture = np.asarray(draw_log_panels([panel], title="", columns=1, size=SIZE)).astype(int)
    return np.argwhere(picture[..., 0] - picture[..., 1] > 60)


def row(value, head=62):
    top, bottom = head + MARGINS[1], head + SIZE[1] - MARGINS[3]
    return bottom - (math.log10(value) + 1) / 2 * (bottom - top)


def test_an_interval_is_a_bar_between_its_ends():
    found = ink(low=np.array([0.5]), high=np.array([4.0]))
    middle = (MARGINS[0] + SIZE[0] - MARGINS[2]) / 2
    assert found[:, 1].mean() == pytest.approx(middle, abs=1.5)
    assert found[:, 0].min() == pytest.approx(row(4.0), abs=2) and found[:, 0].max() == pytest.approx(row(0.5), abs=2)


def test_an_end_below_the_axis_stops_at_it_and_no_interval_draws_nothing():
    assert ink(low=np.array([-1.0]), high=np.array([2.0]))[:, 0].max() == pytest.approx(row(0.1), abs=2)
    assert len(ink()) == 0 and len(ink(low=np.array([np.nan]), high=np.array([np.nan]))) == 0
