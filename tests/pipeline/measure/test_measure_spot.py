"""Spotting: known events are found where they are, and nothing else is."""

from fractions import Fraction

import numpy as np
import pytest
from magplus.models.errors import MagPlusError
from magplus.models.geometry import FaceBox
from magplus.pipeline.measure.annotations import Annotation, agreement, overlap, read_annotations
from magplus.pipeline.measure.arc import CI95, fit_arc, shape
from magplus.pipeline.measure.curve import GRID, MotionCurve
from magplus.pipeline.measure.expression import BLINKS, agreement_numbers, events_csv, spot_face
from magplus.pipeline.measure.regions import RegionMotion, RegionShift
from magplus.pipeline.measure.spot import SpotLimits, spot

LIMITS = SpotLimits()
NOISE = 0.01


def sampled(function, rate, *, seconds=2.0, noise=NOISE, seed=0):
    times = np.arange(round(seconds * rate)) * 1000 / rate
    return times, function(times) + noise * np.random.default_rng(seed).standard_normal(len(times))


def arc(onset, apex, offset, height=0.2):
    return lambda times: height * shape(times, onset, apex, offset)


def bell(centre, sigma, height=0.2):
    return lambda times: height * np.exp(-((times - centre) ** 2) / (2 * sigma**2))


def events(function, rate, **about):
    return spot(*sampled(function, rate, **about), limits=LIMITS).events


@pytest.mark.parametrize("rate", [25, 60, 200])
def test_two_events_on_a_drift_are_found_within_their_intervals(rate):
    def motion(times):
        drift = 0.1 * times / 1000 + 0.1 * np.sin(2 * np.pi * times / 5000)
        return arc(200, 290, 420)(times) + arc(700, 820, 930, -0.25)(times) + drift

    found = events(motion, rate)
    assert len(found) == 2
    for event, truth in zip(found, [(200, 290, 420), (700, 820, 930)], strict=True):
        one = event.arc
        for value, sigma, at in zip(
            (one.onset_ms, one.apex_ms, one.offset_ms),
            (one.onset_sigma_ms, one.apex_sigma_ms, one.offset_sigma_ms),
            truth,
            strict=True,
        ):
            assert abs(value - at) < 2 * CI95 * sigma + 2
            assert sigma < 20
    assert found[0].arc.height == pytest.approx(0.2, abs=0.03)
    assert found[1].arc.height == pytest.approx(-0.25, abs=0.03)


@pytest.mark.parametrize("motion", [arc(300, 380, 520), bell(410, 55)], ids=["arc", "bell"])
def test_25_and_200_fps_agree_within_their_intervals(motion):
    apart = []
    for seed in range(12):
        (slow,), (fast,) = (events(motion, rate, seed=seed) for rate in (25, 200))
        for name in ("onset", "apex", "offset", "duration"):
            values = [getattr(e.arc, f"{name}_ms") for e in (slow, fast)]
            sigmas = [getattr(e.arc, f"{name}_sigma_ms") for e in (slow, fast)]
            apart.append(abs(values[0] - values[1]) / (CI95 * np.hypot(*sigmas)))
    assert np.mean(np.array(apart) < 1) >= 0.9
    assert max(apart) < 2


@pytest.mark.parametrize("rate", [25, 200])
def test_flat_noise_has_no_event_and_says_so(rate):
    for seed in range(10):
        found = spot(*sampled(np.zeros_like, rate, seed=seed), limits=LIMITS)
        assert not found.events
        assert found.reason.startswith("no movement stands 5 times above the noise")


def coded(seed, count=100):
    """What is left of noise behind a video codec: it stays for some frames, drifts, and is drawn anew."""
    draw = np.random.default_rng(seed)
    steps = draw.standard_normal(count) * np.where(draw.random(count) < 0.3, 0.05, 0.01)
    return lambda times: np.cumsum(steps)


def test_a_curve_that_never_rests_has_no_event():
    found = [events(coded(seed), 25, seconds=4) for seed in range(20)]
    assert sum(map(len, found)) <= 1


def test_an_event_larger_than_the_unrest_is_found():
    for seed in range(6):
        unrest = coded(seed)
        found = events(lambda t, unrest=unrest: unrest(t) + arc(1500, 1640, 1800, 0.8)(t), 25, seconds=4, seed=seed)
        assert [round(e.arc.apex_ms) for e in found] == [pytest.approx(1640, abs=40)]
        assert found[0].prominence < 40


def test_the_prominence_limit_decides():
    times, values = sampled(arc(500, 600, 750), 50)
    assert spot(times, values, limits=SpotLimits(prominence=20)).events
    assert not spot(times, values, limits=SpotLimits(prominence=100)).events


@pytest.mark.parametrize("rate", [25, 200])
@pytest.mark.parametrize(
    "motion",
    [arc(100, 700, 1600, 1.0), lambda t: 0.5 * np.sin(2 * np.pi * t / 4000), lambda t: 0.4 * t / 1000],
    ids=["smile", "sway", "ramp"],
)
def test_slow_motion_is_no_event(motion, rate):
    found = spot(*sampled(motion, rate), limits=LIMITS)
    assert not found.events
    assert "longer than 500 ms" in found.reason or "no movement" in found.reason


def test_an_event_on_a_slow_movement_is_found():
    found = events(lambda t: arc(100, 900, 1900, 1.0)(t) + arc(800, 900, 1000, 0.12)(t), 100)
    assert [round(e.arc.apex_ms, -1) for e in found] == [pytest.approx(900, abs=20)]


def test_limits_are_kept():
    motion = arc(500, 600, 750)
    assert events(motion, 100)
    times, values = sampled(motion, 100)
    for limits, why in (
        (SpotLimits(longest_ms=200), "longer than 200"),
        (SpotLimits(shortest_ms=300), "shorter than 300"),
        (SpotLimits(least_pct_face=0.3), "less than 0.3"),
    ):
        found = spot(times, values, limits=limits)
        assert not found.events and why in found.reason
    with pytest.raises(MagPlusError, match="shortest duration"):
        SpotLimits(shortest_ms=500, longest_ms=40)
    with pytest.raises(MagPlusError, match="9 or more"):
        spot(times[:8], values[:8], limits=LIMITS)


def test_a_still_curve_has_none():
    assert spot(np.arange(20) * 40.0, np.zeros(20), limits=LIMITS).reason == "nothing moves at all"


def test_the_intervals_of_the_fit_are_true():
    """Of many noises, 95 % of the errors lie within."""
    inside = []
    for seed in range(80):
        times, values = sampled(arc(500, 590, 740), 50, seed=seed)
        one = fit_arc(times, values, centre_ms=610, duration_ms=220, sigma=NOISE)
        inside += [
            abs(one.onset_ms - 500) < CI95 * one.onset_sigma_ms,
            abs(one.apex_ms - 590) < CI95 * one.apex_sigma_ms,
            abs(one.offset_ms - 740) < CI95 * one.offset_sigma_ms,
            abs(one.duration_ms - 240) < CI95 * one.duration_sigma_ms,
            abs(one.height - 0.2) < CI95 * one.height_sigma,
        ]
    assert 0.85 < np.mean(inside) <= 1.0


def region(values, rate=50, direction=(0.0, 1.0)):
    mode = np.zeros((2, GRID, GRID))
    curve = MotionCurve(
        values_pct_face=values,
        noise_floor_pct_face=NOISE,
        rate=Fraction(rate),
        reference=0,
        box=FaceBox(cx=50, cy=50, width=100, height=100),
        mode=mode,
        weights=mode,
        explained=1.0,
    )
    return RegionMotion(
        curve=curve,
        magnitude_pct_face=np.abs(values),
        direction=direction,
        shift=RegionShift.of(np.outer(values, direction)),
    )


def on_face(**motions):
    return {name: region(sampled(motion, 50, seed=k)[1]) for k, (name, motion) in enumerate(motions.items())}


def test_regions_that_move_together_make_one_event_and_others_their_own():
    found = spot_face(
        on_face(
            face=arc(300, 400, 560), brows=arc(300, 400, 560, 0.3), eyes=arc(310, 410, 560), mouth=arc(900, 980, 1100)
        ),
        LIMITS,
    )
    assert [(e.region, sorted(e.by_region)) for e in found.events] == [
        ("brows", ["brows", "eyes", "face"]),
        ("mouth", ["mouth"]),
    ]
    assert found.strongest is found.events[0]
    assert found.verdict.startswith("brows: onset")


def test_a_blink_is_told_apart():
    blink = {"face": arc(300, 380, 580, 0.8), "eyes": arc(300, 380, 580, 2.0), "brows": np.zeros_like}
    found = spot_face(on_face(**blink), LIMITS)
    assert [e.label for e in found.events] == [BLINKS]
    assert found.strongest is None
    assert found.verdict.startswith("none: 1 blink only")
    upwards = {name: region(m.curve.values_pct_face, direction=(0.0, -1.0)) for name, m in on_face(**blink).items()}
    assert spot_face(upwards, LIMITS).strongest is not None
    both = spot_face(on_face(**(blink | {"brows": arc(310, 390, 560, 1.5)})), LIMITS)
    assert both.strongest is not None


def test_the_table_comes_back():
    found = spot_face(on_face(face=lambda t: arc(300, 400, 560)(t) + arc(900, 980, 1100)(t)), LIMITS)
    table = events_csv(found.events, 20.0)
    back = read_annotations(table, Fraction(50))
    assert len(back) == 2
    for one, event in zip(back, found.events, strict=True):
        assert one.apex_ms == pytest.approx(event.main.arc.apex_ms, abs=0.01)
        assert overlap(one, event) > 0.99
    frames = "\n".join(
        ",".join(line.split(",")[4:7]) for line in table.splitlines()
    )  # the columns that count frames alone
    assert read_annotations(frames, Fraction(50))[1].onset_ms == pytest.approx(back[1].onset_ms, abs=0.2)
    assert agreement_numbers(found.events, back)["f1"] == 1.0
    assert read_annotations(events_csv([], 20.0), Fraction(50)) == []


def test_agreement_counts_each_event_once():
    spotted = [Annotation(onset_ms=a, offset_ms=b) for a, b in ((0, 100), (20, 120), (500, 600))]
    truth = [Annotation(onset_ms=a, offset_ms=b) for a, b in ((10, 110), (900, 990))]
    found = agreement(spotted, truth)
    assert len(found.hits) == 1 and found.hits[0][1] == 0
    assert len(found.false) == 2 and found.missed == [1]
    assert found.f1 == pytest.approx(0.4)
    assert agreement([], []).f1 is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2", "no column onset"),
        ("onset,offset\n5,3", "offset after"),
        ("onset_ms,offset_ms\nx,3", "no onset_ms"),
    ],
)
def test_a_wrong_table_is_explained(text, words):
    with pytest.raises(MagPlusError, match=words):
        read_annotations(text, Fraction(25))
