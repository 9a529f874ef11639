"""What is run again, what is not, and that equal runs give equal bits: in one server, after a restart, without one."""

import json
import os
import subprocess
import sys
from fractions import Fraction

import pytest
import torch
from comfy_prompts import complete, moving_frames, node, saved, write_clip
from magplus.nodes import NODES
from magplus.nodes.core_standins import STANDINS
from magplus.nodes.headless import registry
from magplus.pipeline.graph import apply_setting, to_graph
from magplus.pipeline.graph.graph import api_form
from magplus.pipeline.media import open_clip

TEMPLATE = "Micro-expression to portrait"
SHORT = ["Clip.stop_frame=16"]
LEVELS = {"png": 1, "jpg": 3}
"""Steps of 8 bits by which ComfyUI before 0.33 may differ."""


def _frames(path):
    return torch.cat(list(open_clip(path).chunks()))


def _chain(comfy, **alphas):
    """Load once, then one magnified and animated branch per alpha."""
    prompt = {
        "clip": node("MagPlusLoadVideo", file="cached.mkv"),
        "portrait": node("MagPlusLoadVideo", file="cached.mkv", stop_frame=1),
        "generator": node("MagPlusFlowTransfer"),
        "magnifier": node("MagPlusLoadMagnifier"),
    }
    for name, alpha in alphas.items():
        given = {"images": ["clip", 0], "magnifier": ["magnifier", 0], "alpha_mode": "number", "alpha": alpha}
        sides = {"source": ["portrait", 0], "driving": [f"magnify {name}", 0]}
        prompt[f"magnify {name}"] = node("MagPlusMagnify", **given)
        prompt[f"animate {name}"] = node("MagPlusAnimate", backbone=["generator", 0], **sides)
        prompt[f"save {name}"] = node(
            "MagPlusSaveVideo", images=[f"animate {name}", 0], format="npy", check_preview=False
        )
    return complete(comfy, prompt)


@pytest.fixture
def clip(comfy):
    return write_clip(comfy.base / "input" / "cached.mkv", moving_frames(8), Fraction(25))


def test_changing_alpha_runs_only_what_depends_on_it(comfy, clip):
    first = comfy.run(_chain(comfy, a=3.0))
    assert first.status == "execution_success", first.error
    second = comfy.run(_chain(comfy, a=5.0))
    assert second.executed == {"magnify a", "animate a", "save a"}
    assert second.cached >= {"clip", "portrait", "generator", "magnifier"}
    assert not torch.equal(
        _frames(saved(comfy, first, "save a", ".npy")), _frames(saved(comfy, second, "save a", ".npy"))
    )


def test_branches_with_other_settings_do_not_disturb_each_other(comfy, clip):
    both = comfy.run(_chain(comfy, a=3.0, b=6.0))
    for name, alpha in (("b", 6.0), ("a", 3.0)):
        alone = comfy.run(_chain(comfy, **{name: alpha}))
        paths = [saved(comfy, run, f"save {name}", ".npy") for run in (both, alone) if f"save {name}" in run.outputs]
        assert torch.equal(*map(_frames, paths))


def test_a_replaced_input_file_is_noticed(comfy, clip):
    first = comfy.run(_chain(comfy, a=3.0))
    write_clip(clip, moving_frames(8, seed=1), Fraction(25))
    second = comfy.run(_chain(comfy, a=3.0))
    assert {"clip", "portrait", "magnify a", "animate a"} <= second.executed
    assert not torch.equal(
        _frames(saved(comfy, first, "save a", ".npy")), _frames(saved(comfy, second, "save a", ".npy"))
    )


def _template(root, settings):
    types = registry([*NODES, *STANDINS])
    data = json.loads((root / "workflows" / f"{TEMPLATE}.json").read_text())
    graph = to_graph(data, types)
    for setting in settings:
        apply_setting(graph, types, setting)
    (result,) = [one.id for one in graph.values() if one.title == "Save the result"]
    return api_form(graph), data, result


def test_equal_bits_after_a_restart_and_without_a_server(comfy, root, tmp_path):
    prompt, workflow, result = _template(root, SHORT)
    first = comfy.run(prompt, workflow=workflow)
    assert first.status == "execution_success", first.error
    frames = _frames(saved(comfy, first, result, ".mkv"))
    comfy.restart()
    second = comfy.run(prompt, workflow=workflow)
    assert second.status == "execution_success" and not second.cached
    assert torch.equal(_frames(saved(comfy, second, result, ".mkv")), frames)
    _headless(comfy, root, root / "workflows" / f"{TEMPLATE}.json", tmp_path, *SHORT)
    (master,) = (tmp_path / "MagPlus").glob("restored_*_.mkv")
    assert torch.equal(_frames(master), frames)


def _headless(comfy, root, file, out, *settings):
    """The same interpreter, torch and number of threads as the server's."""
    words = [comfy.python, str(root), "workflow", str(file), "--out", str(out), "--input", str(comfy.base / "input")]
    words += [word for setting in settings for word in ("--set", setting)]
    subprocess.run(words, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=sys.stderr)


@pytest.mark.parametrize("kind", ["mp4", "mkv", "png", "jpg"])
def test_core_loaders_give_the_same_bits_without_a_server(comfy, root, tmp_path, kind):
    older = comfy.version < (0, 33)
    if older and kind in ("mp4", "mkv"):
        pytest.skip("ComfyUI before 0.33 decodes videos to 8 bit; the stand-ins follow the newer one")
    frames = moving_frames(1 if kind in ("png", "jpg") else 5, side=100)
    write_clip(comfy.base / "input" / f"core.{kind}", frames, Fraction(25))
    loaded = {"1": node("LoadImage", image=f"core.{kind}")}
    if kind in ("mp4", "mkv"):
        loaded = {"0": node("LoadVideo", file=f"core.{kind}"), "1": node("GetVideoComponents", video=["0", 0])}
    given = {"images": ["1", 0], "format": "npy", "filename_prefix": f"core/{kind}", "check_preview": False}
    prompt = complete(comfy, {**loaded, "2": node("MagPlusSaveVideo", **given)})
    run = comfy.run(prompt)
    assert run.status == "execution_success", run.error
    file = tmp_path / "core.json"
    file.write_text(json.dumps(prompt))
    _headless(comfy, root, file, tmp_path)
    (ours,) = (tmp_path / "core").glob("*.npy")
    theirs = _frames(saved(comfy, run, "2", ".npy"))
    if older:  # it reads pictures with 8 bit, and JPEG through another decoder
        assert (_frames(ours) - theirs).abs().max() <= LEVELS[kind] / 255 + 1e-6
    else:
        assert torch.equal(_frames(ours), theirs)
