"""A frame that is no picture of the face must not become the clip's motion; a real motion must stay."""

import numpy as np
import pytest
import synth
import torch
from magplus.models.geometry import FaceBox
from magplus.models.registry import load_magnifier
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.measure import compare, dense_displacement, measure_clip
from magplus.pipeline.measure.stages import examine_stages
from magplus.pipeline.motion.auto import calibrate
from magplus.pipeline.motion.calibrate import Target
from magplus.pipeline.motion.loop import close_loop

SIZE = (96, 96)
BOX = FaceBox(cx=48.0, cy=48.0, width=72.0, height=78.0)
PUSH = synth.total(synth.bump(30, 30, 9, 0.1, -0.4), synth.bump(66, 30, 9, -0.1, -0.4))
COUNT, FACTOR = 15, 6.0
STRENGTHS = synth.micro_motion(COUNT, width=0.12)
ODD = 10
TEXTURE, OTHER = synth.Texture(1), synth.Texture(77)


def clip(factor, seed):
    frames = torch.stack([synth.render(TEXTURE, synth.scaled(PUSH, factor * float(s)), *SIZE) for s in STRENGTHS])
    return frames + 0.003 * torch.randn(frames.shape, generator=torch.Generator().manual_seed(seed))


def faulty(frames, fault):
    """The clip with a fault in frame `ODD`, or there and in the next one."""
    out, shifted = frames.clone(), synth.render(TEXTURE, synth.shift(12, 0), *SIZE)
    strange = synth.render(OTHER, synth.shift(0, 0), *SIZE)
    if fault == "black":
        out[ODD] = 0
    elif fault == "dim":
        out[ODD] *= 0.3
    elif fault == "torn":
        out[ODD, :, 45:] = strange[:, 45:]
    elif fault == "slipped":
        out[ODD, :, 45:] = shifted[:, 45:]
    else:
        out[ODD] = strange
        if fault == "two of another scene":
            out[ODD + 1] = 0
    return out


def measured(frames):
    return measure_clip(TensorClip(frames), BOX)


@pytest.fixture(scope="module")
def clips():
    return clip(1.0, 1), clip(FACTOR, 2)


@pytest.fixture(scope="module")
def sound(clips):
    """Curves of the clips without any fault."""
    return tuple(measured(frames) for frames in clips)


@pytest.mark.parametrize("fault", ["black", "dim", "torn", "slipped", "another scene", "two of another scene"])
def test_a_broken_frame_changes_no_number(clips, sound, fault):
    known = compare(*sound)
    assert known.left_out == () and known.gain == pytest.approx(FACTOR, rel=0.06)
    odd = (ODD, ODD + 1) if fault.startswith("two") else (ODD,)
    weak, strong = (measured(faulty(frames, fault)) for frames in clips)
    for first, second in ((weak, sound[1]), (sound[0], strong)):
        found = compare(first, second)
        assert found.left_out == odd and found.frames == COUNT - len(odd)
        assert found.gain == pytest.approx(known.gain, rel=0.03)
        assert found.correlation == pytest.approx(known.correlation, abs=0.005)
        assert found.lag_frames == pytest.approx(known.lag_frames, abs=0.1)
    assert weak.left_out == odd
    assert weak.peak_pct_face == pytest.approx(sound[0].peak_pct_face, rel=0.05)
    assert np.abs(weak.values_px - sound[0].values_px).max() < 0.045  # a line in place of a bell


def test_a_broken_frame_turns_no_head(clips):
    """Neither in a report: it is named, and the head's motion is that of the other frames."""
    box = {"input": BOX}
    sound, broken = (
        examine_stages({"input": TensorClip(frames)}, box, {})["input"].quality
        for frames in (clips[0], faulty(clips[0], "another scene"))
    )
    assert broken.odd_frames == [ODD]
    for name in ("pose_peak_pct_face", "yaw_peak_deg", "pose_leak_pct_face"):
        assert broken.numbers()[name] == pytest.approx(sound.numbers()[name], abs=0.1)


def test_a_broken_frame_does_not_choose_alpha(clips):
    about = {"magnifier": load_magnifier()[0], "target": Target(pct_face=3.0)}
    clean, broken = (
        calibrate(TensorClip(frames), BOX, **about)[0].alpha for frames in (clips[0], faulty(clips[0], "another scene"))
    )
    assert broken == pytest.approx(clean, rel=0.03)


def test_the_apex_of_a_fast_and_large_motion_stays():
    """One frame at a low rate, 7 % of the face: sudden, and explained by a displacement."""
    field = synth.total(synth.bump(48, 64, 14, 0.0, 5.0), synth.bump(48, 24, 14, 0.0, -4.0))
    frames = torch.stack([synth.render(TEXTURE, synth.scaled(field, s), *SIZE) for s in (0, 0, 0, 1.0, 0, 0, 0)])
    curve = measured(frames)
    assert curve.left_out == () and curve.peak_frame == 3


def test_a_blink_and_a_lamp_stay(clips):
    """What changes a small part of the face in one frame, or all of it alike, is no broken frame."""
    blink, lamp, cut = clips[0].clone(), clips[0].clone(), clips[0].clone()
    blink[7, :, 24:36, 22:40] = 0.4
    blink[7, :, 24:36, 56:74] = 0.4
    lamp[7:] = lamp[7:] + 0.06
    assert measured(blink).left_out == () and measured(lamp).left_out == ()
    cut[6:] = clip(1.0, 3)[6:] * 0 + synth.render(OTHER, synth.shift(0, 0), *SIZE)
    assert measured(cut).left_out == (), "another scene for the larger part of a clip is no fault of a few frames"


def test_left_out_frames_are_found_at_another_rate():
    rates = (25, 50)
    curves = []
    for rate in rates:
        count = COUNT * rate // 25
        strengths = synth.micro_motion(count, width=0.12)
        frames = synth.clip(PUSH, strengths, SIZE, seed=1)
        if rate == 50:
            frames[20] = 0
        curves.append(measure_clip(TensorClip(frames, rate), BOX))
    assert curves[1].left_out == (20,)
    assert compare(*curves).left_out == (10,)
    assert compare(curves[1], curves[0]).left_out == (20,)


def test_gains_by_place_are_those_without_the_fault(clips):
    """The loop that de-magnification closes part by part regresses the fields themselves."""
    small, large = (TensorClip(frames) for frames in clips)
    torn = TensorClip(faulty(clips[1], "another scene"))
    boxes = {"input": BOX, "generated": BOX}
    fine, mended = (
        close_loop(
            {"input": small, "generated": result}, boxes, gain="regions", estimator=dense_displacement
        ).local.by_region()["brows"]
        for result in (large, torn)
    )
    assert fine == pytest.approx(FACTOR, rel=0.1)
    assert mended == pytest.approx(fine, rel=0.05)
