from fractions import Fraction

import numpy as np
import pytest
from magplus.models.errors import MagPlusError
from magplus.pipeline.media.timing import exact_rate, first_at, pace, resampled


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        (29.97, Fraction(30000, 1001)),
        (30000 / 1001, Fraction(30000, 1001)),
        (23.976, Fraction(24000, 1001)),
        (23.98, Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (119.88, Fraction(120000, 1001)),
        (24.0, Fraction(24)),
        (200.0, Fraction(200)),
        (1000.0, Fraction(1000)),
        (12.5, Fraction(25, 2)),
        (100 / 3, Fraction(100, 3)),
        (Fraction(30000, 1001), Fraction(30000, 1001)),
        (0.5, Fraction(1, 2)),
    ],
)
def test_decimal_rates_become_the_exact_ones_they_stand_for(fps, rate):
    assert exact_rate(fps) == rate


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_a_useless_rate_is_refused(fps):
    with pytest.raises(MagPlusError, match="not usable"):
        exact_rate(fps)


def test_millisecond_rounding_does_not_hide_the_declared_rate():
    rate = Fraction(30000, 1001)
    pts = np.array([round(1000 * i / rate) for i in range(500)])
    assert pace(pts, Fraction(1, 1000), [rate]).rate == rate
    assert pace(pts, Fraction(1, 1000), [Fraction(25), None]) == pace(pts, Fraction(1, 1000), [rate])


def test_irregular_timestamps_are_called_variable_with_their_mean_rate():
    pts = np.array([0, 40, 80, 160, 200, 320, 360, 400])
    beat = pace(pts, Fraction(1, 1000), [Fraction(25)])
    assert beat.rate == Fraction(35, 2)
    assert "40.0 to 120.0 ms" in beat.variable


def test_seconds_become_frames_without_rounding_up_a_decimal():
    rate = Fraction(30000, 1001)
    assert [first_at(i / rate, rate, None) for i in range(100)] == list(range(100))
    assert first_at(0.034, rate, None) == 2
    assert first_at(0.033366, rate, None) == 1
    assert first_at(0.1, rate, np.array([0.0, 0.05, 0.1, 0.3])) == 2
    assert first_at(0.11, rate, np.array([0.0, 0.05, 0.1, 0.3])) == 3


def test_resampling_shows_the_frame_that_is_on_at_each_time():
    times = np.array([0.0, 0.04, 0.16, 0.20])
    assert resampled(times, 0.04, Fraction(25)).tolist() == [0, 1, 1, 1, 2, 3]
    assert resampled(np.arange(8) / 50, 0.02, Fraction(25)).tolist() == [0, 2, 4, 6]
