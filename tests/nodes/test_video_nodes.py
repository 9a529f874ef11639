"""Load Video and Save Video: nothing is lost on the way, nothing is left after Cancel."""

from __future__ import annotations

import json
import os
import pathlib
from fractions import Fraction
from types import SimpleNamespace

import av
import pytest
import torch

GRAPH = SimpleNamespace(
    unique_id="1", prompt={"3": {"class_type": "X"}}, extra_pnginfo={"workflow": {"nodes": [], "note": "Grüße"}}
)


def saved_files(pack):
    return sorted(path.name for path in pack.places.output.rglob("*") if path.is_file())


def test_samples_are_there_without_any_upload(pack):
    images, audio, fps, video = pack.run("MagPlusLoadVideo")
    assert images.shape == (36, 240, 240, 3)
    assert (audio, fps) == (None, 60.0)
    assert video.get_components().images.data_ptr() == images.data_ptr()
    picture = pack.run("MagPlusLoadVideo", sample="portrait.jpg")[0]
    assert torch.equal(picture, pack.run("MagPlusLoadVideo", file="sample: portrait.jpg")[0])
    assert picture.shape == (1, 600, 512, 3)
    assert 0 <= float(picture.min()) < float(picture.max()) <= 1


@pytest.mark.parametrize("rate", [Fraction(200), Fraction(30000, 1001), Fraction(24)])
def test_master_returns_every_bit_rate_and_sound(pack, small, rate):
    sound = {"waveform": torch.linspace(-1, 1, 4800)[None, None], "sample_rate": 48000}
    _, master = pack.run(
        "MagPlusSaveVideo", images=small, audio=sound, fps=float(rate), filename_prefix="sub/clip", check_preview=False
    )
    os.replace(master, pack.places.input / "back.mkv")
    images, audio, fps, video = pack.run("MagPlusLoadVideo", file="back.mkv")
    assert (images - small.clamp(0, 1)).abs().max() <= 0.5001 / 65535
    assert video.get_components().frame_rate == rate
    assert fps == float(rate)
    heard = audio["waveform"][0, 0]
    assert audio["sample_rate"] == 48000
    assert torch.allclose(heard, sound["waveform"][0, 0, : len(heard)], atol=1e-6)
    assert len(heard) == min(4800, round(len(small) / rate * 48000))


def test_a_video_wire_brings_its_own_rate_and_sound(pack, small):
    sound = {"waveform": torch.zeros(1, 2, 9600), "sample_rate": 48000}
    video = pack.host.make_video(small, Fraction(30000, 1001), sound)
    _, master = pack.run("MagPlusSaveVideo", video=video, fps=25.0, format="ffv1_8bit", check_preview=False)
    with av.open(master) as container:
        assert container.streams.video[0].average_rate == Fraction(30000, 1001)
        assert container.streams.audio[0].channels == 2


def test_a_chosen_file_wins_over_the_sample(pack, small):
    master = pack.run("MagPlusSaveVideo", images=small, fps=25.0, check_preview=False)[1]
    os.replace(master, pack.places.input / "own.mkv")
    choices = next(i for i in pack.host.describe(pack.by_id["MagPlusLoadVideo"])["inputs"] if i["id"] == "file")
    assert choices["options"] == ["", "own.mkv"]
    assert pack.run("MagPlusLoadVideo", file="own.mkv", sample="portrait.jpg")[0].shape == small.shape


def test_exactly_one_kind_of_wire(pack, small):
    video = pack.host.make_video(small, Fraction(25), None)
    for wires in ({}, {"images": small, "video": video}):
        with pytest.raises(pack.error, match="either 'images' or 'video'"):
            pack.run("MagPlusSaveVideo", **wires)


def test_range_and_resampling(pack, small):
    master = pack.run("MagPlusSaveVideo", images=small, fps=50.0, check_preview=False)[1]
    os.replace(master, pack.places.input / "clip.mkv")
    part = pack.run("MagPlusLoadVideo", file="clip.mkv", start_frame=2, stop_frame=5)[0]
    assert (part - small[2:5].clamp(0, 1)).abs().max() <= 0.5001 / 65535
    images, _, fps, _ = pack.run("MagPlusLoadVideo", file="clip.mkv", resample_to=100.0)
    assert (len(images), fps) == (18, 100.0)
    assert torch.equal(images[0], images[1])
    with pytest.raises(pack.error, match="range"):
        pack.run("MagPlusLoadVideo", file="clip.mkv", start_frame=40)


def test_the_preview_carries_the_graph_as_core_writes_it(pack, small):
    pack.run("MagPlusSaveVideo", hidden=GRAPH, images=small, fps=25.0, filename_prefix="sub/clip")
    ui = pack.last.ui
    (shown,) = ui["images"]
    assert shown == {"filename": "clip_00001_preview.mp4", "subfolder": "sub", "type": "output"}
    assert ui["animated"] == (True,)
    preview = pack.places.output / "sub" / shown["filename"]
    for path in (preview, preview.with_name("clip_00001_.mkv")):
        with av.open(str(path)) as container:
            found = {key.lower(): value for key, value in container.metadata.items()}
        assert json.loads(found["workflow"]) == GRAPH.extra_pnginfo["workflow"]
        assert json.loads(found["prompt"]) == GRAPH.prompt
    with av.open(str(preview)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert sum(1 for _ in container.decode(video=0)) == len(small)


def test_what_is_written_says_that_it_is_synthetic(pack, small):
    master = pack.run("MagPlusSaveVideo", hidden=GRAPH, images=small, fps=25.0, check_preview=False)[1]
    record = json.loads(pathlib.Path(f"{master}.json").read_text())
    assert record["synthetic"] is True
    assert record["settings"] == {"format": "ffv1", "rate": "25/1", "prompt": GRAPH.prompt}
    for path in (master, master.replace("_.mkv", "_preview.mp4")):
        with av.open(path) as container:
            found = {key.lower(): value for key, value in container.metadata.items()}
        assert found["comment"].startswith("synthetic: made with magplus")


def test_it_tells_what_survived_in_the_preview(standalone, small):
    """Half a pixel survives H.264 to a good part; a hundredth of it does not, and a still clip has no motion."""

    def survived(images):
        report = standalone.run("MagPlusSaveVideo", images=images, fps=25.0)[0]
        return float(report.split(" % of the motion")[0].split()[-1])

    weak = small[:1] + 0.02 * (small - small[:1])
    assert survived(small) > 60
    assert survived(weak) < survived(small) - 20
    report = standalone.run("MagPlusSaveVideo", images=small[:1].repeat(4, 1, 1, 1), fps=25.0)[0]
    assert "no motion to compare" in report


@pytest.mark.parametrize("format", ["ffv1", "ffv1_8bit", "h264_444", "h264", "png16", "npy"])
def test_every_format_of_the_list_can_be_read_again(standalone, small, format):
    report, master = standalone.run(
        "MagPlusSaveVideo", images=small, fps=25.0, format=format, check_preview=False,
        audio={"waveform": torch.zeros(1, 1, 1000), "sample_rate": 8000},
    )  # fmt: skip
    os.replace(master, standalone.places.input / os.path.basename(master))
    images = standalone.run("MagPlusLoadVideo", file=os.path.basename(master))[0]
    assert images.shape == small.shape
    assert (images - small).abs().mean() < 0.01
    assert ("Sound is in the preview only" in report) == (format in ("png16", "npy"))


def test_a_replaced_file_is_noticed(pack):
    path = pack.places.input / "clip.png"
    node = pack.by_id["MagPlusLoadVideo"]
    path.write_bytes(b"one")
    os.utime(path, ns=(1, 1))
    first = node.fingerprint_inputs(file="clip.png", sample="driver.mkv", start_frame=0)
    assert node.fingerprint_inputs(file="clip.png", sample="driver.mkv", start_frame=0) == first
    path.write_bytes(b"two")
    os.utime(path, ns=(2, 2))
    assert node.fingerprint_inputs(file="clip.png", sample="driver.mkv", start_frame=0) != first


def test_a_missing_file_is_refused_before_the_run(pack):
    node = pack.by_id["MagPlusLoadVideo"]
    assert node.validate_inputs(file="sample: driver.mkv") is True
    assert node.validate_inputs(file=None) is node.validate_inputs(file="") is True
    assert "There is no file 'gone.mkv'" in node.validate_inputs(file="gone.mkv")


@pytest.mark.parametrize("stage_tick", [3, 12])
def test_cancel_leaves_no_file(standalone, small, stage_tick):
    """While writing (nine ticks) and while the preview is checked."""

    class Cancelled(BaseException):
        pass

    hooks = standalone.module("nodes.standalone").hooks
    ticks = []

    def progress(*tick):
        ticks.append(tick)
        if len(ticks) == stage_tick:
            raise Cancelled

    hooks.progress = progress
    with pytest.raises(Cancelled):
        standalone.run("MagPlusSaveVideo", images=small, fps=25.0)
    assert saved_files(standalone) == []
    hooks.progress = lambda *_: None
    standalone.run("MagPlusSaveVideo", images=small, fps=25.0)
    assert saved_files(standalone) == ["clip_00001_.mkv", "clip_00001_.mkv.json", "clip_00001_preview.mp4"]
