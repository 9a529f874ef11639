"""MetaPortrait's checkpoints: as published, in a zip, without spectral norm; and files that do not fit."""

import zipfile
from pathlib import Path

import metaportrait_files as files
import pytest
import torch
from magplus.models.checkpoint import Checkpoint, read_checkpoint, write_safetensors
from magplus.models.errors import MagPlusError
from magplus.models.metaportrait import arch, superres_arch
from magplus.models.metaportrait.arch import base_model
from magplus.models.metaportrait.spectral import plain_weights
from magplus.models.registry import identify, load_backbone, load_superresolver


def changed(**changes):
    """Weights with some replaced; None takes one away. Two underscores stand for a dot."""
    tensors = files.flat() | {f"generator.{name.replace('__', '.')}": value for name, value in changes.items()}
    return {name: value for name, value in tensors.items() if value is not None}


def test_every_layout_is_recognised_and_loads():
    """A training state as it is published, the state dict alone, and after parallel training."""
    beside = {"discriminator.conv.weight": torch.zeros(2, 2), "optimizer_generator.state.0.exp_avg": torch.zeros(3)}
    layouts = [files.flat() | beside, files.base(), {f"generator.module.{n}": v for n, v in files.base().items()}]
    for tensors in layouts:
        found = identify(Checkpoint(path=Path("any name"), tensors=tensors, metadata={}, sha256="0"))
        assert found.name == "metaportrait"
        assert found.tidy(tensors) == files.flat()
    expected = base_model(files.flat()).state_dict()
    found = base_model(layouts[0]).state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize("wrapper", ["generator", "params"])
def test_a_zip_that_holds_the_file_is_read(tmp_path, wrapper):
    content = {wrapper: {"fc.weight": torch.rand(3, 2)}, "epoch": 3}
    if wrapper == "params":
        content = {"params_ema": {"fc.weight": torch.zeros(3, 2)}, **content}
    torch.save(content, tmp_path / "inner.pth.tar")
    with zipfile.ZipFile(tmp_path / "packed.pth", "w") as archive:
        archive.write(tmp_path / "inner.pth.tar", "checkpoint/inner.pth.tar")
    read = [read_checkpoint(tmp_path / name).tensors for name in ("inner.pth.tar", "packed.pth")]
    for tensors in read:
        name = "fc.weight" if wrapper == "params" else "generator.fc.weight"
        assert torch.equal(tensors[name], content[wrapper]["fc.weight"])


def test_a_zip_with_several_files_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        for name in ("a.pth", "b.pth"):
            archive.writestr(name, b"x")
    with pytest.raises(MagPlusError, match="zip with 2 weights files"):
        read_checkpoint(tmp_path / "packed.zip")


def test_a_personalised_file_has_plain_weights():
    plain = plain_weights(files.base(), transposed=("SPDAE_G.conv1",))
    linear = {n: v for n, v in files.base().items() if n.endswith("linear.weight_orig")}
    personal = {n: v for n, v in plain.items() if not n.endswith("linear.weight")} | linear
    assert not any(name.endswith(("conv_0.weight_orig", "weight_u")) for name in personal)
    found = base_model({f"generator.{name}": value for name, value in personal.items()}).state_dict()
    expected = base_model(files.flat()).state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_spectral_norm_is_torchs():
    conv = torch.nn.utils.spectral_norm(torch.nn.ConvTranspose2d(3, 5, 4), n_power_iterations=3)
    picture = torch.randn(1, 3, 2, 2)
    conv(picture)
    conv.train(False)
    expected = conv(picture)
    tensors = {f"up.{name}": value for name, value in conv.state_dict().items()}
    found = plain_weights(tensors, transposed=("up",))
    assert set(found) == {"up.weight", "up.bias"}
    made = torch.nn.functional.conv_transpose2d(picture, found["up.weight"], found["up.bias"])
    torch.testing.assert_close(made, expected)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SPDAE_G__up_1__conv_0__weight_v": None}, "lack SPDAE_G.up_1.conv_0.weight_v"),
        ({"SPDAE_G__up_1__conv_0__weight_v": torch.zeros(7)}, "spectral norm of SPDAE_G.up_1.conv_0 does not fit"),
        ({"fuse_high_res__weight": None}, r"1 missing \(fuse_high_res.weight\)"),
        ({"fuse_high_res__weight": torch.zeros(64, 64, 3, 3)}, r"is \(64, 64, 3, 3\), not \(64, 67, 3, 3\)"),
        ({"hand__weight": torch.zeros(1)}, r"unexpected \(hand.weight\)"),
    ],
)
def test_what_does_not_fit_is_named(changes, words):
    with pytest.raises(MagPlusError, match=words):
        base_model(changed(**changes))


def test_other_networks_are_refused_by_name(tmp_path):
    path = tmp_path / "x.safetensors"
    write_safetensors({key: torch.zeros(1) for key in superres_arch.REQUIRED_KEYS}, path, {})
    with pytest.raises(
        MagPlusError, match=r"is MetaPortrait's temporal super-resolution.*metaportrait needs ckpt_base"
    ):
        load_backbone("metaportrait", [path], {})
    write_safetensors({key: torch.zeros(1) for key in arch.REQUIRED_KEYS}, path, {})
    with pytest.raises(MagPlusError, match=r"is MetaPortrait, base model.*takes temporal_gfpgan.pth"):
        load_superresolver(path, {})
    for given in ([], [None, None]):
        with pytest.raises(MagPlusError, match="takes one weights file"):
            arch.build(given, {})
