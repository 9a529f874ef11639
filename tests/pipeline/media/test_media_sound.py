"""Sound stays where it belongs: a click is found again at its time."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from magplus.models.errors import MagPlusError
from magplus.pipeline.media import H264_444, AudioBuffer, ClipWriter, open_clip

RATE = 48000
CLICK_S = 1.3
AAC_FRAME = 1024


def clip_with_click(path, *, codec, layout="mono", rate=RATE, fps=25, seconds=3, sample_format="s16", offset_s=0):
    """Video of ``seconds`` and sound that is silent but for a click at `CLICK_S`; sound begins at ``offset_s``."""
    channels = 2 if layout == "stereo" else 1
    samples = np.zeros((channels, int((seconds - offset_s) * rate)), np.float32)
    place = round((CLICK_S - offset_s) * rate)
    samples[:, place : place + 24] = 0.8 * np.sin(np.arange(24) * np.pi / 24)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "bf": "2"})
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        sound = container.add_stream(codec, rate=rate, layout=layout)
        convert = av.AudioResampler(format=sample_format, layout=layout, rate=rate)
        for index in range(seconds * fps):
            frame = av.VideoFrame(32, 32, "yuv420p")
            for plane in frame.planes:
                np.frombuffer(plane, np.uint8)[:] = 100
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, samples.shape[1], rate):
            frame = av.AudioFrame.from_ndarray(samples[:, start : start + rate].copy(), "fltp", layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = start + int(offset_s * rate)
            for part in convert.resample(frame):
                container.mux(sound.encode(part))
        container.mux(sound.encode(None))
    return path


def click_at(track):
    """Time of the click's centre in seconds from the track's first sample."""
    loud = track.samples()[0].abs()
    assert loud.max() > 0.3
    return (float((loud * torch.arange(len(loud))).sum() / loud.sum()) - 11.5) / track.sample_rate


def copy(clip, path, **options):
    with ClipWriter(path, rate=clip.info.rate, audio=clip.audio, **options) as writer:
        for chunk in clip.chunks():
            writer.write(chunk)
    return open_clip(path)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return clip_with_click(tmp_path_factory.mktemp("sound") / "a.mkv", codec="flac")


def test_a_clip_without_sound_has_none(tmp_path):
    with ClipWriter(tmp_path / "a.mkv", rate=25) as writer:
        writer.write(torch.rand(2, 3, 16, 16))
    assert open_clip(tmp_path / "a.mkv").audio is None


@pytest.mark.parametrize(
    ("codec", "suffix", "sample_format"),
    [("flac", ".mkv", "s16"), ("pcm_s16le", ".mkv", "s16"), ("aac", ".mp4", "fltp"), ("aac", ".mkv", "fltp")],
)
def test_the_click_is_read_at_its_time(tmp_path, codec, suffix, sample_format):
    path = clip_with_click(tmp_path / f"a{suffix}", codec=codec, sample_format=sample_format)
    # Matroska rounds times to a millisecond.
    assert abs(click_at(open_clip(path).audio) - CLICK_S) <= 0.001


def test_lossless_sound_is_copied_sample_by_sample(source, tmp_path):
    clip = open_clip(source)
    copied = copy(clip, tmp_path / "b.mkv")
    with av.open(str(tmp_path / "b.mkv")) as container:
        assert container.streams.audio[0].codec_context.name == "flac"
    assert torch.equal(copied.audio.samples(), clip.audio.samples())
    assert copied.info.count == 75


def test_float_sound_stays_float(tmp_path):
    clip = open_clip(clip_with_click(tmp_path / "a.mp4", codec="aac", sample_format="fltp"))
    copied = copy(clip, tmp_path / "b.mkv")
    with av.open(str(tmp_path / "b.mkv")) as container:
        assert container.streams.audio[0].codec_context.name == "pcm_f32le"
    length = copied.audio.samples().shape[1]
    assert torch.equal(copied.audio.samples(), clip.audio.samples()[:, :length])
    assert abs(length - 3 * RATE) <= AAC_FRAME


@pytest.mark.parametrize("name", ["b.mkv", "b.mp4"])
def test_the_click_keeps_its_time(source, tmp_path, name):
    copied = copy(open_clip(source), tmp_path / name, format=H264_444 if name == "b.mkv" else None)
    tolerance = 1 / RATE if name == "b.mkv" else AAC_FRAME / RATE
    assert abs(click_at(copied.audio) - CLICK_S) <= tolerance


@pytest.mark.parametrize("name", ["b.mkv", "b.mp4"])
def test_a_range_takes_its_own_part_of_the_sound(source, tmp_path, name):
    clip = open_clip(source, start=20, stop=50)
    assert clip.audio.samples().shape == (1, 30 * RATE // 25)
    assert abs(click_at(clip.audio) - (CLICK_S - 0.8)) <= 1 / RATE
    copied = copy(clip, tmp_path / name)
    assert copied.info.count == 30
    assert abs(click_at(copied.audio) - (CLICK_S - 0.8)) <= (1 if name == "b.mkv" else AAC_FRAME) / RATE
    assert abs(copied.audio.samples().shape[1] - 30 * RATE // 25) <= (0 if name == "b.mkv" else AAC_FRAME)


def test_sound_that_begins_late_is_preceded_by_silence(tmp_path):
    path = clip_with_click(tmp_path / "a.mkv", codec="flac", offset_s=0.5)
    track = open_clip(path).audio
    assert abs(click_at(track) - CLICK_S) <= 0.001
    assert not track.samples()[0, : int(0.49 * RATE)].any()


def test_a_far_range_is_sought(tmp_path):
    path = clip_with_click(tmp_path / "a.mkv", codec="flac", seconds=16, fps=5)
    whole = open_clip(path).audio.samples()
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name == "flac"
    part = open_clip(path, start_s=12).audio
    assert torch.equal(part.samples(), whole[:, 12 * RATE :])


def test_unusual_rates_and_layouts(tmp_path):
    path = clip_with_click(tmp_path / "a.mkv", codec="pcm_s16le", layout="stereo", rate=37800)
    clip = open_clip(path)
    assert (clip.audio.sample_rate, clip.audio.layout) == (37800, "stereo")
    exact = copy(clip, tmp_path / "b.mkv").audio
    assert torch.equal(exact.samples(), clip.audio.samples())
    converted = copy(clip, tmp_path / "b.mp4").audio
    assert (converted.sample_rate, converted.layout) == (48000, "stereo")
    assert abs(click_at(converted) - CLICK_S) <= AAC_FRAME / 48000


@pytest.mark.parametrize("name", ["b.mkv", "b.mp4"])
def test_sound_in_memory_can_be_written(tmp_path, name):
    waveform = 0.1 * torch.sin(torch.arange(2 * RATE) * 0.05).repeat(2, 1)
    with ClipWriter(tmp_path / name, rate=25, audio=AudioBuffer(waveform=waveform, sample_rate=RATE)) as writer:
        writer.write(torch.rand(25, 3, 16, 16))
    back = open_clip(tmp_path / name).audio.samples()
    if name == "b.mkv":
        assert torch.equal(back, waveform[:, :RATE])
    else:
        assert (back[:, 2000:40000] - waveform[:, 2000:40000]).abs().max() < 0.01


def test_a_format_without_sound_says_so(source, tmp_path):
    with pytest.raises(MagPlusError, match="cannot hold sound"):
        ClipWriter(tmp_path / "a.npy", rate=25, audio=open_clip(source).audio)
    assert list(tmp_path.iterdir()) == []
