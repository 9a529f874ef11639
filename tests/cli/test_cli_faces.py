"""Faces on the command line: strengths per region, a head held still, boxes from a detector."""

import json
from fractions import Fraction

import numpy as np
import pytest
import synth
import torch
from magplus.models.geometry import FaceBox
from magplus.pipeline.cli import main
from magplus.pipeline.face import find
from magplus.pipeline.face.anatomy import FaceMap
from magplus.pipeline.face.detect import Detection
from magplus.pipeline.face.regions import parse_regions
from magplus.pipeline.media import ClipWriter

SIZE = (100, 92)
NUMBERS = (16, 14, 60, 74)
BOX = FaceBox.from_corner(*NUMBERS)
TEXT = ",".join(map(str, NUMBERS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clip with a brow that twitches on a head that drifts, and a portrait."""
    place = tmp_path_factory.mktemp("faces")
    brow = synth.bump(*FaceMap.from_box(BOX).points["left brow"], 6, 0.0, -0.5)
    strengths = synth.micro_motion(8)
    frames = [
        synth.render(synth.Texture(9), synth.total(synth.scaled(brow, float(s)), synth.shift(0.1 * k, 0)), *SIZE)
        for k, s in enumerate(strengths)
    ]
    np.save(place / "driver.npy", torch.stack(frames).clamp(0, 1).permute(0, 2, 3, 1).numpy())
    with ClipWriter(place / "portrait.png", rate=Fraction(25)) as writer:
        writer.write(synth.render(synth.Texture(2), synth.shift(0, 0), 120, 90)[None].clamp(0, 1))
    return place


def run(*words):
    return main([str(word) for word in words])


def settings(path):
    return json.loads(path.with_name(path.name + ".json").read_text())["settings"]


def test_regions_magnify_what_was_named_and_nothing_else(folder, tmp_path):
    out = tmp_path / "brows.npy"
    given = ["magnify", "--in", folder / "driver.npy", "--out", out, "--driver-box", TEXT]
    assert run(*given, "--regions", "brows=8") == 0
    before, after = np.load(folder / "driver.npy"), np.load(out)
    alphas = parse_regions("brows=8").alpha_map(FaceMap.from_box(BOX), SIZE).numpy()
    assert np.array_equal(after[:, alphas == 1], before[:, alphas == 1])
    assert np.abs(after - before).max() > 0.02
    assert settings(out) == {"command": "magnify", "reference": 0, "alpha": 8.0, "regions": "brows 8"}


def test_a_still_head_is_not_magnified_and_moves_again(folder, tmp_path):
    """The drift of 0.7 px stays one of 0.7 px, where plain magnification makes it 4 px."""
    plain, still = tmp_path / "plain.npy", tmp_path / "still.npy"
    given = ["magnify", "--in", folder / "driver.npy", "--alpha", 6, "--driver-box", TEXT]
    assert run(*given, "--out", plain) == run(*given, "--still-head", "--out", still) == 0
    before = np.load(folder / "driver.npy")
    calm = (slice(-1, None), slice(50, 75), slice(20, 70))
    assert np.abs(np.load(still) - before)[calm].mean() < 0.15 * np.abs(np.load(plain) - before)[calm].mean()
    around = (slice(None), slice(None, 3))
    assert np.abs(np.load(still) - before)[around].max() < 0.002, "what lies around the face is no part of it"
    assert np.abs(np.load(plain) - before)[around].max() > 0.05
    assert settings(still)["still_head"]["removed_peak_px"] == pytest.approx(0.7, abs=0.05)


def test_run_takes_regions_and_a_still_head(folder, tmp_path):
    out = tmp_path / "result.npy"
    assert run(
        "run", "--driver", folder / "driver.npy", "--source", folder / "portrait.png", "--driver-box", TEXT,
        "--source-box", "20,20,50,60", "--regions", "brows=10,mouth=2", "--still-head", "--stop", 5, "--out", out,
    ) == 0  # fmt: skip
    told = settings(out)
    assert (told["alpha"], told["regions"]) == (10.0, "brows=10,mouth=2")
    assert told["still_head"]["frames"] == 5


def test_a_box_may_come_from_a_detector(folder, tmp_path, monkeypatch):
    looked = []

    def detector(picture):
        looked.append(tuple(picture.shape))
        box = BOX if picture.shape[-1] == SIZE[1] else FaceBox.from_corner(20, 20, 50, 60)
        return [Detection(box=box), Detection(box=FaceBox.from_corner(1, 1, 8, 9))]

    detector.name = "tester"
    monkeypatch.setattr(find, "find_detector", lambda choice, files: detector)
    auto, given = tmp_path / "auto.npy", tmp_path / "given.npy"
    words = ["animate", "--driver", folder / "driver.npy", "--source", folder / "portrait.png"]
    assert run(*words, "--driver-box", "auto", "--source-box", "auto", "--out", auto) == 0
    assert len(looked) == 6, "five frames of the clip, one portrait"
    assert run(*words, "--driver-box", TEXT, "--source-box", "20,20,50,60", "--out", given) == 0
    assert np.array_equal(np.load(auto), np.load(given))


def test_what_is_missing_is_said(folder, tmp_path, capfd):
    out = tmp_path / "out.npy"
    given = ["magnify", "--in", folder / "driver.npy", "--out", out]
    for words, told in [
        (["--regions", "brows=8"], "Give --driver-box"),
        (["--alpha", "4", "--still-head"], "Give --driver-box"),
        (["--regions", "ears=8", "--driver-box", TEXT], "no region 'ears'"),
        (["--regions", "brows=99", "--driver-box", TEXT], "outside the range"),
    ]:
        assert run(*given, *words) == 2
        assert told in capfd.readouterr().err
    with pytest.raises(SystemExit):
        run(*given, "--alpha", "4", "--regions", "brows=8")
    assert not list(tmp_path.iterdir())
