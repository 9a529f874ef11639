"""FSRT's checkpoints: every layout that is around, and the files people take for one."""

import fomm_files
import fsrt_files
import pytest
import torch
from magplus.models.checkpoint import read_checkpoint, write_safetensors
from magplus.models.errors import MagPlusError
from magplus.models.registry import identify, join, load_backbone

EMPTY = torch.zeros(1)
PICTURE = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The published files, a training state, and what other models would be given as."""
    place = tmp_path_factory.mktemp("fsrt")
    fsrt_files.published(place)
    training = {
        **{part: fsrt_files.states()[part] for part in fsrt_files.MAIN},
        "discriminator": {"conv.weight": torch.zeros(2, 2)},
        "optimizer": {"state": {0: {"step": 7, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1}]},
        "optimizer_disc": {"state": {0: {"exp_avg": torch.zeros(3)}}},
        "epoch_it": 4, "it": 99, "t": torch.tensor(1.0), "loss_val_best": float("inf"), "run_id": "x",
    }  # fmt: skip
    torch.save(training, place / "training.pt")
    detector = dict.fromkeys(fomm_files.states()["kp_detector"], EMPTY)
    torch.save(detector, place / "fomm_detector.pt")
    torch.save({"kp_detector": detector}, place / "fomm_detector_nested.pt")
    torch.save(dict.fromkeys(fomm_files.flat(), EMPTY), place / "fomm.pt")
    write_safetensors(join([read_checkpoint(place / name) for name in ("vox256.pt", "kp_detector.pt")]).tensors,
                      place / "both.safetensors", {})  # fmt: skip
    for name in ("vox256", "kp_detector"):
        tensors = join([read_checkpoint(place / f"{name}.pt")]).tensors
        write_safetensors(tensors, place / f"{name}.safetensors", {})
    return place


@pytest.fixture(scope="module")
def expected():
    return fsrt_files.backbone().encode_source(PICTURE, {})


def load(folder, *names):
    return load_backbone("fsrt", [folder / name for name in names], {})


def fails(folder, *names, model="fsrt"):
    with pytest.raises(MagPlusError) as caught:
        load_backbone(model, [folder / name for name in names], {})
    return str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        ("kp_detector.pt", "vox256.pt"),
        ("training.pt", "kp_detector.pt"),
        ("both.safetensors",),
        ("vox256.safetensors", "kp_detector.safetensors"),
        ("vox256.pt", "kp_detector.safetensors"),
    ],
)
def test_every_layout_gives_the_same_networks(folder, expected, names):
    backbone, _ = load(folder, *names)
    state = backbone.encode_source(PICTURE, {})
    assert torch.equal(state.memory[1][1], expected.memory[1][1])
    assert torch.equal(state.places.rows, expected.places.rows)
    assert torch.equal(state.expression, expected.expression)


def test_the_files_are_recognised_by_their_content(folder):
    names = {"kp_detector.pt": "fsrt-detector", "kp_detector.safetensors": "fsrt-detector", "vox256.pt": "fsrt",
             "training.pt": "fsrt", "both.safetensors": "fsrt", "fomm.pt": "fomm"}  # fmt: skip
    for file, name in names.items():
        assert identify(read_checkpoint(folder / file)).name == name


def test_our_file_has_the_parts_in_front_of_the_names(folder):
    keys = read_checkpoint(folder / "both.safetensors").tensors
    assert {key.partition(".")[0] for key in keys} == {"encoder", "decoder", "expression_encoder", "kp_detector"}
    kept = join([read_checkpoint(folder / "training.pt")]).tensors
    assert set(kept) == set(fsrt_files.flat(*fsrt_files.MAIN))


def test_what_is_missing_is_named(folder):
    assert "missing: the keypoint detector, kp_detector.pt" in fails(folder, "vox256.pt")
    assert "missing: vox256.pt or vox256_2Source.pt" in fails(folder, "kp_detector.pt")
    nothing = fails(folder)
    assert "fsrt needs kp_detector.pt" in nothing and "github.com/andrerochow/fsrt" in nothing
    absent = fails(folder, "absent.pt")
    assert str(folder / "absent.pt") in absent and "github.com/andrerochow/fsrt" in absent


def test_parts_given_twice_are_refused(folder):
    assert "twice" in fails(folder, "both.safetensors", "kp_detector.pt")
    assert "twice" in fails(folder, "vox256.pt", "training.pt", "kp_detector.pt")


@pytest.mark.parametrize("name", ["fomm_detector.pt", "fomm_detector_nested.pt", "fomm.pt"])
def test_fomms_files_are_refused_by_name(folder, name):
    complaint = fails(folder, "vox256.pt", name)
    assert "fomm" in complaint.lower() or "First Order Motion Model" in complaint
    assert name in complaint
    if name == "fomm_detector.pt":
        assert "its own kp_detector.pt, which has no jacobian" in complaint
    if name == "fomm.pt":
        assert "fsrt needs kp_detector.pt" in complaint


@pytest.mark.parametrize("name", ["vox256.pt", "kp_detector.pt"])
def test_fsrts_files_are_refused_by_name_for_fomm(folder, name):
    complaint = fails(folder, name, model="fomm")
    assert "FSRT" in complaint and "fomm needs vox-adv-cpk" in complaint


def test_a_wrong_key_and_a_wrong_shape_are_named():
    tensors = fsrt_files.flat() | {"decoder.hand.weight": EMPTY}
    with pytest.raises(MagPlusError, match=r"FSRT's decoder: 1 unexpected \(hand.weight\)"):
        identify(fsrt_files.checkpoint(tensors)).build(tensors)
    tensors = fsrt_files.flat() | {"decoder.render_mlp.8.weight": torch.zeros(4, 1536)}
    with pytest.raises(MagPlusError, match=r"render_mlp.8.weight is \(4, 1536\), not \(3, 1536\)"):
        identify(fsrt_files.checkpoint(tensors)).build(tensors)


def test_the_small_decoder_is_named_by_what_it_lacks():
    """A variant that no released configuration uses."""
    tensors = {key: value for key, value in fsrt_files.flat(*fsrt_files.MAIN).items() if "render_mlp.8" not in key}
    with pytest.raises(MagPlusError, match=r"looks like fsrt: .*missing decoder.render_mlp.8.weight"):
        identify(fsrt_files.checkpoint(tensors))


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (["inpainting_network.first.weight", "kp_detector.fc.weight"], "Thin-Plate"),
        (["generator.first.conv.weight", "region_predictor.regions.weight"], "Articulated"),
        (["reconstruction_module.first.weight", "segmentation_module.kp.weight"], "part swap"),
        (["module.encoder.kp.weight", "module.dense_motion.mask.weight"], "MRFA"),
    ],
)
def test_look_alikes_are_refused_by_name(tmp_path, keys, name):
    torch.save(dict.fromkeys(keys, EMPTY), tmp_path / "vox.pth")
    complaint = fails(tmp_path, "vox.pth")
    assert name in complaint and "does not have it" in complaint


def test_files_of_two_models_are_not_joined(folder):
    with pytest.raises(MagPlusError, match="one by one"):
        join([read_checkpoint(folder / name) for name in ("fomm.pt", "vox256.pt")])
    with pytest.raises(MagPlusError, match="each part once"):
        join([read_checkpoint(folder / name) for name in ("vox256.pt", "training.pt")])
