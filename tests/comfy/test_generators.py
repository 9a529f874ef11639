"""The generators with weights in a real ComfyUI, under deterministic ones that lie where a user would put them.

Under these weights a portrait moves anyhow, so that the motion is scaled back by a number, not by a measured gain.
"""

import json
from fractions import Fraction

import emoportraits_files
import fomm_files
import fsrt_files
import metaportrait_files
import pytest
import torch
from comfy_prompts import complete, moving_frames, node, saved, write_clip
from comfy_server import PACK
from magplus.nodes import NODES
from magplus.nodes.core_standins import STANDINS
from magplus.nodes.headless import registry
from magplus.pipeline.graph import apply_setting, to_graph
from magplus.pipeline.graph.graph import api_form
from magplus.pipeline.media import open_clip
from safetensors.torch import save_file
from test_page import check

FRAMES = {"FOMM": 4, "FSRT": 2, "MetaPortrait": 2, "EMOPortraits": 2}
"""Of FSRT a frame takes half a minute of one core."""
SIZES = {"FOMM": (600, 512), "FSRT": (256, 256), "MetaPortrait": (512, 512), "EMOPortraits": (600, 512)}
SETTINGS = {"MetaPortrait": ("MetaPortrait Guides.identity=zeros",), "FSRT": ("De-magnify Motion.pixels=generated",)}
"""MetaPortrait's are quick. FSRT's pictures change under these weights, but nothing in them moves: that is seen in its
own pixels alone."""


@pytest.fixture(scope="module")
def weights(comfy):
    """Converted files, and FSRT's as its authors publish them."""
    folder = comfy.base / "models" / "magplus"
    folder.mkdir(exist_ok=True)
    save_file(fomm_files.flat(), folder / "fomm_vox-adv.safetensors")
    save_file(fsrt_files.flat(), folder / "fsrt_vox256.safetensors")
    save_file(metaportrait_files.flat(), folder / "metaportrait_base.safetensors")
    save_file(metaportrait_files.superres("sr"), folder / "metaportrait_sr.safetensors")
    save_file(emoportraits_files.joined(), folder / "emoportraits.safetensors")
    fsrt_files.published(folder)
    return folder


def _frames(path):
    return torch.cat(list(open_clip(path).chunks()))


def _template(root, name, *settings):
    """The template in execution form with a few frames, and the id of the node that saves its result."""
    types = registry([*NODES, *STANDINS])
    graph = to_graph(json.loads((root / "workflows" / f"{name}.json").read_text()), types)
    part = ("Clip.start_frame=10", f"Clip.stop_frame={10 + FRAMES[name]}")
    # At alpha 8 these weights make less than half a level of 8 bits of one frame's motion: there is none to tell.
    numbers = ("Magnify Motion.alpha_mode=number", "Magnify Motion.alpha=32", "De-magnify Motion.factor_mode=number")
    for setting in (*part, *numbers, *SETTINGS.get(name, ()), *settings):
        apply_setting(graph, types, setting)
    ids = {one.title: one.id for one in graph.values()}
    # The other outputs measure what moves anyhow.
    prompt = {key: value for key, value in api_form(graph).items() if key != ids["Motion Report"]}
    return prompt, ids


@pytest.mark.parametrize("name", FRAMES)
def test_the_templates_chain_runs_and_loads_its_weights_once(comfy, root, weights, name):
    prompt, ids = _template(root, name)
    first = comfy.run(prompt, timeout=900)
    assert first.status == "execution_success", first.error
    frames = _frames(saved(comfy, first, ids["Save the result"], ".mkv"))
    assert frames.shape == (FRAMES[name], 3, *SIZES[name]) and torch.isfinite(frames).all()
    # The server itself leaves out what comes too fast, and the picture at the end has a bar of its own.
    ticks = [data["value"] for data in first.of("progress") if data["node"] == ids["Animate Portrait"]]
    assert name != "FSRT" or ticks[:1] == [1]
    again, _ = _template(root, name, "De-magnify Motion.intensity=0")
    second = comfy.run(again, timeout=900)
    assert second.status == "execution_success", second.error
    assert {ids[name], ids["Animate Portrait"]} <= second.cached
    still = _frames(saved(comfy, second, ids["Save the result"], ".mkv"))
    assert torch.equal(still[0], still[-1]) and not torch.equal(still[0], frames[-1])


def test_emoportraits_head_lies_over_the_portraits_own_background(comfy, root, weights):
    prompt, ids = _template(root, "EMOPortraits")
    animate, portrait = ids["Animate Portrait"], ids["Portrait"]
    prompt["paste"] = node(
        "MagPlusPasteBack", images=[portrait, 0], processed=[animate, 0], crop=[animate, 5], mask=[animate, 1],
        mode="replace",
    )  # fmt: skip
    prompt["whole"] = node("MagPlusSaveVideo", images=["paste", 0], format="npy", check_preview=False)
    prompt["as it was"] = node("MagPlusSaveVideo", images=[portrait, 0], format="npy", check_preview=False)
    run = comfy.run(complete(comfy, prompt), timeout=900)
    assert run.status == "execution_success", run.error
    pasted, before = (_frames(saved(comfy, run, name, ".npy")) for name in ("whole", "as it was"))
    assert pasted.shape[1:] == before.shape[1:]
    changed = (pasted != before).any(dim=1)
    assert changed.any() and not changed[:, 0].any() and not changed[:, -1].any()


def test_fsrt_takes_two_pictures_and_both_files(comfy, weights):
    write_clip(comfy.base / "input" / "pictures.mkv", moving_frames(2, side=256), Fraction(25))
    given = {"weights": "kp_detector.pt", "detector": "vox256.pt", "expression": "relative", "max_memory_mb": 64}
    prompt = {
        "pictures": node("MagPlusLoadVideo", file="pictures.mkv"),
        "driver": node("MagPlusLoadVideo", file="pictures.mkv", stop_frame=1),
        "generator": node("MagPlusFSRT", **given),
        "animate": node("MagPlusAnimate", backbone=["generator", 0], source=["pictures", 0], driving=["driver", 0]),
        "save": node("MagPlusSaveVideo", images=["animate", 0], format="npy", check_preview=False),
    }
    run = comfy.run(complete(comfy, prompt), timeout=900)
    assert run.status == "execution_success", run.error
    frames = _frames(saved(comfy, run, "save", ".npy"))
    assert frames.shape == (1, 3, 256, 256) and frames.std() > 0.01


def test_cancel_stops_in_the_middle_of_a_frame(comfy, root, weights, record_property):
    """FSRT's next frame takes half a minute."""
    prompt, ids = _template(root, "FSRT", "Clip.stop_frame=13")
    run = comfy.run(
        prompt,
        interrupt=lambda kind, data: kind == "progress" and data["node"] == ids["Animate Portrait"],
        timeout=900,
    )
    assert run.status == "execution_interrupted", run.error
    times = {kind: at for at, kind, _ in run.events}
    took = times["execution_interrupted"] - times["asked to stop"]
    record_property("stopped after (s)", round(took, 2))
    assert took < 2


def test_a_missing_file_is_told_with_its_source(comfy):
    prompt = {"generator": node("MagPlusFSRT", weights="absent.safetensors"), "show": node("PreviewAny")}
    prompt["show"]["inputs"]["source"] = ["generator", 0]
    refused = comfy.run(complete(comfy, prompt))
    assert refused.status == "refused"
    assert "absent.safetensors" in json.dumps(refused.error)


@pytest.mark.parametrize("name", FRAMES)
def test_a_template_opens_with_nothing_missing(page, weights, shots, name):
    page.open_template(PACK, name)
    kinds = {one["type"] for one in check(page)}
    assert f"MagPlus{name}" in kinds
    page.shot(shots / f"{name}, opened, {'nodes 2.0' if page.vue else 'canvas'}.png")
