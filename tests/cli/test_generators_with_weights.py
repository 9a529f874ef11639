"""FOMM and FSRT from the command line under deterministic weights: converted, and the whole main job with them."""

import json
from fractions import Fraction

import fomm_files
import fsrt_files
import pytest
import synth
from magplus.models.checkpoint import read_checkpoint
from magplus.models.contracts import Framing
from magplus.models.fsrt.network import Fsrt
from magplus.pipeline.cli import main
from magplus.pipeline.media import FFV1, ClipWriter, open_clip

FIELD = synth.total(synth.bump(30, 34, 8, 0.5, -0.35), synth.bump(45, 40, 7, -0.3, 0.3))
BOXES = ["--driver-box", "12,8,40,48", "--source-box", "20,20,50,60"]


def magplus(*words):
    assert main([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Driving clips of three frames, two pictures of one portrait, and all weights, converted.

    Under these weights a portrait moves anyhow; the clips are such that it moves with the driver, not against it.
    """
    place = tmp_path_factory.mktemp("generators")
    for model, seed in (("fomm", 8), ("fsrt", 6)):
        with ClipWriter(place / f"{model}.mkv", rate=Fraction(25), format=FFV1) as writer:
            writer.write(synth.clip(FIELD, synth.micro_motion(3), (64, 64), seed=seed).clamp(0, 1))
    for name, push in (("one", 0.0), ("two", 1.5)):
        with ClipWriter(place / f"{name}.png", rate=Fraction(25)) as writer:
            writer.write(synth.render(synth.Texture(2), synth.shift(push, 0), 120, 90)[None].clamp(0, 1))
    magplus("convert", fomm_files.published(place / "vox-cpk.pth.tar"), place / "fomm.safetensors")
    detector, rest = fsrt_files.published(place)
    magplus("convert", rest, detector, place / "fsrt.safetensors")
    return place


def run(folder, model, out, *more, sources=("one",)):
    words = ["run", "--driver", folder / f"{model}.mkv", "--alpha", 4, "--pixels", "generated", "--out", out, *BOXES]
    words += ["--backbone", model, "--weights", folder / f"{model}.safetensors"]
    for source in sources:
        words += ["--source", folder / f"{source}.png"]
    magplus(*words, *more)
    report = json.loads(out.with_suffix(".report.json").read_text())
    assert set(report["curves"]) == {"input", "magnified", "generated", "restored"}
    return json.loads((out.parent / f"{out.name}.json").read_text())


def test_convert_keeps_the_networks_alone(folder):
    fomm, fsrt = (read_checkpoint(folder / f"{name}.safetensors") for name in ("fomm", "fsrt"))
    assert {key.partition(".")[0] for key in fomm.tensors} == {"generator", "kp_detector"}
    assert {key.partition(".")[0] for key in fsrt.tensors} == set(fsrt_files.states())
    assert fomm.metadata["architecture"] == "fomm" and fsrt.metadata["architecture"] == "fsrt"
    assert len(fsrt.metadata["source_sha256"].split(",")) == 2
    assert all((fomm.tensors[key] == value).all() for key, value in fomm_files.flat().items())


def test_the_main_job_with_fomm(folder, tmp_path):
    record = run(folder, "fomm", tmp_path / "out.mkv", "--option", "adapt_movement_scale=true")
    assert list(record["weights"].values()) == [read_checkpoint(folder / "fomm.safetensors").sha256]
    assert record["settings"]["options"] == ["adapt_movement_scale=true"]
    assert open_clip(tmp_path / "out.mkv").info.width == 256


@pytest.fixture
def encoded(monkeypatch):
    """FSRT at half its side, a quarter of the time; collects the shapes of the portraits that it encodes."""
    shapes, encode = [], Fsrt.encode_source
    monkeypatch.setattr(Fsrt, "framing", Framing(scale=1.2, shift_y=0.0, size=128))
    monkeypatch.setattr(Fsrt, "encode_source", lambda *given: (shapes.append(given[1].shape), encode(*given))[1])
    return shapes


def test_the_main_job_with_fsrt_and_two_sources(folder, tmp_path, encoded):
    # Under these weights FSRT moves by a fortieth of the motion: at alpha 4 too little to scale it back to all of it.
    more = ("--alpha", 6, "--option", "max_memory_mb=64")
    record = run(folder, "fsrt", tmp_path / "out.mkv", *more, sources=("one", "two"))
    assert encoded == [(2, 3, 128, 128)]
    assert len(record["inputs"]) == 3
    assert open_clip(tmp_path / "out.mkv").info.width == 128


def test_one_source_is_all_that_fomm_takes(folder, tmp_path, capfd):
    words = ["animate", "--driver", folder / "fsrt.mkv", "--source", folder / "one.png", "--source"]
    words += [folder / "two.png", "--backbone", "fomm", "--weights", folder / "fomm.safetensors"]
    capfd.readouterr()
    assert main([str(word) for word in [*words, *BOXES, "--out", tmp_path / "out.mkv"]]) == 2
    assert "fomm takes 1 source picture(s), not 2" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ([], "No weights were given. fsrt needs kp_detector.pt"),
        (["--weights", "absent.pt"], "There is no weights file absent.pt. fsrt needs kp_detector.pt"),
    ],
)
def test_missing_weights_are_told_with_their_source(folder, tmp_path, capfd, more, complaint):
    words = ["run", "--driver", folder / "fsrt.mkv", "--source", folder / "one.png", "--backbone", "fsrt", *more]
    capfd.readouterr()
    assert main([str(word) for word in [*words, "--out", tmp_path / "out.mkv"]]) == 2
    error = capfd.readouterr().err
    assert complaint in error and "github.com/andrerochow/fsrt" in error


@pytest.mark.heavy
def test_the_main_job_with_fsrt_at_its_own_size(folder, tmp_path):
    # Under these weights it hardly moves: the full intensity would need a magnification of 59.
    run(folder, "fsrt", tmp_path / "out.mkv", "--intensity", 0.1)
    assert open_clip(tmp_path / "out.mkv").info.width == 256
