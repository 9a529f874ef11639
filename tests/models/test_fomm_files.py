"""FOMM's checkpoints: every layout that is around, and the files people take for one."""

import fomm_files
import pytest
import torch
from magplus.models.checkpoint import write_safetensors
from magplus.models.errors import MagPlusError
from magplus.models.fomm import arch
from magplus.models.lkmag import arch as lkmag
from magplus.models.options import read_options
from magplus.models.registry import identify, load_backbone

EMPTY = torch.zeros(1)


def test_a_training_state_loads_as_it_is_published(tmp_path):
    """Legacy format, both networks nested, with a discriminator and optimizers."""
    backbone, files = load_backbone("fomm", [fomm_files.published(tmp_path / "any name.pth.tar")], {})
    assert identify(files[0]).name == "fomm"
    picture = torch.rand(1, 3, 128, 128)
    found, expected = backbone.encode_source(picture, {}), fomm_files.backbone().encode_source(picture, {})
    assert torch.equal(found.features, expected.features)
    assert torch.equal(found.keypoints.value, expected.keypoints.value)


def changed(**changes):
    """Weights with some replaced; None takes one away. Two underscores stand for a dot."""
    tensors = fomm_files.flat() | {name.replace("__", "."): value for name, value in changes.items()}
    return {name: value for name, value in tensors.items() if value is not None}


def test_old_files_without_counters_load():
    fomm_files.backbone({k: v for k, v in fomm_files.flat().items() if "num_batches" not in k})


def test_a_wrong_key_and_a_wrong_shape_are_named():
    with pytest.raises(MagPlusError, match=r"FOMM's generator: 1 missing \(final.weight\)"):
        fomm_files.backbone(changed(generator__final__weight=None))
    with pytest.raises(MagPlusError, match=r"final.weight is \(3, 32, 7, 7\), not \(3, 64, 7, 7\)"):
        fomm_files.backbone(changed(generator__final__weight=torch.zeros(3, 32, 7, 7)))
    with pytest.raises(MagPlusError, match=r"unexpected \(hand.weight\)"):
        fomm_files.backbone(changed(hand__weight=EMPTY))


def test_a_single_jacobian_map_is_named_by_its_shape():
    """The mgif checkpoint: the same network but for this."""
    single = {"kp_detector__jacobian__weight": torch.zeros(4, 35, 7, 7), "kp_detector__jacobian__bias": torch.zeros(4)}
    with pytest.raises(MagPlusError, match=r"jacobian.weight is \(4, 35, 7, 7\), not \(40, 35, 7, 7\)"):
        fomm_files.backbone(changed(**single))


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (
            ["inpainting_network.first.weight", "dense_motion_network.mask.weight", "kp_detector.fc.weight"],
            "Thin-Plate",
        ),
        (["generator.first.conv.weight", "region_predictor.regions.weight", "bg_predictor.fc.weight"], "Articulated"),
        (["reconstruction_module.first.weight", "segmentation_module.kp.weight"], "part swap"),
        (["module.encoder.kp.weight", "module.dense_motion.mask.weight", "module.generator.first.weight"], "MRFA"),
    ],
)
def test_look_alikes_are_refused_by_name(tmp_path, keys, name):
    path = tmp_path / "vox.pth.tar"
    torch.save(dict.fromkeys(keys, EMPTY), path)
    with pytest.raises(MagPlusError, match=name) as caught:
        load_backbone("fomm", [path], {})
    assert "does not have it" in str(caught.value) and "fomm" in str(caught.value)


def test_only_one_file_is_taken():
    options = read_options(arch.OPTIONS, {}, of="FOMM")
    for files in ([], [fomm_files.checkpoint()] * 2):
        with pytest.raises(MagPlusError, match="takes one weights file"):
            arch.build(files, options)


def test_a_magnifier_is_refused_by_its_name(tmp_path):
    path = tmp_path / "mine.safetensors"
    write_safetensors({key: EMPTY.clone() for key in lkmag.REQUIRED_KEYS}, path, {})
    with pytest.raises(MagPlusError, match="is lkmag, the magnifier of this pack; fomm needs vox-adv-cpk"):
        load_backbone("fomm", [path], {})
