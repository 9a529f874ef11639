"""Gain, lag and correlation of curves with known relations."""

import csv
import io
import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import synth
from magplus.models.errors import MagPlusError
from magplus.models.geometry import FaceBox
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.measure.compare import compare
from magplus.pipeline.measure.curve import GRID, MotionCurve, measure_clip, measure_fields, noise_floor
from magplus.pipeline.measure.report import comparison_report, curve_csv, curve_report

BOX = FaceBox(cx=48.0, cy=50.0, width=64.0, height=72.0)
PUSH = synth.bump(44, 55, 12, 0.4, 0.3)


def _curve(values, rate=Fraction(25), width=64.0, mode=None):
    values = np.asarray(values, dtype=np.float64)
    mode = np.full((2, GRID, GRID), 1 / math.sqrt(2 * GRID * GRID)) if mode is None else mode
    return MotionCurve(
        values_pct_face=values,
        noise_floor_pct_face=noise_floor(values),
        rate=rate,
        reference=0,
        box=FaceBox(cx=0, cy=0, width=width, height=width),
        mode=mode,
        weights=mode,
        explained=0.9,
    )


def _bell(times, peak, width=3.0):
    return np.exp(-((times - peak) ** 2) / (2 * width**2))


def test_gain_of_a_magnified_clip_is_alpha():
    strengths = synth.micro_motion(11)
    weak = measure_clip(TensorClip(synth.clip(synth.scaled(PUSH, 0.8), strengths, (96, 96))), BOX)
    strong = measure_clip(TensorClip(synth.clip(synth.scaled(PUSH, 6.4), strengths, (96, 96))), BOX)
    found = compare(weak, strong)
    assert found.gain == pytest.approx(8, rel=0.02)
    assert found.gain_px == pytest.approx(8, rel=0.02)
    assert found.peak_gain == pytest.approx(8, rel=0.03)
    assert found.correlation > 0.999
    assert abs(found.lag_frames) < 0.05
    assert found.pattern_similarity > 0.98
    assert found.reason is None


def test_a_reversed_motion_has_a_negative_gain():
    strengths = synth.micro_motion(9)

    def fields(factor):
        return [synth.displacement(synth.scaled(PUSH, factor * float(s)), 96, 96)[None] for s in strengths]

    original = measure_fields(fields(1), box=BOX, rate=Fraction(25))
    for like in (None, original):
        result = measure_fields(fields(-2), box=BOX, rate=Fraction(25), like=like)
        found = compare(original, result)
        assert found.gain == pytest.approx(-2, rel=0.02)
        assert found.peak_gain == pytest.approx(-2, rel=0.02)
        assert found.lag_frames == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("late", [1.5, -2.0, 0.3, 4.25])
def test_lag_is_found_to_a_tenth_of_a_frame(late):
    times = np.arange(40.0)
    found = compare(_curve(_bell(times, 18)), _curve(3 * _bell(times, 18 + late)))
    assert found.lag_frames == pytest.approx(late, abs=0.1)
    assert found.lag_ms == pytest.approx(40 * late, abs=4)


def test_noise_on_the_original_does_not_shrink_the_gain():
    rng = np.random.default_rng(0)
    times = np.arange(120.0)
    gains, plain = [], []
    for _ in range(40):
        a = _bell(times, 60, 15) + rng.normal(0, 0.15, 120)
        b = 5 * _bell(times, 60, 15) + rng.normal(0, 0.15, 120)
        gains.append(compare(_curve(a), _curve(b)))
        plain.append(np.polyfit(a, b, 1)[0])
    found = np.array([g.gain for g in gains])
    assert np.mean(plain) < 4.6
    assert found.mean() == pytest.approx(5, abs=0.2)
    assert np.mean([g.gain_sigma for g in gains]) == pytest.approx(found.std(), rel=0.4)


def test_an_offset_from_the_reference_frame_is_no_gain():
    times = np.arange(40.0)
    a, b = _bell(times, 18), 3 * _bell(times, 18) + 0.8
    assert compare(_curve(a), _curve(b)).gain == pytest.approx(3, rel=0.01)


def test_an_original_without_motion_gives_no_number():
    rng = np.random.default_rng(3)
    times = np.arange(40.0)
    noise = _curve(rng.normal(0, 0.05, 40))
    found = compare(noise, _curve(_bell(times, 20)))
    assert found.gain is None
    assert found.gain_px is None
    assert found.peak_gain is None
    assert found.lag_frames is None
    assert "noise" in found.reason
    assert "does not move" in compare(_curve(np.zeros(40)), _curve(_bell(times, 20))).reason


def test_a_result_without_motion_has_gain_zero():
    found = compare(_curve(_bell(np.arange(40.0), 18)), _curve(np.zeros(40)))
    assert found.gain == pytest.approx(0, abs=1e-9)
    assert found.correlation is None
    assert found.lag_frames is None
    assert "result does not move" in found.reason


def test_unequal_rates_are_compared_in_seconds():
    fast, slow = np.arange(100) / 100, np.arange(25) / 25
    original = _curve(_bell(fast, 0.5, 0.1), rate=Fraction(100))
    result = _curve(2 * _bell(slow, 0.53, 0.1), rate=Fraction(25))
    found = compare(original, result)
    assert found.lag_ms == pytest.approx(30, abs=3)
    assert found.lag_frames == pytest.approx(3, abs=0.3)
    assert found.peak_gain == pytest.approx(2, rel=0.03)
    assert found.frames == 97


def test_unequal_lengths_share_their_first_frames():
    times = np.arange(40.0)
    found = compare(_curve(_bell(times, 12)), _curve(4 * _bell(times, 12)[:25]))
    assert found.frames == 25
    assert found.gain == pytest.approx(4, rel=0.01)
    with pytest.raises(MagPlusError, match="share only 2 frames"):
        compare(_curve(_bell(times, 12)), _curve(times[:2]))


def test_pixels_and_percent_differ_by_the_size_of_the_faces():
    times = np.arange(40.0)
    found = compare(_curve(_bell(times, 12), width=100), _curve(3 * _bell(times, 12), width=250))
    assert found.gain == pytest.approx(3, rel=0.01)
    assert found.gain_px == pytest.approx(7.5, rel=0.01)


def test_reports_are_json_without_nan():
    curve = replace(_curve(_bell(np.arange(12.0), 6)), explained=math.nan)
    data = json.loads(json.dumps(curve_report(curve), allow_nan=False))
    assert data["explained"] is None
    assert data["values_px"] == pytest.approx(curve.values_px)
    assert data["rate"] == "25"
    assert data["face_box"]["width"] == 64
    comparison = json.loads(json.dumps(comparison_report(compare(_curve(np.zeros(9)), curve)), allow_nan=False))
    assert comparison["gain"] is None
    assert comparison["reason"]


def test_csv_has_a_line_per_frame_and_reads_back():
    long, short = _curve(_bell(np.arange(12.0), 6), width=200), _curve(np.arange(5.0))
    rows = list(csv.DictReader(io.StringIO(curve_csv([("input", long), ("magnified, x8", short)]))))
    assert len(rows) == 12
    assert float(rows[6]["input px"]) == pytest.approx(2)
    assert float(rows[6]["time_ms"]) == 240
    assert float(rows[4]["magnified, x8 pct_face"]) == 4
    assert rows[5]["magnified, x8 px"] == ""
    assert curve_csv([]) == "frame,time_ms\n"
