"""Clips side by side and text tables."""

import pytest
import synth
import torch
from magplus.models.errors import MagPlusError
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.render.compare import GAP_PX, STRIP_COLOUR, Panel, grid_frames, label_strip
from magplus.pipeline.render.table import render_table


def _plain(count, height, width, value):
    return torch.full((count, 3, height, width), value)


def test_panels_of_different_sizes_get_one_height_and_even_sides():
    rows = [
        [Panel("input", TensorClip(_plain(5, 64, 48, 0.25))), Panel("magnified", TensorClip(_plain(5, 33, 33, 0.75)))],
        [Panel("generated", TensorClip(_plain(5, 200, 100, 0.5)))],
    ]
    frames = torch.cat(list(grid_frames(rows, panel_height=101)))
    strip = label_strip("input", 76, 101).shape[-2]
    width = round(48 * 101 / 64) + GAP_PX + 101
    assert frames.shape == (5, 3, 2 * (strip + 101), width + width % 2)
    left = round(48 * 101 / 64)
    assert frames[:, :, strip : strip + 101, :left].sub(0.25).abs().max() < 1e-5
    assert frames[:, :, strip : strip + 101, left + GAP_PX : left + GAP_PX + 101].sub(0.75).abs().max() < 1e-5
    assert frames[:, :, 2 * strip + 101 :, :50].sub(0.5).abs().max() < 1e-5
    assert frames[:, :, strip + 101 :, 60:].sub(STRIP_COLOUR[0] / 255).abs().max() < 1e-5


def test_labels_have_ink_and_do_not_touch_the_frames():
    strip = label_strip("magnified", 160, 128)
    assert (strip > 0.8).float().mean() > 0.01
    assert torch.equal(strip[:, 0], torch.full_like(strip[:, 0], STRIP_COLOUR[0] / 255))
    white = TensorClip(_plain(2, 128, 160, 1.0))
    frames = next(grid_frames([[Panel("magnified", white)]], panel_height=128))
    assert torch.equal(frames[0, :, : strip.shape[-2]], strip)
    assert (frames[:, :, strip.shape[-2] :] == 1).all()


def test_a_long_label_is_fitted():
    strip = label_strip("a label that is much too long for the small panel below it", 60, 64)
    ink = (strip > 0.4).any(dim=0).any(dim=0).nonzero()
    assert ink.min() >= 1
    assert ink.max() <= 58


def test_panels_of_unlike_chunks_stay_in_step():
    clip = torch.arange(7.0).div(10).view(7, 1, 1, 1).expand(7, 3, 32, 32)
    panels = [Panel("a", iter(clip.split(3))), Panel("b", clip.split(1)), Panel("c", TensorClip(clip))]
    chunks = list(grid_frames([panels], panel_height=32))
    frames = torch.cat(chunks)
    assert max(map(len, chunks)) <= 4
    for k in range(3):
        column = k * (32 + GAP_PX) + 16
        assert frames[:, 0, -5, column] == pytest.approx(clip[:, 0, 0, 0])


@pytest.mark.parametrize(("size", "height"), [(40, 96), (96, 40)])
def test_resizing_keeps_the_picture(size, height):
    def picture(side):
        # one texture over the unit square, seen at two resolutions
        x, y = ((grid + 0.5) * 80 / side for grid in synth.pixel_grid(side, side))
        return torch.from_numpy(synth.Texture(0, shortest_px=20)(x, y)).float()[None]

    frames = next(grid_frames([[Panel("a", TensorClip(picture(size)))]], panel_height=height))
    inner = frames[:, :, -height + 4 : -4, 4 : height - 4]
    assert (inner - picture(height)[..., 4:-4, 4:-4]).abs().max() < 0.03


def test_a_panel_that_ends_early_is_named():
    panels = [Panel("input", TensorClip(_plain(6, 32, 32, 0.1))), Panel("restored", TensorClip(_plain(4, 32, 32, 0.1)))]
    with pytest.raises(MagPlusError, match="'restored' ends after 4 frames"):
        list(grid_frames([panels], panel_height=32))
    with pytest.raises(MagPlusError, match="at least one clip"):
        list(grid_frames([[]]))
    with pytest.raises(MagPlusError, match="too small"):
        list(grid_frames([panels], panel_height=4))


def test_table_columns_line_up():
    text = render_table(["clip", "gain", "frames"], [["input", 1.0, 25], ["magnified", 7.98765, 1250], ["x", None, 3]])
    lines = text.split("\n")
    assert lines[0] == "clip        gain  frames"
    assert lines[2] == "input          1      25"
    assert lines[3] == "magnified  7.988    1250"
    assert lines[4] == "x              -       3"
    assert set(lines[1]) == {"-", " "}


def test_table_refuses_a_row_of_another_length():
    with pytest.raises(MagPlusError, match="Row 1"):
        render_table(["a", "b"], [[1, 2], [3]])
    assert render_table(["a", "b"], []) == "a  b\n-  -"
