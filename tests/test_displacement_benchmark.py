"""The benchmark of displacements on pictures of one's own: its truth is one."""

import math
import sys

import pytest
import synth
import torch
from magplus.models.lkmag import arch
from magplus.models.sampling import pixel_grid, sample_spline, spline_coefficients
from magplus.pipeline.media import ClipWriter


@pytest.fixture(scope="module")
def bench(benchmark_of):
    return benchmark_of("displacement")


def test_a_picture_moves_as_is_told(bench, tmp_path):
    picture = synth.render(synth.Texture(2, shortest_px=30, longest_px=320), synth.shift(0, 0), 660, 700)
    with ClipWriter(tmp_path / "picture.png", rate=25) as writer:
        writer.write(picture[None].clamp(0, 1))
    with torch.no_grad():
        told = bench.on_pictures(arch.prior(), [tmp_path / "picture.png"])
    for largest in ("1 px", "4 px"):
        for error, slope in told["noise 0", largest]:
            assert math.exp(error) < 0.1
            assert slope == pytest.approx(1, abs=0.03)
    for camera in ("H.264, 0.003", "H.264, 0.01"):
        errors = [sum(error for error, _ in told[camera, f"{largest} px"]) for largest in ("4", "1", "0.3")]
        assert errors == sorted(errors)
        for (error, slope), (least, _) in zip(told[camera, "4 px"], told["noise 0", "4 px"], strict=True):
            assert math.exp(least) < math.exp(error) < 0.4 and 0.8 < slope < 1.05
    errors = [sum(error for error, _ in told[noise, "0.3 px"]) for noise in ("noise 0", "noise 0.01", "noise 0.03")]
    assert errors == sorted(errors)


@pytest.mark.parametrize("number", [1, 2])
def test_the_scenes_know_where_the_points_of_the_reference_go(bench, number):
    drawn = bench.scene(3, number, 1 / 8, 96)
    places = pixel_grid(96, 96, like=drawn.frame[None]) + drawn.displacement
    back = sample_spline(spline_coefficients(drawn.frame[None]), places)[0]
    # Not where a front covers what was seen, or what is seen has come in from outside.
    off, still = (bench.inner(picture - drawn.reference).abs().median() for picture in (back, drawn.frame))
    assert off < 1e-3 and off < 0.03 * still


@pytest.mark.parametrize("name", ["displacement", "knowable"])
def test_the_release_seed_is_not_looked_at(benchmark_of, name, monkeypatch, capsys):
    seed = benchmark_of("magnification").RELEASE_SEED
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--seeds", "1", str(seed)])
    with pytest.raises(SystemExit):
        benchmark_of(name).main()
    assert "release seed" in capsys.readouterr().err
