"""MetaPortrait from the command line under deterministic weights: converted, and the whole main job with it."""

import json
from fractions import Fraction

import metaportrait_files as files
import numpy as np
import pytest
import synth
import torch
from magplus.models.checkpoint import read_checkpoint
from magplus.models.metaportrait.network import MetaPortrait
from magplus.pipeline.cli import main
from magplus.pipeline.media import FFV1, ClipWriter, open_clip

FIELD = synth.total(synth.bump(30, 34, 8, 0.5, -0.35), synth.bump(45, 40, 7, -0.3, 0.3))
BOXES = ["--driver-box", "12,8,40,48", "--source-box", "20,20,50,60"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A driving clip of three frames, a portrait, landmarks, and the weights as published and converted."""
    place = tmp_path_factory.mktemp("metaportrait")
    with ClipWriter(place / "driver.mkv", rate=Fraction(25), format=FFV1) as writer:
        writer.write(synth.clip(FIELD, synth.micro_motion(3), (64, 64), seed=8).clamp(0, 1))
    with ClipWriter(place / "portrait.png", rate=Fraction(25)) as writer:
        writer.write(synth.render(synth.Texture(2), synth.shift(0, 0), 120, 90)[None].clamp(0, 1))
    np.save(place / "faces.npy", np.stack([files.points(which) for which in ("src", "drv0", "drv1")]))
    torch.save({"generator": files.base(), "epoch": 3}, place / "ckpt_base.pth.tar")
    assert main(["convert", str(place / "ckpt_base.pth.tar"), str(place / "base.safetensors")]) == 0
    return place


def words(folder, out, *more):
    given = ["--driver", folder / "driver.mkv", "--source", folder / "portrait.png", "--backbone", "metaportrait"]
    given += ["--weights", folder / "base.safetensors", *BOXES, "--out", out, *more]
    return [str(word) for word in given]


def test_the_main_job(folder, tmp_path, caplog):
    """Landmarks of the driver are given, those of the portrait and its identity are approximated, and said to be."""
    out = tmp_path / "out.mkv"
    guides = ["--guide", f"driving_landmarks={folder / 'faces.npy'}", "--guide", "source_identity=zeros"]
    assert main(["run", *words(folder, out, "--alpha", 4, "--pixels", "generated", *guides)]) == 0
    report = json.loads(out.with_suffix(".report.json").read_text())
    assert set(report["curves"]) == {"input", "magnified", "generated", "restored"}
    record = json.loads((tmp_path / "out.mkv.json").read_text())
    assert list(record["weights"].values()) == [read_checkpoint(folder / "base.safetensors").sha256]
    assert record["settings"]["guides"][1] == "source_identity=zeros"
    assert open_clip(out).info.width == 256
    assert "no landmarks for the source side" in caplog.text and "left at zeros" in caplog.text
    assert "for the driving side" not in caplog.text


def test_convert_keeps_the_network_alone(folder):
    converted = read_checkpoint(folder / "base.safetensors")
    assert converted.metadata["architecture"] == "metaportrait"
    assert all(torch.equal(value, files.flat()[name]) for name, value in converted.tensors.items())
    assert len(converted.tensors) == len(files.flat())


@pytest.mark.parametrize(
    "case",
    [
        ("landmarks=faces.npy", "takes no guide 'landmarks'. It can be given: source_landmarks, driving_landmarks"),
        ("source_identity=arcface.npy", r"an array of shape (512,). Give fit or zeros"),
        ("source_identity=nobody", "source_identity cannot be 'nobody'"),
        ("driving_landmarks=px.npy", "the values go up to 200. Give fractions"),
        ("driving_landmarks=sparse.npy", "Give an array (P, 2) or (frames, P, 2) with P = 669 or 468 or 478"),
        ("driving_landmarks=short.npy", "driving_landmarks has 2 entries for a driving clip of 3 frames"),
        ("driving_landmarks=absent.npy", "There is no file"),
        ("fit", "give NAME=FILE.npy"),
    ],
)
def test_guides_that_do_not_fit_are_told(folder, tmp_path, monkeypatch, capfd, case):
    guide, complaint = case
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("magplus.pipeline.cli.arguments.load_backbone", lambda *_: (Quick(), []))
    np.save("faces.npy", np.zeros((3, 669, 2)))
    np.save("short.npy", np.zeros((2, 669, 2)))
    np.save("px.npy", np.full((3, 669, 2), 200.0))
    np.save("sparse.npy", np.zeros((3, 68, 2)))
    np.save("arcface.npy", np.zeros(512))
    capfd.readouterr()
    assert main(["animate", *words(folder, tmp_path / "out.mkv", "--guide", guide)]) == 2
    assert complaint in capfd.readouterr().err


class Quick:
    """MetaPortrait as the pipeline sees it, without its network."""

    name, framing, max_sources = MetaPortrait.name, MetaPortrait.framing, MetaPortrait.max_sources
    guide_names = MetaPortrait.guide_names

    def encode_source(self, sources, guides):
        """Never reached."""
        raise AssertionError
