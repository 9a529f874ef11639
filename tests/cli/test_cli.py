"""The command line as a user types it."""

import json
from fractions import Fraction

import numpy as np
import pytest
import synth
import torch
from magplus.models import checkpoint
from magplus.models.lkmag.network import LKMag
from magplus.models.lkmag.refiner import Refiner
from magplus.models.lkmag.weigher import WindowWeigher
from magplus.pipeline.cli import main
from magplus.pipeline.measure import measure_clip, whole_frame_box
from magplus.pipeline.media import FFV1, ClipWriter, open_clip

FIELD = synth.total(synth.bump(30, 34, 8, 0.5, -0.35), synth.bump(45, 40, 7, -0.3, 0.3))
BOX = "12,8,40,48"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A driving clip, a portrait, and an array, 64 px."""
    place = tmp_path_factory.mktemp("clips")
    frames = synth.clip(FIELD, synth.micro_motion(8), (64, 64), seed=6).clamp(0, 1)
    with ClipWriter(place / "driver.mkv", rate=Fraction(30000, 1001), format=FFV1) as writer:
        writer.write(frames)
    portrait = synth.render(synth.Texture(2), synth.shift(0, 0), 120, 90)[None]
    with ClipWriter(place / "portrait.png", rate=Fraction(25)) as writer:
        writer.write(portrait.clamp(0, 1))
    np.save(place / "driver.npy", frames.permute(0, 2, 3, 1).numpy())
    return place


def read(path):
    clip = open_clip(path)
    return torch.cat(list(clip.chunks()))


def fails(capfd, words):
    capfd.readouterr()
    assert main([str(word) for word in words]) == 2
    error = capfd.readouterr().err.strip().splitlines()
    assert len([line for line in error if "is taken for the face" not in line]) == 1
    return error[-1]


def test_run_writes_everything_and_keeps_the_motion(folder, tmp_path, capfd):
    words = ["run", "--driver", folder / "driver.mkv", "--source", folder / "portrait.png", "--driver-box", BOX]
    words += ["--source-box", "20,20,50,60", "--alpha", "6", "--out", tmp_path / "restored.mkv"]
    assert main([str(word) for word in words]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    endings = ("mkv", "preview.mp4", "compare.mp4", "curves.png", "report.json", "mkv.json")
    assert names == {f"restored.{ending}" for ending in endings}
    report = json.loads((tmp_path / "restored.report.json").read_text())
    assert report["against_input"]["magnified"]["gain"] == pytest.approx(6, rel=0.06)
    assert report["against_input"]["restored"]["gain"] == pytest.approx(1, rel=0.06)
    assert report["frames"] == 8 and report["rate"] == "30000/1001"
    record = json.loads((tmp_path / "restored.mkv.json").read_text())
    assert record["synthetic"] is True and record["settings"]["alpha"] == 6 and len(record["inputs"]) == 2
    restored = open_clip(tmp_path / "restored.mkv")
    assert (restored.info.width, restored.info.height, restored.info.rate) == (90, 120, Fraction(30000, 1001))
    assert "restored" in capfd.readouterr().out


def test_the_gain_of_each_part_is_told_and_undone(folder, tmp_path, capfd):
    boxes = ["--driver-box", BOX, "--source-box", "20,20,50,60"]
    words = ["run", "--driver", folder / "driver.mkv", "--source", folder / "portrait.png", *boxes, "--alpha", "6"]
    assert main([str(word) for word in [*words, "--gain", "regions", "--out", tmp_path / "restored.mkv"]]) == 0
    report = json.loads((tmp_path / "restored.report.json").read_text())
    gains = report["gain_by_region"]
    assert set(gains) == {"brows", "eyes", "nose", "cheeks", "mouth", "chin"}
    assert all(4 < gain < 9 for gain in gains.values()), "the generator is linear: 6 in all parts"
    assert report["against_input"]["restored"]["gain"] == pytest.approx(1, rel=0.1)
    assert "by region, from gains brows" in capfd.readouterr().out
    small = tmp_path / "small.npy"
    words = ["demagnify", "--in", tmp_path / "restored.mkv", "--like", folder / "driver.mkv", "--gain", "regions"]
    words += ["--like-box", BOX, "--generated-box", "20,20,50,60", "--intensity", "0.5", "--out", small]
    assert main([str(word) for word in words]) == 0
    assert "mouth" in json.loads((tmp_path / "small.npy.json").read_text())["settings"]["gain_by_region"]


def test_the_stages_one_by_one_give_what_run_gives(folder, tmp_path):
    run = ["run", "--driver", folder / "driver.mkv", "--source", folder / "portrait.png", "--alpha", "5"]
    run += ["--pixels", "generated", "--out", tmp_path / "run.npy"]
    # The whole frame is the face: square in, square out, nothing is resampled but by the backbone's framing.
    large, made, small = (tmp_path / f"{name}.npy" for name in ("large", "made", "small"))
    steps = [
        run,
        ["magnify", "--in", folder / "driver.npy", "--alpha", "5", "--out", large],
        ["animate", "--driver", large, "--source", folder / "portrait.png", "--out", made],
        ["demagnify", "--in", made, "--like", folder / "driver.npy", "--out", small],
    ]
    for words in steps:
        assert main([str(word) for word in words]) == 0
    direct, stepwise = np.load(tmp_path / "run.npy"), np.load(small)
    assert direct.shape == stepwise.shape == (8, 256, 256, 3)
    assert np.abs(direct - stepwise).mean() < 1e-3
    assert np.abs(stepwise - stepwise[0]).max() > 0.01


def test_on_the_portrait_intensity_zero_gives_the_portrait_back(folder, tmp_path):
    made = tmp_path / "made.mkv"
    words = ["animate", "--driver", folder / "driver.mkv", "--source", folder / "portrait.png", "--out", made]
    assert main([str(word) for word in words]) == 0
    words = ["demagnify", "--in", made, "--alpha", "4", "--intensity", "0", "--pixels", "source"]
    words += ["--source", folder / "portrait.png", "--out", tmp_path / "still.npy"]
    assert main([str(word) for word in words]) == 0
    still, portrait = np.load(tmp_path / "still.npy"), read(folder / "portrait.png")[0].permute(1, 2, 0).numpy()
    assert still.shape == (8, 120, 90, 3) and all(np.array_equal(frame, portrait) for frame in still)


def test_arrays_pass_without_rounding(folder, tmp_path):
    out = tmp_path / "same.npy"
    assert main(["magnify", "--in", str(folder / "driver.npy"), "--alpha", "3", "--out", str(out)]) == 0
    assert np.array_equal(np.load(out)[0], np.load(folder / "driver.npy")[0])
    assert np.load(out).dtype == np.float32


def test_magnify_takes_a_part_and_another_reference(folder, tmp_path):
    out = tmp_path / "part.mkv"
    words = ["magnify", "--in", folder / "driver.mkv", "--start", 2, "--stop", 7, "--reference", 3, "--alpha", 4]
    assert main([str(word) for word in [*words, "--out", out, "--check"]]) == 0
    assert open_clip(out).info.count == 5
    assert json.loads((tmp_path / "part.mkv.json").read_text())["survival"]["gain"] == pytest.approx(1, abs=0.01)
    assert torch.allclose(read(out)[3], read(folder / "driver.mkv")[5], atol=1e-4)


def test_alpha_auto_brings_the_peak_to_the_target(folder, tmp_path):
    out = tmp_path / "auto.mkv"
    words = ["magnify", "--in", folder / "driver.mkv", "--alpha", "auto", "--driver-box", BOX, "--out", out]
    assert main([str(word) for word in words]) == 0
    clip = open_clip(out)
    curve = measure_clip(clip, whole_frame_box(clip.info))
    assert 100 * curve.peak_px / 40 == pytest.approx(3.0, rel=0.1)


def test_measure_compares_two_clips(folder, tmp_path, capfd):
    large = tmp_path / "large.mkv"
    assert main(["magnify", "--in", str(folder / "driver.mkv"), "--alpha", "4", "--out", str(large)]) == 0
    capfd.readouterr()
    words = ["measure", "--in", large, "--like", folder / "driver.mkv"]
    words += ["--plot", tmp_path / "plot.png", "--csv", tmp_path / "curves.csv"]
    assert main([str(word) for word in words]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["comparison"]["gain"] == pytest.approx(4, rel=0.05)
    assert len((tmp_path / "curves.csv").read_text().splitlines()) == 9
    assert open_clip(tmp_path / "plot.png").info.width >= 600


def test_a_trained_magnifier_is_inspected_converted_and_used(folder, tmp_path, capfd):
    torch.save({"state_dict": LKMag(weigher=WindowWeigher(width=8), refiner=Refiner(width=8)).state_dict()},
               tmp_path / "trained.pth")  # fmt: skip
    assert main(["inspect", str(tmp_path / "trained.pth")]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["architecture"] == "lkmag" and facts["sha256"] == checkpoint.sha256_of(tmp_path / "trained.pth")
    converted = tmp_path / "trained.safetensors"
    assert main(["convert", str(tmp_path / "trained.pth"), str(converted)]) == 0
    one, two = tmp_path / "one.npy", tmp_path / "two.npy"
    for name, out in ((converted, one), ("builtin", two)):
        words = ["magnify", "--in", folder / "driver.npy", "--alpha", "4", "--magnifier", name, "--out", out]
        assert main([str(word) for word in words]) == 0
    assert np.abs(np.load(one) - np.load(two)).max() < 1e-3
    assert "exists" in fails(capfd, ["convert", tmp_path / "trained.pth", converted])
    assert "safetensors" in fails(capfd, ["convert", tmp_path / "trained.pth", tmp_path / "x.pth"])


def test_backbones_are_listed(capfd):
    assert main(["backbones"]) == 0
    out = capfd.readouterr().out
    assert "flow" in out and "framing" in out


def test_bad_input_gives_one_clear_line_and_leaves_nothing(folder, tmp_path, capfd):
    (tmp_path / "text.mp4").write_text("this is no video\n" * 50)
    (tmp_path / "empty.mp4").write_bytes(b"")
    torch.save({"encoder.weight": torch.zeros(3)}, tmp_path / "other.pth")
    broken = np.load(folder / "driver.npy")
    broken[3, 5, 5, 1] = np.nan
    np.save(tmp_path / "nan.npy", broken)
    before = sorted(tmp_path.iterdir())
    driver, portrait, out = folder / "driver.mkv", folder / "portrait.png", tmp_path / "out.mkv"

    def magnify(*more, clip=driver, alpha="4"):
        return fails(capfd, ["magnify", "--in", clip, "--alpha", alpha, "--out", out, *more])

    assert "text.mp4" in magnify(clip=tmp_path / "text.mp4")
    assert "empty" in magnify(clip=tmp_path / "empty.mp4")
    assert "no file" in magnify(clip=tmp_path / "absent.mp4")
    assert "single frame" in magnify(clip=portrait)
    assert "frame 3" in magnify(clip=tmp_path / "nan.npy")
    for alpha in ("0", "-3", "100", "0.001", "nan", "loud"):
        assert "alpha" in magnify(alpha=alpha)
    assert "no frame 8" in magnify("--reference", "8")
    assert "encoder.weight" in magnify("--magnifier", tmp_path / "other.pth")
    assert "--start" in magnify("--start", "early")
    assert ".npy" in magnify("--format", "npy")
    run = ["run", "--driver", driver, "--source", portrait, "--out", out]
    assert "no face box" in fails(capfd, [*run, "--driver-box", "1,2,3"])
    assert "intensity" in fails(capfd, [*run, "--intensity", "11"])
    assert "KEY=VALUE" in fails(capfd, [*run, "--option", "fast"])
    assert "no file" in fails(capfd, ["run", "--driver", driver, "--source", tmp_path / "nobody.png", "--out", out])
    assert "invalid choice" in fails_parsing(capfd, [*run, "--backbone", "fomn"])
    assert sorted(tmp_path.iterdir()) == before


def fails_parsing(capfd, words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code == 2
    error = capfd.readouterr().err.strip().splitlines()
    assert len(error) == 1
    return error[0]


@pytest.mark.parametrize("ending", ["mkv", "preview.mp4", "report.json", "mkv.json"])
def test_nothing_is_overwritten_unasked(folder, tmp_path, capfd, ending):
    standing = tmp_path / f"out.{ending}"
    standing.write_text("mine")
    words = [
        "run",
        "--driver",
        folder / "driver.mkv",
        "--source",
        folder / "portrait.png",
        "--out",
        tmp_path / "out.mkv",
    ]
    assert "exists" in fails(capfd, words)
    assert standing.read_text() == "mine" and list(tmp_path.iterdir()) == [standing]
