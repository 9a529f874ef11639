"""A slice of the benchmark and of the release rule, small enough for every run of the tests."""

import math

import pytest
import torch


@pytest.fixture(scope="module")
def bench(benchmark_of):
    return benchmark_of("magnification")


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
        assert math.isnan(ours["gain_clear"]) or abs(ours["gain_clear"] - 1) < 0.03, line
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


@pytest.mark.parametrize("alpha", [4.0, 1 / 32])
def test_the_gain_is_told_whatever_blurs_and_noise_do(bench, alpha):
    drawn = bench.scene(3, 1, alpha, 112)
    part, blur = bench.metrics.MotionGain(drawn.shown, 1 / alpha, drawn.motion), bench.metrics.gaussian_blur
    assert part(drawn.frame) == pytest.approx(1 / alpha, rel=0.01)
    for strength in (0.4, 0.97, 1.0, 1.2):
        shown, still = drawn.shown(strength), drawn.reference
        assert part(shown) == pytest.approx(strength, abs=0.002)
        blurred, still_blurred = (blur(picture[None], 0.7)[0] for picture in (shown, still))
        assert part(blurred) - part.pretended(still_blurred) == pytest.approx(strength, abs=0.05)
        assert part(0.5 * shown + 0.2) - part.pretended(0.5 * still) == pytest.approx(strength, abs=0.05)


def test_the_gain_of_the_true_motion_is_one_in_noise(bench):
    camera, drawn = bench.CAMERAS[2], bench.scene(1, 18, 1 / 32, 112)
    part = bench.metrics.MotionGain(drawn.shown, 32, drawn.motion)

    def run(factor):
        """The mixture that is right to first order, and one that shows more of the motion."""
        return lambda reference, frames, alpha: torch.lerp(reference[None], frames, alpha * factor)

    for factor, wanted in ((1.0, 1.0), (1.1, 1.1)):
        found = run(factor)
        out = found(*bench.seen(drawn, camera, seed=1), 1 / 32)[0]
        gain = bench._gain(part, found, drawn, camera=camera, seed=1, out=out)
        assert gain == pytest.approx(wanted, abs=0.05)


def test_noise_of_a_still_picture_is_not_made_to_move(bench):
    import magnification_rule as rule  # noqa: PLC0415

    with torch.no_grad():
        told = rule.still(bench.methods_with(None)["lkmag"], size=112, seed=7)
    assert [text for text in told if text.startswith("MISSED")] == []
