"""Plots: the right ink in the right place."""

from fractions import Fraction

import numpy as np
import pytest
from magplus.models.errors import MagPlusError
from magplus.models.geometry import FaceBox
from magplus.pipeline.measure.curve import GRID, MotionCurve
from magplus.pipeline.render import plot
from magplus.pipeline.render.canvas import SERIES, Canvas, printable, text_width
from magplus.pipeline.render.plot import nice_ticks, plot_curves


def _curve(values, floor=None):
    mode = np.zeros((2, GRID, GRID))
    return MotionCurve(
        values_pct_face=np.asarray(values, dtype=np.float64),
        noise_floor_pct_face=floor,
        rate=Fraction(25),
        reference=0,
        box=FaceBox(cx=0, cy=0, width=100, height=100),
        mode=mode,
        weights=mode,
        explained=1.0,
    )


def _bell(peak, width=6.0):
    return _curve(peak * np.exp(-((np.arange(60.0) - 30) ** 2) / (2 * width**2)), 0.01 * peak)


def _rows_of(picture, colour, column, near=40):
    pixels = np.asarray(picture).astype(int)[:, column]
    return np.flatnonzero(np.abs(pixels - np.array(colour)).sum(axis=-1) < near)


def test_curves_of_unlike_size_get_panels_of_their_own():
    # unlike widths, so that no line hides another in the panel of shapes
    peaks = {"input": 0.1, "magnified": 0.9, "generated": 0.8, "restored": 0.09}
    curves = [(label, _bell(peak, 6 + 3 * k)) for k, (label, peak) in enumerate(peaks.items())]
    picture = plot_curves(curves, title="t")
    assert picture.size == (plot.WIDTH_PX, plot.TITLE_HEIGHT_PX + 3 * plot.PANEL_HEIGHT_PX)
    bounds = [plot.TITLE_HEIGHT_PX + k * plot.PANEL_HEIGHT_PX for k in range(4)]
    middle = round(plot.LEFT_PX + 30 / 59 * (plot.WIDTH_PX - plot.LEFT_PX - plot.RIGHT_PX))
    for k, panels in enumerate([{0, 2}, {1, 2}, {1, 2}, {0, 2}]):
        rows = _rows_of(picture, SERIES[k], middle - 150)
        found = {p for p in range(3) if ((rows > bounds[p]) & (rows < bounds[p + 1])).any()}
        assert found == panels


def test_curves_of_like_size_share_a_panel():
    curves = [("a", _bell(0.1)), ("b", _bell(0.2)), ("still", _curve(np.zeros(60)))]
    assert plot_curves(curves, title="t", shapes=False).size[1] == plot.TITLE_HEIGHT_PX + plot.PANEL_HEIGHT_PX


def test_a_line_stands_where_its_values_are():
    """A constant 0.5 over a span of -0.2 to 1.2 lies in the middle of the axes."""
    values = np.full(50, 0.5)
    values[0], values[-1] = 0.0, 1.0
    picture = plot_curves([("a", _curve(values))], title="t")
    rows = _rows_of(picture, SERIES[0], 600)
    bottom = picture.size[1] - plot.BOTTOM_PX
    top = plot.TITLE_HEIGHT_PX + 14 + plot.LEGEND_ROW_PX
    assert 2 <= len(rows) <= 4
    assert rows.mean() == pytest.approx((top + bottom) / 2, abs=1.5)


def test_the_noise_band_is_as_high_as_the_floor():
    values = np.zeros(50)
    values[-1] = 1.0
    values[0] = -1.0
    picture = plot_curves([("a", _curve(values, 0.25))], title="t")
    pale = tuple(c // 5 + 204 for c in SERIES[0])
    rows = _rows_of(picture, pale, 600, near=6)
    height = plot.PANEL_HEIGHT_PX - plot.BOTTOM_PX - 14 - plot.LEGEND_ROW_PX
    assert np.ptp(rows) == pytest.approx(height * 0.5 / 2.32, abs=3)
    without = plot_curves([("a", _curve(values))], title="t")
    assert len(_rows_of(without, pale, 600, near=6)) == 0


def test_nothing_is_clipped_at_the_edges():
    curves = [(f"a label of some length {k}", _bell(10.0**k)) for k in range(6)]
    pixels = np.asarray(plot_curves(curves, title="A title", width=640))
    edges = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (edges == 255).all()


def test_a_crowded_legend_takes_more_rows_and_stays_above_the_axes():
    curves = [(f"quite a long label, number {k}", _bell(1)) for k in range(6)]
    pixels = np.asarray(plot_curves(curves, title="t", width=640, shapes=False)).astype(int)
    rows = {k: np.flatnonzero((np.abs(pixels - SERIES[k]).sum(-1) < 30).sum(axis=1) > 20) for k in range(6)}
    first, last = rows[0].min(), rows[5].min()
    assert last > first + 20


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-0.013, 0.021, [-0.01, 0, 0.01, 0.02]),
        (0, 2360, [0, 500, 1000, 1500, 2000]),
    ],
)
def test_ticks_are_round(low, high, expected):
    assert nice_ticks(low, high, 5) == pytest.approx(expected)


def test_one_frame_and_no_curves():
    assert plot_curves([("a", _curve([0.0]))], title="t").size[0] == plot.WIDTH_PX
    with pytest.raises(MagPlusError, match="no curve"):
        plot_curves([], title="t")


def test_text_is_made_of_letters_that_the_font_has():
    assert printable("\u03b1 \u00d7 8 \u65e5\n") == "alpha x 8 ??"
    canvas = Canvas(200, 30)
    canvas.text(100, 15, "alpha", size=18, anchor="mm")
    columns = np.flatnonzero((np.asarray(canvas.image()) < 128).any(axis=(0, 2)))
    assert np.ptp(columns) == pytest.approx(text_width("alpha", 18), abs=4)
    assert columns.mean() == pytest.approx(100, abs=4)
