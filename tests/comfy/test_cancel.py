"""Cancel stops every slow node within two seconds, leaves no file behind, and the next run is clean."""

from fractions import Fraction

import pytest
from comfy_prompts import complete, moving_frames, node, write_clip

LIMIT_S = 2.0
LOADED = {
    "clip": node("MagPlusLoadVideo", file="long.mkv"),
    "generator": node("MagPlusFlowTransfer"),
}
STAGES = {
    "Magnify": node("MagPlusMagnify", images=["clip", 0], alpha_mode="number", alpha=8.0),
    "Animate": node("MagPlusAnimate", backbone=["generator", 0], source=["clip", 0], driving=["clip", 0]),
    "De-magnify": node("MagPlusDemagnify", generated=["clip", 0], factor_mode="number", alpha=4.0),
    "Save": node("MagPlusSaveVideo", images=["clip", 0], filename_prefix="cancelled/clip"),
}


@pytest.fixture(scope="module")
def long_clip(comfy):
    """Long enough for every stage to be caught at work, large enough for a frame to take its time."""
    frames = moving_frames(30, side=384)
    return write_clip(comfy.base / "input" / "long.mkv", frames.repeat(4, 1, 1, 1), Fraction(50))


def _prompt(comfy, stage, **loading):
    prompt = {**LOADED, "stage": STAGES[stage]}
    if stage == "Animate":
        prompt["portrait"] = node("MagPlusLoadVideo", file="long.mkv", stop_frame=1)
        prompt["stage"] = {**STAGES[stage], "inputs": {**STAGES[stage]["inputs"], "source": ["portrait", 0]}}
    if stage != "Save":
        prompt["shown"] = node("PreviewImage", images=["stage", 0])
    prompt["clip"] = node("MagPlusLoadVideo", file="long.mkv", **loading)
    return complete(comfy, prompt)


@pytest.mark.parametrize("stage", STAGES)
def test_cancel(comfy, long_clip, stage, record_property):
    before = comfy.files(), comfy.files("temp")
    run = comfy.run(
        _prompt(comfy, stage),
        interrupt=lambda kind, data: kind == "progress" and data["node"] == "stage" and data["value"] >= 3,
    )
    assert run.status == "execution_interrupted", run.error
    times = {kind: at for at, kind, _ in run.events}
    took = times["execution_interrupted"] - times["asked to stop"]
    record_property("stopped after (s)", round(took, 2))
    assert took < LIMIT_S
    assert (comfy.files(), comfy.files("temp")) == before
    again = comfy.run(_prompt(comfy, stage, stop_frame=6))
    assert again.status == "execution_success", again.error
