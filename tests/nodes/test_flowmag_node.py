"""FlowMag in a graph, with weights that magnify four times by construction (tests/flowmag_files.py)."""

import json

import flowmag_files
import pytest
import torch
from magplus.pipeline.cli import main

NAME = "four.safetensors"
GAIN = 4.0


@pytest.fixture
def loaded(standalone, tmp_path):
    """The pack, and FlowMag from its folder of weights."""
    (tmp_path / "weights").mkdir()
    flowmag_files.saved(tmp_path / "weights" / NAME, flowmag_files.linear(GAIN))
    (wire,) = standalone.run("MagPlusLoadMagnifier", weights=NAME)
    assert wire.model.name == "flowmag"
    return standalone, wire


def test_it_magnifies_by_number_and_by_measure(loaded, small):
    pack, wire = loaded
    images = 0.1 + 0.8 * small
    number = pack.run("MagPlusMagnify", images=images, alpha_mode="number", alpha=4.0, magnifier=wire)[0]
    auto, alpha, *_ = pack.run("MagPlusMagnify", images=images, target_pct_face=3.0, magnifier=wire)
    assert torch.equal(number[0], images[0])
    truth = images[:1] + GAIN * (images - images[:1])
    assert (number - truth).abs().mean() < 0.02 * GAIN
    assert alpha > 1 and torch.allclose(auto, number, atol=1e-5), "these weights do not look at alpha"


def test_a_mask_per_frame(pack, small):
    masks = (torch.rand(9, 72, 64) > 0.5).float()
    images = pack.run("MagPlusMagnify", images=small, alpha_mode="number", alpha=6.0, mask=masks)[0]
    assert torch.equal(images[masks == 0], small[masks == 0])
    assert (images[masks == 1] - small[masks == 1]).abs().max() > 0.02
    same = [
        pack.run("MagPlusMagnify", images=small, alpha_mode="number", alpha=6.0, mask=mask)[0]
        for mask in (masks[:1], masks[:1].expand(9, -1, -1))
    ]
    assert torch.equal(*same)
    with pytest.raises(pack.error, match="There are 5 masks for 9 frames"):
        pack.run("MagPlusMagnify", images=small, alpha_mode="number", mask=masks[:5])


def test_what_needs_a_displacement_says_so(loaded, small, portrait):
    pack, wire = loaded
    (backbone,) = pack.run("MagPlusFlowTransfer")
    box = {"x": 14.0, "y": 16.0, "width": 40.0, "height": 44.0}
    frames, _, _, _, crop, _ = pack.run(
        "MagPlusAnimate", backbone=backbone, source=portrait, driving=small[:2], driving_box=box, source_box=box
    )
    given = {"generated": frames, "crop": crop, "portrait": portrait, "factor_mode": "number", "magnifier": wire}
    with pytest.raises(pack.error, match=r"pixels 'source' needs .* flowmag does not. Use 'builtin'"):
        pack.run("MagPlusDemagnify", **given, pixels="source")


def test_a_missing_file_is_told_with_its_source(standalone):
    node = standalone.by_id["MagPlusLoadMagnifier"]
    told = node.validate_inputs("flowmag_raft.safetensors")
    assert "no file flowmag_raft.safetensors in models/magplus" in told
    assert "raft_chkpt_00140.pth" in told and "github.com/dangeng/flowmag" in told
    assert node.validate_inputs("builtin") is True and node.validate_inputs(None) is True


def test_precision_belongs_to_flowmag(loaded):
    pack, _ = loaded
    (wire,) = pack.run("MagPlusLoadMagnifier", weights=NAME, precision="bfloat16")
    assert wire.model.network.dtype == torch.bfloat16
    with pytest.raises(pack.error, match="no option 'precision'"):
        pack.run("MagPlusLoadMagnifier", precision="bfloat16")


def test_the_template_runs_with_its_file_and_names_it_without(root, tmp_path, capfd):
    template = root / "workflows" / "Magnify with FlowMag.json"
    nodes = {node["type"]: node for node in json.loads(template.read_text())["nodes"]}
    (model,) = nodes["MagPlusLoadMagnifier"]["properties"]["models"]
    assert (model["name"], model["directory"]) == (nodes["MagPlusLoadMagnifier"]["widgets_values"][0], "magplus")
    assert model["url"] == "https://github.com/dangeng/flowmag"
    words = ["workflow", str(template), "--set", "Clip.stop_frame=3", "--models", str(tmp_path), "--out", str(tmp_path)]
    assert main(words) == 2
    assert f"no file {model['name']}" in capfd.readouterr().err
    flowmag_files.saved(tmp_path / model["name"], flowmag_files.linear(GAIN))
    assert main(words) == 0
    assert len(list(tmp_path.rglob("flowmag_*.mkv"))) == 1
