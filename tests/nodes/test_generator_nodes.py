"""The generators with weights as nodes, under deterministic ones."""

from __future__ import annotations

import fomm_files
import fsrt_files
import pytest
import torch
from safetensors.torch import save_file
from synth import bump, clip, micro_motion

SMALL = 128
"""Half of FSRT's side, a quarter of its time."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder as models/magplus of a user may look."""
    place = tmp_path_factory.mktemp("magplus")
    save_file(fomm_files.flat(), place / "fomm_vox-adv.safetensors")
    save_file(fsrt_files.flat(), place / "fsrt_vox256.safetensors")
    fsrt_files.published(place)
    return place


@pytest.fixture
def generators(standalone, weights, tmp_path, monkeypatch):
    """The pack with that folder, and FSRT at half its side."""
    places = standalone.places
    folders = standalone.module("nodes.standalone").folders
    folders.use(input=places.input, output=places.output, temp=places.temp, weights=weights)
    framing = standalone.module("models.contracts").Framing(scale=1.2, shift_y=0.0, size=SMALL)
    monkeypatch.setattr(standalone.module("models.fsrt.network").Fsrt, "framing", framing)
    standalone.module("nodes.animate").ENCODED.clear()
    return standalone


def frames(count, side, seed=1):
    """IMAGE ``(count, side, side, 3)`` with a slight motion."""
    field = bump(side / 2, side / 2, side / 6, 2.0, -1.5)
    made = clip(field, micro_motion(3)[:count], (side, side), seed=seed)
    return made.clamp(0, 1).permute(0, 2, 3, 1).contiguous()


def test_fsrt_takes_two_pictures_and_encodes_them_once(generators):
    (backbone,) = generators.run("MagPlusFSRT", weights="fsrt_vox256.safetensors")
    portrait = torch.cat([frames(1, SMALL, 2), frames(1, SMALL, 3)])
    given = {"backbone": backbone, "source": portrait, "driving": frames(2, SMALL)}
    ticks = []
    generators.module("nodes.standalone").hooks.progress = lambda *tick: ticks.append(tick[:2])
    made = generators.run("MagPlusAnimate", **given)[0]
    assert made.shape == (2, SMALL, SMALL, 3) and ticks[:2] == [(1, 2), (2, 2)]
    encoded = generators.module("nodes.animate").ENCODED
    assert (encoded.encoded, encoded.reused) == (1, 0)
    still = generators.run("MagPlusAnimate", **given | {"driving": frames(1, SMALL), "motion_strength": 0.0})[0]
    assert (encoded.encoded, encoded.reused) == (1, 1)
    assert still.shape == (1, SMALL, SMALL, 3) and not torch.equal(still[0], made[0])


@pytest.mark.parametrize("names", [("vox256.pt", "kp_detector.pt"), ("kp_detector.pt", "vox256.pt")])
def test_two_files_of_fsrt_in_any_order(generators, names):
    (backbone,) = generators.run("MagPlusFSRT", weights=names[0], detector=names[1], expression="relative")
    assert len(backbone.weights) == 2 + 5 and "expression=relative" in backbone.weights
    networks = [part for part in vars(backbone.model).values() if isinstance(part, torch.nn.Module)]
    assert len(networks) == 4, "what ComfyUI gets a handle on each of"


def test_a_generator_is_driven_at_its_own_size_without_a_warning(generators, caplog):
    (backbone,) = generators.run("MagPlusFOMM", weights="fomm_vox-adv.safetensors")
    made = generators.run("MagPlusAnimate", backbone=backbone, source=frames(1, 256, 2), driving=frames(3, 256))[0]
    assert made.shape == (3, 256, 256, 3) and not torch.equal(made[0], made[1])
    assert "is taken for the face" not in caplog.text


def test_anything_but_a_square_of_its_size_is_cropped_with_a_warning(generators, caplog):
    (backbone,) = generators.run("MagPlusFOMM", weights="fomm_vox-adv.safetensors")
    wide = torch.nn.functional.pad(frames(1, 256, 2), (0, 0, 64, 64))
    crop = generators.run("MagPlusAnimate", backbone=backbone, source=wide, driving=frames(1, 256))[4]
    assert "portrait: no face box, the largest centred square is taken for the face" in caplog.text
    assert (
        crop.source.crop.apply(wide.permute(0, 3, 1, 2)).sub(wide[:, :, 64:-64].permute(0, 3, 1, 2)).abs().max() < 1e-6
    )


@pytest.mark.parametrize(
    ("node", "given", "source"),
    [
        ("MagPlusFOMM", {"weights": "absent.safetensors"}, "https://github.com/AliaksandrSiarohin/first-order-model"),
        ("MagPlusFSRT", {"weights": "absent.safetensors", "detector": "(in the same file)"},
         "https://github.com/andrerochow/fsrt"),
        ("MagPlusFSRT", {"weights": "vox256.pt", "detector": "absent.safetensors"},
         "https://github.com/andrerochow/fsrt"),
    ],
)  # fmt: skip
def test_a_missing_file_is_told_with_its_folder_and_source(generators, node, given, source):
    answer = generators.by_id[node].validate_inputs(**given)
    assert "absent.safetensors" in answer and "models/magplus" in answer and source in answer
    there = dict.fromkeys(given, "kp_detector.pt")
    assert generators.by_id[node].validate_inputs(**there) is True


def test_a_detector_that_is_missing_in_the_file_is_named(generators):
    with pytest.raises(generators.error, match=r"missing: the keypoint detector, kp_detector\.pt"):
        generators.run("MagPlusFSRT", weights="vox256.pt")


def test_a_replaced_file_is_noticed(generators, weights, tmp_path):
    node = generators.by_id["MagPlusFSRT"]
    given = {"weights": "vox256.pt", "detector": "kp_detector.pt"}
    first = node.fingerprint_inputs(**given, precision="float32")
    assert first == node.fingerprint_inputs(**given, precision="float32")
    content = (weights / "kp_detector.pt").read_bytes()
    (weights / "kp_detector.pt").write_bytes(content)
    assert first != node.fingerprint_inputs(**given, precision="float32")
