"""FlowMag from the command line. Its weights magnify four times by construction (tests/flowmag_files.py)."""

import json
from fractions import Fraction

import flowmag_files
import numpy as np
import pytest
import synth
import torch
from magplus.pipeline.cli import main
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.measure import compare, measure_clip, whole_frame_box
from magplus.pipeline.media import FFV1, ClipWriter, open_clip

GAIN = 4.0
FIELD = synth.total(synth.bump(30, 34, 8, 0.3, -0.2), synth.bump(45, 40, 7, -0.2, 0.2))
BOX = "12,8,40,48"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A driving clip and a portrait, 64 px, and the weights."""
    place = tmp_path_factory.mktemp("flowmag")
    frames = synth.clip(FIELD, synth.micro_motion(8), (64, 64), seed=6)
    with ClipWriter(place / "driver.mkv", rate=Fraction(25), format=FFV1) as writer:
        writer.write(0.1 + 0.8 * frames.clamp(0, 1))
    with ClipWriter(place / "portrait.png", rate=Fraction(25)) as writer:
        writer.write(synth.render(synth.Texture(2), synth.shift(0, 0), 120, 90)[None].clamp(0, 1))
    flowmag_files.saved(place / "four.safetensors", flowmag_files.linear(GAIN))
    return place


def read(path):
    return TensorClip(torch.cat(list(open_clip(path).chunks())))


def magnify(folder, out, *more, alpha=4):
    words = ["magnify", "--in", folder / "driver.mkv", "--magnifier", folder / "four.safetensors", "--alpha", alpha]
    return main([str(word) for word in [*words, "--out", out, *more]])


def test_magnify_takes_a_file_and_masks_from_a_clip(folder, tmp_path):
    masks = np.zeros((8, 64, 64, 3), np.float32)
    for index in range(8):
        masks[index, :, 8 * index :] = 1
    np.save(tmp_path / "masks.npy", masks)
    assert magnify(folder, tmp_path / "all.npy") == 0
    assert magnify(folder, tmp_path / "masked.npy", "--mask", tmp_path / "masks.npy") == 0
    driver, everywhere, masked = (
        read(p) for p in (folder / "driver.mkv", tmp_path / "all.npy", tmp_path / "masked.npy")
    )
    box = whole_frame_box(driver.info)
    assert compare(measure_clip(driver, box), measure_clip(everywhere, box)).gain == pytest.approx(GAIN, rel=0.1)
    inside = torch.from_numpy(masks).permute(0, 3, 1, 2) > 0
    assert torch.equal(masked.frames[~inside], driver.frames[~inside])
    # These weights do not look at alpha's code, so what the mask leaves in is what it would be without any.
    assert torch.allclose(masked.frames[inside], everywhere.frames[inside], atol=1e-5)


def test_a_mask_grows(folder, tmp_path):
    mask = torch.zeros(1, 3, 64, 64)
    mask[..., 32, 32] = 1
    with ClipWriter(tmp_path / "mask.png", rate=Fraction(25)) as writer:
        writer.write(mask)
    assert magnify(folder, tmp_path / "out.npy", "--mask", tmp_path / "mask.png", "--grow-mask", 2) == 0
    changed = (read(tmp_path / "out.npy").frames != read(folder / "driver.mkv").frames).any(1).any(0)
    y, x = np.mgrid[:64, :64]
    assert np.array_equal(changed.numpy(), abs(x - 32) + abs(y - 32) <= 2)


def test_run_measures_and_scales_back_with_the_built_in_one(folder, tmp_path, caplog):
    caplog.set_level("INFO", logger="magplus")
    words = ["run", "--driver", folder / "driver.mkv", "--source", folder / "portrait.png", "--driver-box", BOX]
    words += ["--source-box", "20,20,50,60", "--alpha", 4, "--magnifier", folder / "four.safetensors"]
    assert main([str(word) for word in [*words, "--pixels", "generated", "--out", tmp_path / "restored.mkv"]]) == 0
    report = json.loads((tmp_path / "restored.report.json").read_text())
    assert report["against_input"]["magnified"]["gain"] == pytest.approx(GAIN, rel=0.15)
    assert report["against_input"]["restored"]["gain"] == pytest.approx(1, rel=0.1)
    assert caplog.text.count("flowmag tells no displacement") == 1
    assert "untrained" not in caplog.text


def test_what_goes_wrong_is_told(folder, tmp_path, capfd, caplog):
    assert magnify(folder, tmp_path / "out.npy", alpha=257) == 2
    assert "0.03125 to 256" in capfd.readouterr().err
    assert magnify(folder, tmp_path / "out.npy", "--magnifier", "absent.pth") == 2
    assert "raft_chkpt_00140.pth" in capfd.readouterr().err
    assert magnify(folder, tmp_path / "out.npy", "--magnifier-option", "precision=half") == 2
    assert "Give float32 or bfloat16 or float16" in capfd.readouterr().err
    assert magnify(folder, tmp_path / "out.npy", alpha=0.5) == 0
    assert "untrained there" in caplog.text
