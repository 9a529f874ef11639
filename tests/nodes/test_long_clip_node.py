"""Long Clip: the graph's own result, in parts that survive whatever stops the run."""

from __future__ import annotations

import dataclasses
import json
import re
from fractions import Fraction
from pathlib import Path

import av
import pytest
import synth
import torch

RATE = Fraction(30000, 1001)
FRAMES = 11
PART = 4
NUMBER = {"alpha_mode": "number", "alpha": 6.0}
FACE = {"face_x": 10, "face_y": 8, "face_width": 44, "face_height": 52}
ON_PORTRAIT = {"source_x": 20, "source_y": 14, "source_width": 50, "source_height": 64}


class StoppedError(Exception):
    """What a host raises to cancel."""


@pytest.fixture(autouse=True)
def short_parts(pack, monkeypatch):
    monkeypatch.setattr(pack.module("pipeline.parts"), "FRAMES", PART)


@pytest.fixture
def clip(pack):
    """A clip in the input folder, with sound, at 30000/1001."""
    media = pack.module("pipeline.media")
    path = pack.places.input / "driver.mkv"
    frames = synth.clip(synth.bump(34, 38, 12, 0.5, -0.4), synth.micro_motion(FRAMES), (72, 64))
    sound = media.AudioBuffer(waveform=torch.linspace(-0.5, 0.5, 48000)[None], sample_rate=48000)
    with media.ClipWriter(path, rate=RATE, audio=sound) as writer:
        writer.write(frames)
    return path


@pytest.fixture
def stopping(pack, monkeypatch):
    """Cancels at the n-th tick of progress."""

    def at(tick):
        ticks = 0

        def progress(self, stage, done, total, preview=None, /):
            nonlocal ticks
            ticks += 1
            if ticks == tick:
                raise StoppedError

        monkeypatch.setattr(pack.host.Reporter, "__call__", progress)

    return at


def results(pack):
    return sorted(f.name for f in pack.places.output.rglob("*") if f.is_file() and ".parts-" not in f.parent.name)


def left(pack):
    return sorted(pack.places.output.rglob("*.parts-*"))


def decoded(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gbrp16le") for frame in container.decode(video=0)]


def equal(first, second):
    ours, theirs = decoded(first), decoded(second)
    return len(ours) == len(theirs) == FRAMES and all((a == b).all() for a, b in zip(ours, theirs, strict=True))


def graph(pack, **magnify):
    images, audio, fps, _ = pack.run("MagPlusLoadVideo", file="driver.mkv")
    images = pack.run("MagPlusMagnify", images=images, **magnify)[0]
    saved = pack.run("MagPlusSaveVideo", images=images, audio=audio, fps=fps, check_preview=False)
    return saved[1]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("mode", ["auto", "number"])
def test_it_is_what_the_graph_makes_bit_by_bit(pack, clip, mode, masked):
    given = {"alpha_mode": mode, "alpha": 6.0, "reference_index": 1, **FACE}
    if masked:
        given["mask"] = (torch.rand(1, 72, 64, generator=torch.Generator().manual_seed(3)) - 0.3).clamp(min=0)
    made, report = pack.run("MagPlusLongClip", path="driver.mkv", **given)
    assert equal(made, graph(pack, **given))
    assert "11 frames at 29.97 fps, with its sound" in report and " x noise (" in report
    assert left(pack) == []


def test_rate_sound_and_tags_are_those_of_a_clip_written_at_once(pack, clip):
    ours, theirs = (
        Path(made) for made in (pack.run("MagPlusLongClip", path=str(clip), **NUMBER)[0], graph(pack, **NUMBER))
    )
    for made in (ours, theirs):
        back = pack.module("pipeline.media").open_clip(made)
        assert (back.info.rate, back.info.count) == (RATE, FRAMES)
    with av.open(str(ours)) as first, av.open(str(theirs)) as second:
        for a, b in zip(first.streams, second.streams, strict=True):
            assert a.codec_context.name == b.codec_context.name
        videos = [container.streams.video[0] for container in (first, second)]
        assert videos[0].average_rate == videos[1].average_rate == RATE
        assert [p.pts for p in first.demux(video=0)] == [p.pts for p in second.demux(video=0)]
        for name in ("color_range", "color_trc", "color_primaries", "pix_fmt", "extradata"):
            assert getattr(videos[0].codec_context, name) == getattr(videos[1].codec_context, name)
    heard = [pack.module("pipeline.media").open_audio(made).samples() for made in (ours, theirs)]
    assert heard[0].shape[1] == round(FRAMES / RATE * 48000) and torch.equal(*heard)
    assert json.loads(Path(f"{ours}.json").read_text())["settings"]["alpha"] == 6.0


@pytest.mark.parametrize("tick", [1, 5, 6, 9, 12, 15])
def test_cancelled_anywhere_it_goes_on_and_ends_the_same(pack, clip, stopping, monkeypatch, tick):
    """Ticks 1 to 11 are frames that are magnified, those after them frames that are joined."""
    with monkeypatch.context() as patch:
        patch.setattr(pack.host.Reporter, "__call__", pack.host.Reporter.__call__)
        stopping(tick)
        with pytest.raises(StoppedError):
            pack.run("MagPlusLongClip", path="driver.mkv", **NUMBER)
    assert results(pack) == []
    if tick <= PART:
        assert left(pack) == [], "nothing was finished, so there is nothing to keep"
        return
    (folder,) = left(pack)
    assert "Unfinished" in json.loads((folder / "parts.json").read_text())["note"]
    finished = sorted(folder.glob("*.mkv"))
    whole = -(-FRAMES // PART) if tick > FRAMES else (tick - 1) // PART
    assert [len(decoded(part)) for part in finished] == [PART, PART, FRAMES - 2 * PART][:whole]
    before = {part: part.stat().st_mtime_ns for part in finished}
    seen = []
    keep = pack.module("pipeline.parts").Parts.discard
    monkeypatch.setattr(
        pack.module("pipeline.parts").Parts,
        "discard",
        lambda self: (seen.append({p: p.stat().st_mtime_ns for p in before}), keep(self)),
    )
    stopping(-1)
    made = pack.run("MagPlusLongClip", path="driver.mkv", **NUMBER)[0]
    assert seen == [before], "finished parts were written again"
    assert equal(made, graph(pack, **NUMBER))
    assert left(pack) == []


def test_other_settings_and_other_files_leave_the_old_parts_alone(pack, clip, stopping):
    stopping(6)
    others = [NUMBER, NUMBER | {"alpha": 6.5}, NUMBER | {"reference_index": 2}, NUMBER | {"format": "ffv1_8bit"}]
    for count, given in enumerate(others, 1):
        stopping(6)
        with pytest.raises(StoppedError):
            pack.run("MagPlusLongClip", path="driver.mkv", **given)
        assert len(left(pack)) == count
    clip.write_bytes(clip.read_bytes() + b"\0")
    stopping(-1)
    pack.run("MagPlusLongClip", path="driver.mkv", **NUMBER)
    assert len(left(pack)) == len(others)
    for folder in left(pack):
        assert len(list(folder.glob("*.mkv"))) == 1


@pytest.mark.parametrize("format", ["ffv1_8bit", "h264_444", "h264", "png16"])
def test_every_format_gets_all_frames(pack, clip, format):
    made = pack.run("MagPlusLongClip", path="driver.mkv", format=format, **NUMBER)[0]
    assert pack.module("pipeline.media").open_clip(made).info.count == FRAMES
    assert left(pack) == []


def test_a_part_that_was_damaged_is_found(pack, clip, stopping):
    stopping(6)
    with pytest.raises(StoppedError):
        pack.run("MagPlusLongClip", path="driver.mkv", **NUMBER)
    (part,) = left(pack)[0].glob("*.mkv")
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    stopping(-1)
    with pytest.raises(pack.error, match="damaged after it was written"):
        pack.run("MagPlusLongClip", path="driver.mkv", **NUMBER)
    assert results(pack) == []
    part.unlink()
    assert equal(pack.run("MagPlusLongClip", path="driver.mkv", **NUMBER)[0], graph(pack, **NUMBER))


def test_the_whole_chain_cancelled_in_every_stage_ends_the_same(pack, clip, portrait, stopping):
    backbone = pack.run("MagPlusFlowTransfer")[0]
    given = {"path": "driver.mkv", "source": portrait, "backbone": backbone, **NUMBER, **FACE, **ON_PORTRAIT}
    once, report = pack.run("MagPlusLongClip", **given)
    assert "gain" in report and len(decoded(once)) == FRAMES
    stages = set()
    # Frame 6 of magnify; after the 7 that were left there, 7 of animate; after 7 there and 33 measured, 6 of demagnify.
    for tick in (6, 14, 46):
        stopping(tick)
        with pytest.raises(StoppedError):
            pack.run("MagPlusLongClip", **given)
        assert results(pack) == ["long_00001_.mkv", "long_00001_.mkv.json"]
        stages = {folder.name.split(".")[1]: len(list(folder.glob("*.mkv"))) for folder in left(pack)}
    stopping(-1)
    again = pack.run("MagPlusLongClip", **given)[0]
    assert stages == {"magnified": 3, "generated": 3, "restored": 1}
    assert equal(once, again) and left(pack) == []


def test_parts_of_another_encoder_are_not_joined(pack, clip, monkeypatch):
    join = pack.module("pipeline.media.join")
    monkeypatch.setattr(join, "FFV1", dataclasses.replace(join.FFV1, options={**join.FFV1.options, "slices": "9"}))
    with pytest.raises(pack.error, match="another version of FFmpeg"):
        pack.run("MagPlusLongClip", path="driver.mkv", **NUMBER)
    assert results(pack) == [] and len(left(pack)) == 1, "the parts stay"


def test_strength_and_gain_are_those_of_the_graph(pack, clip, portrait):
    """Half the motion inside the generator is a factor twice as large; gains by region are told from the run."""
    backbone = pack.run("MagPlusFlowTransfer")[0]
    given = {"path": "driver.mkv", "source": portrait, "backbone": backbone, **NUMBER, **FACE, **ON_PORTRAIT}
    whole, half = (pack.run("MagPlusLongClip", **given, **other) for other in ({}, {"motion_strength": 0.5}))
    factors = [float(re.search(r"factor ([0-9.e-]+)", found[1])[1]) for found in (whole, half)]
    assert factors[1] == pytest.approx(2 * factors[0], rel=0.05)
    by_region = pack.run("MagPlusLongClip", **given, gain="regions")[0]
    assert not equal(whole[0], by_region)


def test_what_does_not_fit_together_is_said(pack, clip, portrait):
    backbone = pack.run("MagPlusFlowTransfer")[0]
    for given, words in (
        ({"source": portrait}, "no generator"),
        ({"backbone": backbone}, "no portrait"),
        ({"source": portrait, "backbone": backbone, "mask": torch.ones(1, 72, 64)}, "'mask' is for"),
        ({"alpha_mode": "number", "alpha": 99.0}, "alpha 99 is outside"),
        ({"path": ""}, "There is no path"),
        ({"path": "/nowhere/clip.mkv"}, "There is no file"),
    ):
        with pytest.raises(pack.error, match=words):
            pack.run("MagPlusLongClip", **({"path": "driver.mkv"} | given))
    assert left(pack) == []
    node = pack.by_id["MagPlusLongClip"]
    assert node.validate_inputs(path="gone.mkv") != node.validate_inputs(path="driver.mkv") == True  # noqa: E712
