"""The template around LivePortraitKJ's own nodes: opened with them, and run with a stand-in for them.

Their weights are not here. What they give, a portrait as a clip of its own size, Animate Portrait and Paste Back give
in their place.
"""

import pytest
import torch
from comfy_prompts import complete, node, saved
from comfy_server import PACK
from magplus.pipeline.media import open_clip
from test_page import check

NAME = "De-magnify another model's output"
CLIP, PORTRAIT, MAGNIFY, BOX, COMPOSITE, DEMAGNIFY, SAVE, REPORT = "2", "3", "4", "5", "10", "11", "12", "13"


@pytest.fixture
def portrait_pack(comfy):
    """LivePortraitKJ on the server."""
    if "LivePortraitComposite" not in comfy.get("/object_info"):
        pytest.skip("ComfyUI-LivePortraitKJ is not loaded: name a checkout of it with LPKJ_DIR")


def test_it_opens_with_nothing_missing_and_what_follows_the_other_model_runs(comfy, portrait_pack, page, shots):
    page.open_template(PACK, NAME)
    kinds = {one["type"] for one in check(page)}
    assert {"LivePortraitProcess", "LivePortraitComposite", "MagPlusDemagnify"} <= kinds
    page.shot(shots / f"{NAME}, opened, {'nodes 2.0' if page.vue else 'canvas'}.png")
    run = comfy.run(complete(comfy, _with_stand_in(page.queued_form()[1])), timeout=600)
    assert run.status == "execution_success", run.error
    frames = torch.cat(list(open_clip(saved(comfy, run, SAVE, ".mkv")).chunks()))
    assert frames.shape == (36, 3, 600, 512)
    assert (frames[0] != frames[-1]).float().mean() < 0.001, "the expression begins and ends at rest"
    (said,) = run.outputs["gain"]["text"]
    assert float(said) == pytest.approx(1, abs=0.05)


def _with_stand_in(prompt):
    """The template's prompt, our own generator in place of LivePortrait's nodes."""
    prompt = {key: one for key, one in prompt.items() if not one["class_type"].startswith(("LivePortrait", "Download"))}
    prompt["flow"] = node("MagPlusFlowTransfer")
    prompt["animate"] = node(
        "MagPlusAnimate", backbone=["flow", 0], source=[PORTRAIT, 0], driving=[MAGNIFY, 0], source_box=[BOX, 0],
        driving_box=[MAGNIFY, 3],
    )  # fmt: skip
    prompt[COMPOSITE] = node(
        "MagPlusPasteBack", images=[PORTRAIT, 0], processed=["animate", 0], crop=["animate", 5], mode="replace"
    )
    prompt["gain"] = node("PreviewAny", source=[REPORT, 2])
    return prompt
