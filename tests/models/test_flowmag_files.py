"""FlowMag's checkpoints: every layout that its authors' code writes, and the way to safetensors."""

import flowmag_files
import pytest
import torch
from magplus.models.checkpoint import read_checkpoint, write_safetensors
from magplus.models.errors import MagPlusError
from magplus.models.flowmag import arch
from magplus.models.lkmag.arch import builtin
from magplus.models.registry import identify, load_backbone, load_magnifier, needs_displacement
from magplus.pipeline.cli import main

WIDTH = 8


@pytest.mark.parametrize("layout", ["raft", "arflow"])
def test_a_training_state_loads_as_it_is_published(tmp_path, layout):
    magnifier, file = load_magnifier(flowmag_files.published(tmp_path / "any name.pth", layout, WIDTH))
    assert identify(file).name == magnifier.name == "flowmag"
    expected = flowmag_files.plain(WIDTH).state_dict()
    assert set(magnifier.weights) == set(expected)
    assert all(torch.equal(value, expected[name]) for name, value in magnifier.weights.items())
    assert not any(p.requires_grad for p in magnifier.network.parameters())


@pytest.mark.parametrize("write", [flowmag_files.adapted, flowmag_files.converted])
def test_adapted_and_converted_files_give_the_same_pictures(tmp_path, write):
    name = "w.safetensors" if write is flowmag_files.converted else "chkpt_0002.pth"
    still, frames = flowmag_files.random_pair(32, 40)
    (magnifier, _), expected = load_magnifier(write(tmp_path / name, WIDTH)), flowmag_files.plain(WIDTH)
    made = magnifier.run(magnifier.prepare(still, 3.0), frames)
    torch.testing.assert_close(made, expected(still[None], frames, torch.tensor([3.0])), atol=1e-5, rtol=0)


def test_convert_leaves_the_flow_network_and_the_optimiser_behind(tmp_path, capsys):
    source = flowmag_files.published(tmp_path / "raft_chkpt_00140.pth", width=WIDTH)
    out = tmp_path / "flowmag_raft.safetensors"
    assert main(["convert", str(source), str(out)]) == 0
    assert set(read_checkpoint(out).tensors) == set(flowmag_files.tensors(WIDTH))
    assert main(["inspect", str(out)]) == 0
    assert '"architecture": "flowmag"' in capsys.readouterr().out


def test_what_was_adapted_can_be_saved_and_loaded(tmp_path):
    magnifier = arch.build(flowmag_files.tensors(WIDTH))
    network = arch.network(arch.to_save(magnifier.weights)).requires_grad_(True)
    with torch.no_grad():
        network.up_layers[4].conv.bias.add_(0.5)
    write_safetensors(arch.to_save(network.state_dict()), tmp_path / "mine.safetensors", {})
    found, _ = load_magnifier(tmp_path / "mine.safetensors")
    assert torch.equal(found.weights["up_layers.4.conv.bias"], magnifier.weights["up_layers.4.conv.bias"] + 0.5)


def test_a_wrong_key_and_a_wrong_shape_are_named():
    cases = {"stray": torch.zeros(1), "generator.up_layers.4.conv.bias": torch.zeros(4)}
    for name, value in cases.items():
        with pytest.raises(MagPlusError, match=name.removeprefix("generator.")):
            arch.build({**flowmag_files.tensors(WIDTH), name: value})
    lacking = dict(flowmag_files.tensors(WIDTH))
    del lacking["generator.up_layers.2.conv.double_conv.4.running_mean"]
    with pytest.raises(MagPlusError, match=r"1 missing \(up_layers\.2"):
        arch.build(lacking)


def test_options_are_read_and_only_where_they_belong(tmp_path):
    path = flowmag_files.converted(tmp_path / "w.safetensors", WIDTH)
    assert load_magnifier(path, {"precision": "bfloat16"})[0].network.dtype == torch.bfloat16
    with pytest.raises(MagPlusError, match="cannot be 'float8'"):
        load_magnifier(path, {"precision": "float8"})
    with pytest.raises(MagPlusError, match="built-in magnifier has no option 'precision'"):
        load_magnifier(options={"precision": "bfloat16"})


def test_messages_name_file_and_source(tmp_path):
    with pytest.raises(MagPlusError, match=r"raft_chkpt_00140\.pth.*github\.com/dangeng/flowmag.*'builtin'"):
        load_magnifier(tmp_path / "absent.safetensors")
    with pytest.raises(MagPlusError, match="is FlowMag"):
        load_backbone("fomm", [flowmag_files.converted(tmp_path / "w.safetensors", WIDTH)], {})
    with pytest.raises(MagPlusError, match=r"Targeting needs .* flowmag does not\. Use 'builtin'"):
        needs_displacement(arch.build(flowmag_files.tensors(WIDTH)), purpose="Targeting")
    assert needs_displacement(builtin(), purpose="Targeting").name == "lkmag"
