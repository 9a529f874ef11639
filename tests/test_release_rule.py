"""A slice of the benchmark and of the release rule, small enough for every run of the tests."""

import math
import sys

import pytest
import torch


@pytest.fixture(scope="module")
def bench(root):
    sys.path.insert(0, str(root / "benchmarks"))
    import magnification  # noqa: PLC0415

    yield magnification
    sys.path.remove(str(root / "benchmarks"))


@pytest.fixture(scope="module")
def results(bench):
    with torch.no_grad():
        clean, rounded, noisy = bench.CAMERAS[:3]
        lines = [(4.0, clean), (4.0, noisy), (1 / 8, clean), (1 / 8, rounded)]
        return bench.evaluate(bench.methods_with(None), lines, scenes=1, size=112, seed=7)


def test_the_builtin_magnifier_is_ahead_of_the_rivals(results):
    for line, found in results.items():
        ours = found["lkmag"]
        slack = 0.3 if line[1] == "clean" else 0.0
        for name in ("input", "linear", "phase", "DIS", "DIS smooth"):
            assert ours["psnr"] > found[name]["psnr"] - slack, (line, name)
        for name in ("input", "phase", "DIS", "DIS smooth"):
            assert ours["error_px"] < found[name]["error_px"] + 0.02, (line, name)
        # The rule's own bound is missed, see docs/lkmag.md; training must not have cost more than this.
        gains = [found[name]["gain_clear"] for name in ("lkmag", "untrained")]
        assert math.isnan(gains[0]) or abs(gains[0] - 1) < abs(gains[1] - 1) + 0.1
        assert not ours["noise_gain"] >= 1


def test_the_rivals_do_what_they_are_known_for(results):
    for (alpha, camera), found in results.items():
        if alpha > 1:
            assert found["phase"]["psnr"] > found["input"]["psnr"] + 1
            assert found["linear"]["noise_gain"] > 2 or camera == "clean"
            assert found["phase"]["noise_gain"] < 1.5 or camera == "clean"
        if camera == "clean":
            assert found["DIS"]["psnr"] > found["input"]["psnr"] + 3
            assert found["input"]["gain"] == pytest.approx(1 / alpha, rel=0.1)


def test_the_truth_has_no_error_and_the_right_gain(bench):
    drawn = bench.scene(3, 1, 4.0, 112)
    told = bench.metrics.MotionError(drawn.truth, drawn.motion * 0.75)
    assert told(drawn.truth) < 0.01
    wanted = 0.75 * bench.metrics.inner(drawn.motion.square().sum(0).sqrt())[told.counted].mean()
    assert told(drawn.frame) == pytest.approx(float(wanted), rel=0.2)
    for strength in (0.4, 1.0, 1.2):
        shown = drawn.picture(4 * strength)
        assert told.gain(shown, drawn.motion) == pytest.approx(strength, abs=0.05)
        blurred = bench.metrics.gaussian_blur(shown[None], 1.0)[0]
        assert told.gain(blurred, drawn.motion) == pytest.approx(strength, abs=0.12)


def test_noise_of_a_still_picture_is_not_made_to_move(bench):
    import magnification_rule as rule  # noqa: PLC0415

    with torch.no_grad():
        told = rule.still(bench.methods_with(None)["lkmag"], size=112, seed=7)
    assert [text for text in told if text.startswith("MISSED")] == []
