"""`magplus adapt`, and other estimators than the default one."""

import json
from fractions import Fraction

import flow_files
import numpy as np
import pytest
import synth
import torch
from magplus.models.registry import load_magnifier
from magplus.pipeline.cli import CANCELLED, main
from magplus.pipeline.cli import adapt as command
from magplus.pipeline.measure import STAGES
from magplus.pipeline.media import FFV1, ClipWriter


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clip of 48 px, a mask, ARFlow's weights and a portrait."""
    place = tmp_path_factory.mktemp("clips")
    frames = synth.clip(synth.bump(24, 24, 9, 0.6, -0.4), np.array([0, 0.6, 1.0, 0.4]), (48, 48)).clamp(0, 1)
    with ClipWriter(place / "clip.mkv", rate=Fraction(25), format=FFV1) as writer:
        writer.write(frames)
    with ClipWriter(place / "mask.png", rate=Fraction(25)) as writer:
        writer.write(torch.ones(1, 3, 48, 48))
    with ClipWriter(place / "portrait.png", rate=Fraction(25)) as writer:
        writer.write(synth.render(synth.Texture(2), synth.shift(0, 0), 60, 60)[None].clamp(0, 1))
    flow_files.published("arflow", place / "pwclite_ar.tar")
    return place


def words(folder, out, *more):
    fixed = ["adapt", "--in", folder / "clip.mkv", "--steps", 2, "--batch", 1, "--alphas", 2, 6, "--out", out]
    return [str(word) for word in [*fixed, *more]]


def test_weights_and_numbers_come_out(folder, tmp_path, capfd):
    out, plot = tmp_path / "mine.safetensors", tmp_path / "mine.png"
    more = ("--mask", folder / "mask.png", "--plot", plot, "--estimator", folder / "pwclite_ar.tar")
    assert main(words(folder, out, *more)) == 0
    report = json.loads(capfd.readouterr().out)
    assert (report["magnifier"], report["flow"], report["steps"]) == ("lkmag", "arflow", 2)
    assert report["loss"]["after"] <= report["loss"]["before"] and plot.is_file()
    magnifier, checkpoint = load_magnifier(out)
    assert magnifier.name == "lkmag" and checkpoint.metadata["adapted_from_sha256"] == "builtin"
    assert json.loads(checkpoint.metadata["adaptation"])["crop_px"] == [48, 48]
    assert {path.name for path in tmp_path.iterdir()} == {"mine.safetensors", "mine.png"}
    again = ["--magnifier", out, "--seconds", 0.001, "--overwrite"]
    assert main(words(folder, tmp_path / "more.safetensors", *again)) == 0
    assert json.loads(capfd.readouterr().out)["stopped"] == "seconds"


def test_bad_input_takes_one_line(folder, tmp_path, capfd):
    for given, said in (
        (words(folder, tmp_path / "mine.pth"), "named *.safetensors"),
        (words(folder, tmp_path / "a.safetensors", "--estimator", folder / "none.pth"), "raft-things.pth"),
        (words(folder, tmp_path / "a.safetensors", "--mask", folder / "clip.mkv", "--steps", 0), "steps must be above"),
    ):
        assert main(given) == 2
        assert said in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


class Interrupted:
    """Ctrl-C at the second step, with or without anything learned by then."""

    learned = True

    def __init__(self, *_, **about):
        self.real = command_adaptation(*_, **about)

    def __getattr__(self, name):
        return getattr(self.real, name)

    @property
    def has_learned(self):
        return self.learned

    def run(self, progress):
        self.real.run(progress)
        raise KeyboardInterrupt


command_adaptation = command.Adaptation


@pytest.mark.parametrize("learned", [True, False])
def test_ctrl_c_keeps_the_best_so_far(folder, tmp_path, monkeypatch, learned):
    monkeypatch.setattr(Interrupted, "learned", learned)
    monkeypatch.setattr(command, "Adaptation", Interrupted)
    out = tmp_path / "mine.safetensors"
    assert main(words(folder, out)) == (0 if learned else CANCELLED)
    assert [path.name for path in tmp_path.iterdir()] == (["mine.safetensors"] if learned else [])


def test_other_estimators_measure_and_are_named(folder, tmp_path, capfd):
    found = {}
    for more in ([], ["--estimator", str(folder / "pwclite_ar.tar")]):
        assert main(["measure", "--in", str(folder / "clip.mkv"), *more]) == 0
        report = json.loads(capfd.readouterr().out)
        found[report["estimator"]] = report["curve"]["values_px"]
    assert set(found) == {"spline fit", "arflow"} and len(set(map(tuple, found.values()))) == 2
    given = ["run", "--driver", folder / "clip.mkv", "--source", folder / "portrait.png", "--alpha", 2]
    given += ["--estimator", folder / "pwclite_ar.tar", "--out", tmp_path / "restored.mkv"]
    assert main([str(word) for word in given]) == 0
    assert "arflow reports it" in capfd.readouterr().out
    report = json.loads((tmp_path / "restored.report.json").read_text())
    assert report["estimator"] == "arflow" and list(report["curves"]) == list(STAGES)
    assert len(json.loads((tmp_path / "restored.mkv.json").read_text())["weights"]) == 1
