"""The judge: the truth passes, and every kind of mistake that the proof may make does not."""

from dataclasses import replace

import pytest
import torch
from magplus.models.keyface.backbone import FRAMING
from magplus.pipeline.proof.arms import ARMS, Driven, fitted_factors, results_of
from magplus.pipeline.proof.clips import Scenario, driving_clip, goal_of
from magplus.pipeline.proof.judge import interval, judge, mean_intervals, rate_interval, spots

SCENARIO = Scenario(name="test", part="score", pair=7, actions=("brows", "mouth left"), peak_px=0.5)


@pytest.fixture(scope="module")
def goal():
    return goal_of(SCENARIO, FRAMING)


def test_the_goal_moves_as_the_scenario_says(goal):
    peaks = goal.fields.norm(dim=1).flatten(1).amax(1)
    assert float(peaks.max()) == pytest.approx(0.5, rel=0.12)
    first, second = (goal.fields[:, :, goal.regions[k]].norm(dim=1).mean(1) for k in (0, 1))
    assert 1 <= int(second.argmax()) - int(first.argmax()) <= 3, "80 ms at 25 fps are two frames"
    assert goal.fields[0].abs().max() == 0


def test_the_truth_passes(goal):
    score = judge(goal.fields, goal)
    assert score.good and score.error_px == 0 and score.leak_px == 0
    assert score.gains == pytest.approx((1, 1)) and score.lags_frames == pytest.approx((0, 0), abs=0.01)


@pytest.mark.parametrize("factor", [0.0, 0.5, 0.8, 1.25, 2.0, -1.0])
def test_a_wrong_factor_fails(goal, factor):
    score = judge(factor * goal.fields, goal)
    assert not score.good
    assert score.gains == pytest.approx((factor, factor), abs=1e-6)


def test_motion_that_is_late_elsewhere_or_noisy_fails(goal):
    late = torch.cat([goal.fields[:2], goal.fields[:-2]])
    score = judge(late, goal)
    assert not score.good and min(score.lags_frames) > 1.5
    elsewhere = goal.fields.roll(30, dims=-1)
    assert not judge(elsewhere, goal).good
    noise = 0.5 * torch.randn(goal.fields.shape, generator=torch.Generator().manual_seed(0))
    assert not judge(goal.fields + noise, goal).good


def test_one_wrong_region_is_enough_to_fail(goal):
    half = goal.fields.clone()
    half[:, :, goal.regions[1]] *= 0.6
    score = judge(half, goal)
    assert not score.good and score.gains == pytest.approx((1, 0.6), abs=0.05)


def test_gains_are_fitted_and_a_wrong_factor_of_the_arms_fails(goal):
    driven = Driven(
        fields={"direct": 0.5 * goal.fields, "magnified": 4.0 * goal.fields},
        alpha=8.0,
        gains={"direct": None, "magnified": 4.0},
        factors={"direct": None, "magnified": torch.full(goal.moving.shape, 0.25)},
    )
    fitted = fitted_factors([(driven, goal)])
    assert fitted == pytest.approx({"direct": 2.0, "magnified": 2.0})
    results = results_of(driven, fitted)
    assert tuple(results) == ARMS
    passed = {arm for arm, found in results.items() if found is not None and judge(found, goal).good}
    assert passed == {"direct, gain fitted", "Mag + DeMag auto", "Mag + DeMag by region", "Mag, gain fitted"}
    assert results["direct, gain auto"] is None, "a loop that refuses gives nothing"
    assert results["direct, gain by region"] is None


def test_spots_are_counted_where_something_moves(goal):
    assert spots(goal.fields, goal, 40.0) == 2
    assert spots(0.1 * goal.fields, goal, 40.0) == 0


def test_the_interval_holds_the_mean_and_tells_differences_from_none():
    mean, low, high = interval([-0.2, -0.1, -0.3, -0.2])
    assert low < mean < high < 0
    assert interval([0.1, -0.1])[1] <= 0 <= interval([0.1, -0.1])[2]


def test_intervals_of_the_figure_hold_the_mean_and_grow_with_the_spread(goal):
    noise = torch.randn(goal.fields.shape, generator=torch.Generator().manual_seed(0))
    calm, wild = (judge(0.8 * goal.fields + size * noise, goal) for size in (0.01, 0.2))
    error, gain = mean_intervals([calm.frames])
    assert error[0] < calm.error_px / calm.motion_px < error[1]
    assert gain[0] <= 0.8 + 0.01 and gain[1] >= 0.8 - 0.01 and gain[1] - gain[0] < 0.05
    both = mean_intervals([calm.frames, wild.frames])[0]
    assert both[1] - both[0] > 3 * (error[1] - error[0])
    still = mean_intervals([judge(torch.zeros_like(goal.fields), goal).frames])[0]
    assert still == pytest.approx((1, 1)), "a frozen picture misses all of the motion, in every frame"
    assert "frames" not in calm.report()


def test_the_limits_of_a_count_are_exact():
    """Tables of Poisson limits: 0 events 0 .. 3.689, 1 event 0.0253 .. 5.572, 10 events 4.795 .. 18.39."""
    for count, low, high in ((0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.39)):
        assert rate_interval(count) == pytest.approx((low, high), rel=1e-3)


def test_a_clip_has_noise_its_rate_and_two_events():
    clip = driving_clip(replace(SCENARIO, rate=6, name="slow"))
    assert clip.info.count == 4 and clip.info.rate == 6
    step = (clip.frames[1] - clip.frames[0]).std()
    assert 0.008 * 2**0.5 < float(step) < 0.013 * 2**0.5
