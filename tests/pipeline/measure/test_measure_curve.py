"""Motion curves of clips and fields whose motion is known."""

import math
from fractions import Fraction

import numpy as np
import pytest
import synth
import torch
from magplus.models.errors import MagPlusError
from magplus.models.geometry import FaceBox, inverse, similarity
from magplus.pipeline.clip import ClipInfo, TensorClip
from magplus.pipeline.measure import curve as curve_module
from magplus.pipeline.measure.curve import CurveBuilder, measure_clip, measure_fields, noise_floor, whole_frame_box
from magplus.pipeline.measure.flow import dense_displacement
from magplus.pipeline.measure.grid import face_grid
from magplus.pipeline.measure.modes import FieldSpool, dominant_mode

BOX = FaceBox(cx=48.0, cy=50.0, width=64.0, height=72.0)
PUSH = synth.bump(44, 55, 12, 0.4, 0.3)
STRENGTHS = synth.micro_motion(9)


def _fields(field, strengths=STRENGTHS, size=(96, 96)):
    return [synth.displacement(synth.scaled(field, float(s)), *size)[None] for s in strengths]


def _truth(field, strengths=STRENGTHS, box=BOX, **keywords):
    return measure_fields(_fields(field, strengths), box=box, rate=Fraction(25), **keywords)


def test_definition_on_exact_fields():
    """The energy-weighted mean of a gaussian push of peak p is p times sum(g^3) / sum(g^2), over time s(t)."""
    x, y = synth.pixel_grid(96, 96)
    inside = (abs(x - BOX.cx) < BOX.width / 2) & (abs(y - BOX.cy) < BOX.height / 2)
    weight = np.exp(-((x - 44) ** 2 + (y - 55) ** 2) / (2 * 12**2))[inside]
    expected = 0.5 * (weight**3).sum() / (weight**2).sum() * STRENGTHS
    curve = _truth(PUSH)
    assert curve.values_px == pytest.approx(expected, abs=0.005 * expected.max())
    assert curve.values_pct_face == pytest.approx(curve.values_px * 100 / 64)
    assert curve.explained == pytest.approx(1, abs=1e-6)
    assert curve.peak_frame == 4
    assert curve.peak_px == pytest.approx(expected.max(), rel=0.005)


@pytest.mark.parametrize("amount", [0.5, 4.0])
def test_a_rendered_clip_gives_the_curve_of_its_true_fields(amount):
    push = synth.scaled(PUSH, 2 * amount)
    found = measure_clip(TensorClip(synth.clip(push, STRENGTHS, (96, 96))), BOX)
    truth = _truth(push)
    assert found.values_px == pytest.approx(truth.values_px, abs=0.03 * truth.peak_px)
    assert found.values_px[0] == pytest.approx(0, abs=1e-3)
    assert found.pattern_similarity(truth) > 0.98


def test_a_larger_turned_face_gives_the_same_percentages():
    placed = similarity(2.0, 20.0, (BOX.cx, BOX.cy), (100.0, 104.0))
    back = inverse(placed)

    def moved(x, y):
        px, py = (row[0] * x + row[1] * y + row[2] for row in back)
        dx, dy = PUSH(px, py)
        return placed[0, 0] * dx + placed[0, 1] * dy, placed[1, 0] * dx + placed[1, 1] * dy

    strengths = STRENGTHS[::2]
    small = measure_clip(TensorClip(synth.clip(PUSH, strengths, (96, 96))), BOX)
    large = measure_clip(TensorClip(synth.clip(moved, strengths, (208, 200), seed=3)), BOX.moved_by(placed))
    assert large.values_pct_face == pytest.approx(small.values_pct_face, abs=0.03 * small.peak_pct_face)
    assert large.peak_px == pytest.approx(2 * small.peak_px, rel=0.03)
    assert large.pattern_similarity(small) > 0.98


def test_a_wide_face_is_measured_on_a_reduced_picture(monkeypatch):
    clip = TensorClip(synth.clip(synth.scaled(PUSH, 4), STRENGTHS[::2], (96, 97)))
    full = measure_clip(clip, BOX)
    monkeypatch.setattr(curve_module, "WORK_WIDTH_PX", 40)
    seen = []

    def estimator(reference, frames):
        seen.append(tuple(frames.shape[-2:]))
        return curve_module.dense_displacement(reference, frames)

    reduced = measure_clip(clip, BOX, estimator=estimator)
    assert set(seen) == {(48, 48)}
    assert reduced.values_px == pytest.approx(full.values_px, abs=0.04 * full.peak_px)


def test_a_still_clip_stays_near_its_noise_floor():
    still = TensorClip(synth.clip(synth.shift(0, 0), np.zeros(20), (64, 64), noise=0.01))
    curve = measure_clip(still, FaceBox(cx=32, cy=32, width=48, height=48))
    assert curve.noise_floor_px > 0.01
    assert abs(curve.peak_px) < 5 * curve.noise_floor_px
    assert curve.explained < 0.5


def test_the_noise_of_the_reference_is_not_a_motion():
    """Every displacement holds the reference frame's noise. The mode must still be that of the motion."""
    rng = np.random.default_rng(0)
    strengths = synth.micro_motion(25, width=0.08)
    noise = [torch.from_numpy(rng.normal(0, 0.12, (1, 2, 96, 96))).float() for _ in strengths]
    fields = [f + n - noise[0] for f, n in zip(_fields(PUSH, strengths), noise, strict=True)]
    truth = _truth(PUSH)
    curve = measure_fields(fields, box=BOX, rate=Fraction(25))
    _, _, right = np.linalg.svd(np.concatenate([face_grid(f, BOX).reshape(1, -1) for f in fields]))
    assert abs(right[0] @ truth.mode.reshape(-1)) < 0.85  # what the changes over time are taken for
    assert curve.pattern_similarity(truth) > 0.9


def test_sign_is_the_peaks_or_that_of_another_curve():
    forth, back = _truth(PUSH), _truth(synth.scaled(PUSH, -1.5))
    assert forth.peak_px > 0
    assert back.peak_px > 0
    assert forth.pattern_similarity(back) == pytest.approx(-1, abs=1e-6)
    alike = _truth(synth.scaled(PUSH, -1.5), like=forth)
    assert alike.values_px == pytest.approx(-1.5 * forth.values_px, abs=1e-4)
    assert alike.pattern_similarity(forth) == pytest.approx(1, abs=1e-6)


def test_unlike_patterns_do_not_decide_a_sign():
    sideways, downwards = synth.bump(44, 55, 12, 1, 0), synth.bump(44, 55, 12, -0.01, -1)
    like = _truth(sideways)
    curve = _truth(downwards, like=like)
    assert -0.2 < curve.pattern_similarity(like) < 0
    assert curve.peak_px > 0


def test_measuring_along_a_stronger_clip_removes_the_bias_of_noise():
    rng = np.random.default_rng(1)
    strengths = synth.micro_motion(25)

    def noisy(factor):
        scale = [torch.from_numpy(rng.normal(0, 1.5, (1, 2, 96, 96))).float() for _ in strengths]
        return [factor * f + n for f, n in zip(_fields(PUSH, strengths), scale, strict=True)]

    strong = measure_fields(noisy(40), box=BOX, rate=Fraction(25))
    along = measure_fields(noisy(-1), box=BOX, rate=Fraction(25), along=strong)
    truth = _truth(PUSH, strengths)
    slope = float(along.values_px @ truth.values_px / (truth.values_px @ truth.values_px))
    assert slope == pytest.approx(-1, abs=0.1)
    assert along.pattern_similarity(strong) > 0
    assert np.array_equal(along.weights, strong.weights)


def test_chunks_do_not_matter():
    fields = torch.cat(_fields(PUSH))
    whole = measure_fields([fields], box=BOX, rate=Fraction(25))
    split = measure_fields(fields.split(2), box=BOX, rate=Fraction(25))
    assert np.array_equal(whole.values_px, split.values_px)


@pytest.mark.parametrize("count", [6, 700])
def test_power_iteration_equals_the_exact_mode(count):
    rng = np.random.default_rng(2)
    rows = rng.normal(0, 1, (count, 50)) + 3 * np.outer(rng.normal(0, 1, count), rng.normal(0, 1, 50)) + 5
    spool = FieldSpool(50)
    for part in np.array_split(rows.astype(np.float32), 3):
        spool.append(part)
    exact, iterated = dominant_mode(spool, exact_rows=count), dominant_mode(spool, exact_rows=1)
    _, singular, right = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    assert abs(exact.vector @ right[0]) == pytest.approx(1, abs=1e-6)
    assert abs(exact.vector @ iterated.vector) == pytest.approx(1, abs=1e-6)
    assert exact.explained == pytest.approx(singular[0] ** 2 / (singular**2).sum(), rel=1e-4)
    assert iterated.noise == pytest.approx(exact.noise, rel=1e-6)
    spool.close()


def test_a_long_clip_goes_to_disk(monkeypatch):
    monkeypatch.setattr("magplus.pipeline.measure.modes.IN_MEMORY_BYTES", 1 << 16)
    monkeypatch.setattr("magplus.pipeline.measure.modes.EXACT_ROWS", 4)
    with CurveBuilder(box=BOX, rate=Fraction(25)) as builder:
        for field in _fields(PUSH):
            builder.append(field)
        assert builder._spool._file._rolled
        found = builder.finish()
    assert found.values_px == pytest.approx(_truth(PUSH).values_px, rel=1e-6, abs=1e-9)


def test_noise_floor_of_white_noise_on_a_slow_motion():
    rng = np.random.default_rng(0)
    values = 30 * np.sin(np.arange(4000) / 60) + rng.normal(0, 0.2, 4000)
    assert noise_floor(values) == pytest.approx(0.2, rel=0.06)
    assert noise_floor(values[:4]) is None
    assert _truth(PUSH, STRENGTHS[:2]).noise_floor_px is None


@pytest.mark.parametrize("count", [3, 8, 60])
def test_noise_floor_of_fields(count):
    """Fast motion in every frame of a short clip is not taken for noise, and noise in a short clip is still seen."""
    rng = np.random.default_rng(4)
    strengths = np.array([0, 1, 0.3, -0.8, 0.9, 0.1, -0.4, 0.6])[:count] if count < 16 else synth.micro_motion(count)
    exact = _truth(PUSH, strengths)
    assert exact.noise_floor_px < 1e-6 if count < 16 else exact.noise_floor_px < 0.01 * exact.peak_px
    found, spread = [], []
    for _ in range(6):
        noise = torch.from_numpy(rng.normal(0, 1, (len(strengths), 2, 96, 96))).float()
        fields = torch.cat(_fields(PUSH, strengths)) + noise
        curve = measure_fields([fields], box=BOX, rate=Fraction(25), along=exact)
        found.append(curve.noise_floor_px)
        spread.append(np.std(curve.values_px - exact.values_px, ddof=1))
    assert np.median(found) == pytest.approx(np.median(spread), rel=0.5)


def test_reference_other_than_the_first_frame():
    clip = TensorClip(synth.clip(synth.scaled(PUSH, 4), STRENGTHS, (96, 96)))
    first, middle = measure_clip(clip, BOX), measure_clip(clip, BOX, reference=4, like=_truth(PUSH))
    assert middle.values_px[4] == pytest.approx(0, abs=1e-3)
    assert middle.values_px[0] == pytest.approx(-first.peak_px, rel=0.06)


def test_one_frame_and_no_motion():
    one = _truth(PUSH, np.zeros(1))
    assert one.values_px == pytest.approx([0])
    assert one.explained == 0
    still = _truth(PUSH, np.zeros(8))
    assert not still.values_px.any()
    assert still.noise_floor_px == 0


def test_progress_ticks_once_a_frame_and_can_cancel():
    clip = TensorClip(synth.clip(PUSH, STRENGTHS[:5], (96, 96)), name="c")
    ticks = []
    measure_clip(clip, BOX, progress=lambda stage, done, total, preview: ticks.append((stage, done, total)))
    assert ticks == [("measure", k, 5) for k in range(1, 6)]

    def cancel(stage, done, total, preview):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        measure_clip(clip, BOX, progress=cancel)


@pytest.mark.parametrize(("side", "together"), [(96, [4, 4, 1]), (160, [2, 2, 2, 2, 1]), (300, [1] * 9)])
def test_small_pictures_are_measured_together(side, together):
    """As many as one large picture has pixels, and the curve is the same."""
    clip = TensorClip(synth.clip(PUSH, STRENGTHS, (side, side)))
    seen, ticks = [], []

    def measured(estimator):
        return measure_clip(
            clip, whole_frame_box(clip.info), estimator=estimator, progress=lambda *told: ticks.append(told[1])
        ).values_px

    def counted(reference, frames):
        seen.append(len(frames))
        return dense_displacement(reference, frames)

    def apart(reference, frames):
        return torch.cat([dense_displacement(reference, frame[None]) for frame in frames])

    assert measured(counted) == pytest.approx(measured(apart), abs=1e-6)
    assert seen == together and ticks == [*range(1, 10)] * 2


def test_boxes_outside_the_picture():
    clip = TensorClip(synth.clip(PUSH, STRENGTHS[:2], (96, 96)))
    with pytest.raises(MagPlusError, match="Give a box inside"):
        measure_clip(clip, FaceBox(cx=400, cy=50, width=40, height=40))
    partly = measure_clip(
        TensorClip(synth.clip(synth.shift(0.5, 0), STRENGTHS, (96, 96))), FaceBox(cx=90, cy=48, width=60, height=60)
    )
    assert partly.peak_px == pytest.approx(0.5, rel=0.1)
    with pytest.raises(MagPlusError, match="without frames"):
        measure_fields([], box=BOX, rate=Fraction(25))
    with pytest.raises(MagPlusError, match="no frame 9"):
        _truth(PUSH, reference=9)


def test_whole_frame_box_covers_every_pixel():
    box = whole_frame_box(ClipInfo(height=48, width=64, rate=Fraction(25), count=3))
    assert (box.cx - (box.width - 1) / 2, box.cx + (box.width - 1) / 2) == (0, 63)
    assert math.isclose(box.cy, 23.5)
    shifted = measure_fields([torch.zeros(1, 2, 48, 64), torch.ones(1, 2, 48, 64)], box=box, rate=Fraction(30000, 1001))
    assert shifted.peak_px == pytest.approx(math.sqrt(2), rel=1e-5)
    assert shifted.times_ms[1] == pytest.approx(1001 / 30)
