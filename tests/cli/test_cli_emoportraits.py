"""EMOPortraits from the command line at its own size, under deterministic weights: converted, the main job, memory."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import emoportraits_files as files
import numpy as np
import pytest
import synth
import torch
from magplus.models.checkpoint import read_checkpoint
from magplus.models.emoportraits.arch import HEAD_POSE
from magplus.models.emoportraits.parts import MAKERS
from magplus.pipeline.cli import main
from magplus.pipeline.media import FFV1, ClipWriter, open_clip

BOXES = ["--driver-box", "60,60,120,136", "--source-box", "150,110,180,200"]


def magplus(*words):
    assert main([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A driving clip of three frames, a portrait that is not square, its mask and head pose, weights as published.

    Under these weights a portrait moves anyhow; the clip is such that it moves with the driver, not against it.
    """
    place = tmp_path_factory.mktemp("emoportraits")
    field = synth.total(synth.bump(110, 130, 30, 1.0, -0.7), synth.bump(140, 110, 25, -0.6, 0.6))
    with ClipWriter(place / "clip.mkv", rate=Fraction(25), format=FFV1) as writer:
        writer.write(synth.clip(field, synth.micro_motion(3), (256, 240), seed=6).clamp(0, 1))
    y, x = torch.meshgrid(torch.arange(400), torch.arange(480), indexing="ij")
    for name, picture in (
        ("portrait", synth.render(synth.Texture(2), synth.shift(0, 0), 400, 480).clamp(0, 1)),
        ("mask", (((x - 240) / 120) ** 2 + ((y - 210) / 150) ** 2 <= 1).float().expand(3, -1, -1)),
    ):
        with ClipWriter(place / f"{name}.png", rate=Fraction(25)) as writer:
            writer.write(picture[None])
    np.save(place / "pose.npy", files.theta("src").numpy())
    leftovers = {"discriminator_ds.0.weight": torch.zeros(2), "bn.running_mean": torch.zeros(512)}
    torch.save(files.flat() | leftovers, place / "328_model.pth")
    torch.save(files.head_pose(), place / "head_pose_regressor.pth")
    magplus("convert", place / "328_model.pth", place / "head_pose_regressor.pth", place / "emo.safetensors")
    return place


@pytest.mark.heavy
def test_convert_joins_both_files_and_keeps_the_networks_alone(folder):
    found = read_checkpoint(folder / "emo.safetensors")
    assert {key.partition(".")[0] for key in found.tensors} == {*MAKERS, HEAD_POSE}
    assert found.metadata["architecture"] == "emoportraits"
    assert all(torch.equal(found.tensors[key], value) for key, value in files.part("decoder_nw").items())


@pytest.mark.heavy
def test_the_main_job_at_512(folder, tmp_path):
    words = ["run", "--driver", folder / "clip.mkv", "--source", folder / "portrait.png", *BOXES]
    words += ["--backbone", "emoportraits", "--weights", folder / "emo.safetensors", "--alpha", 4]
    words += ["--guide", f"source_mask={folder / 'mask.png'}", "--guide", f"source_theta={folder / 'pose.npy'}"]
    words += ["--option", "expression_strength=0.5", "--pixels", "generated", "--out", tmp_path / "out.mkv"]
    magplus(*words)
    clip = open_clip(tmp_path / "out.mkv")
    assert (clip.info.width, clip.info.height, clip.info.count) == (512, 512, 3)
    frames = torch.cat(list(clip.chunks()))
    assert not torch.equal(frames[0], frames[1])
    report = json.loads((tmp_path / "out.report.json").read_text())
    assert set(report["curves"]) == {"input", "magnified", "generated", "restored"}
    record = json.loads((tmp_path / "out.mkv.json").read_text())
    assert record["settings"]["options"] == ["expression_strength=0.5"]
    assert list(record["weights"].values()) == [read_checkpoint(folder / "emo.safetensors").sha256]


_MEASURE = """
import sys
sys.path.insert(0, {tests!r})
import conftest, torch
from magplus.models.registry import load_backbone
torch.set_num_threads(1)
backbone = load_backbone("emoportraits", [{weights!r}], {{}})[0]
open("/proc/self/clear_refs", "w").write("5")
picture = torch.rand(1, 3, 512, 512)
source = backbone.encode_source(picture, {{}})
backbone.drive(backbone.set_reference(source, picture[0], {{}}), picture, {{}})
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) * 1024)
"""


@pytest.mark.heavy
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory can be reset on Linux only")
def test_portrait_and_frame_take_less_than_two_and_a_half_gigabytes(folder):
    """Of a fresh process, weights and Python included, once the file is loaded."""
    code = _MEASURE.format(tests=str(Path(__file__).parents[1]), weights=str(folder / "emo.safetensors"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) < 2.5e9
