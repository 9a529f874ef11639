"""Frames, rates and sound to and from ComfyUI's own video nodes and VideoHelperSuite."""

from fractions import Fraction

import pytest
import torch
from comfy_prompts import complete, moving_frames, node, saved, write_clip
from magplus.pipeline.media import AudioBuffer, exact_rate, open_clip

COUNT = 10
RATES = [Fraction(200), Fraction(30000, 1001)]


@pytest.fixture(params=RATES, ids=["200 fps", "29.97 fps"])
def rate(request):
    return request.param


@pytest.fixture
def clip(comfy, rate):
    """A clip with sound of one second's pitch, in the input folder."""
    length = int(8000 * COUNT / rate)
    tone = AudioBuffer(waveform=0.3 * torch.sin(torch.arange(length) * 0.3)[None], sample_rate=8000)
    return write_clip(comfy.base / "input" / "interop.mp4", moving_frames(COUNT), rate, audio=tone)


def _run(comfy, prompt):
    run = comfy.run(complete(comfy, prompt))
    assert run.status == "execution_success", run.error
    return run


def _core_file(comfy, run, node_id, key="images"):
    (shown,) = run.outputs[node_id][key]
    return comfy.base / "output" / shown["subfolder"] / shown["filename"]


def _same(path, rate):
    clip = open_clip(path)
    assert (clip.info.count, clip.info.rate) == (COUNT, rate)
    return clip


def _as_core_writes(path, rate):
    """Core's writer rounds to a thousandth of a frame per second; our nodes take the result for what it was."""
    clip = _same(path, Fraction(round(rate * 1000), 1000))
    assert exact_rate(clip.info.rate) == rate
    return clip


def test_core_loads_and_saves_around_our_nodes(comfy, clip, rate):
    run = _run(
        comfy,
        {
            "1": node("LoadVideo", file=clip.name),
            "2": node("GetVideoComponents", video=["1", 0]),
            "3": node("MagPlusMagnify", images=["2", 0], alpha_mode="number", alpha=4.0),
            "4": node("CreateVideo", images=["3", 0], audio=["2", 1], fps=["2", 2]),
            "5": node("SaveVideo", video=["4", 0], filename_prefix="interop/core", format="auto", codec="auto"),
        },
    )
    assert _as_core_writes(_core_file(comfy, run, "5"), rate).audio is not None


def test_our_video_goes_into_core_and_core_video_into_ours(comfy, clip, rate):
    run = _run(
        comfy,
        {
            "1": node("MagPlusLoadVideo", file=clip.name),
            "2": node("SaveVideo", video=["1", 3], filename_prefix="interop/ours", format="auto", codec="auto"),
            "3": node("LoadVideo", file=clip.name),
            "4": node("MagPlusSaveVideo", video=["3", 0], filename_prefix="interop/master", check_preview=False),
        },
    )
    assert _as_core_writes(_core_file(comfy, run, "2"), rate).audio is not None
    assert _same(saved(comfy, run, "4", ".mkv"), rate).audio is not None
    assert _same(saved(comfy, run, "4", "preview.mp4"), rate).audio is not None


def test_video_helper_suite(comfy, clip, rate):
    if "VHS_LoadVideo" not in comfy.get("/object_info"):
        pytest.skip("VideoHelperSuite is not loaded: name a checkout of it with VHS_DIR")
    run = _run(
        comfy,
        {
            "1": node(
                "VHS_LoadVideo", video=clip.name, force_rate=0, custom_width=0, custom_height=0, frame_load_cap=0,
                skip_first_frames=0, select_every_nth=1,
            ),
            "2": node("VHS_VideoInfo", video_info=["1", 3]),
            "3": node("MagPlusMagnify", images=["1", 0], alpha_mode="number", alpha=4.0),
            "4": node(
                "VHS_VideoCombine", images=["3", 0], audio=["1", 2], frame_rate=["2", 5], loop_count=0,
                filename_prefix="interop/vhs", format="video/h264-mp4", pingpong=False, save_output=True,
            ),
            "5": node(
                "MagPlusSaveVideo", images=["1", 0], audio=["1", 2], fps=["2", 5], filename_prefix="interop/from_vhs",
                check_preview=False,
            ),
        },
    )  # fmt: skip
    assert _same(saved(comfy, run, "5", ".mkv"), rate).audio is not None
    _same(_core_file(comfy, run, "4", "gifs"), rate)
