"""Colours against the code values that the standards print."""

import av
import numpy as np
import pytest
import torch
from magplus.models.errors import MagPlusError
from magplus.pipeline.media import FORMATS, H264, H264_444, ClipWriter, open_clip
from magplus.pipeline.media.colour import rgb_of
from media_files import BARS, CODES_601, CODES_709, bars, coded_bars, everything, fill, grey_planes, write_planes

LEVEL = 1 / 255
ROUNDED = 1.3 * LEVEL
"""What rounding Y, Cb and Cr to 8 bit does to a colour."""
BT709, BT470BG, BT601, BT2020 = 1, 5, 6, 9
LIMITED, FULL = 1, 2


def read_bars(path):
    return open_clip(path).frame(0)


@pytest.mark.parametrize(
    ("matrix", "codes"), [(BT709, CODES_709), (BT601, CODES_601), (BT470BG, CODES_601)], ids=["709", "601", "470bg"]
)
def test_the_matrix_in_the_tag_is_used(tmp_path, matrix, codes):
    tags = {"colorspace": matrix, "color_range": LIMITED}
    path = write_planes(tmp_path / "a.mkv", "yuv444p", [coded_bars(codes)] * 2, tags=tags)
    assert (read_bars(path) - bars()).abs().max() < ROUNDED


@pytest.mark.parametrize(("height", "codes"), [(32, CODES_601), (720, CODES_709)], ids=["small", "large"])
def test_untagged_video_is_601_when_small_and_709_when_large(tmp_path, height, codes):
    path = write_planes(tmp_path / "a.mkv", "yuv444p", [coded_bars(codes, height)])
    assert (read_bars(path) - bars(height)).abs().max() < ROUNDED


def test_full_range_is_read_as_full_range(tmp_path):
    planes = [np.tile(np.arange(256), (16, 1)), np.full((16, 256), 128), np.full((16, 256), 128)]
    path = write_planes(tmp_path / "a.mkv", "yuv444p", [planes], tags={"colorspace": BT709, "color_range": FULL})
    assert torch.allclose(read_bars(path)[1, 0], torch.arange(256) / 255, atol=1e-6)
    path = write_planes(tmp_path / "b.mkv", "yuv444p", [planes], tags={"colorspace": BT709, "color_range": LIMITED})
    assert torch.allclose(read_bars(path)[1, 0], ((torch.arange(256) - 16) / 219).clamp(0, 1), atol=1e-6)


@pytest.mark.parametrize("depth", [10, 12, 16])
def test_deep_video_keeps_its_depth(tmp_path, depth):
    levels = 1 << (depth - 8)
    luma = np.tile(np.arange(100 * levels, 100 * levels + 64), (16, 1))
    planes = [luma, np.full_like(luma, 128 * levels), np.full_like(luma, 128 * levels)]
    tags = {"colorspace": BT709, "color_range": LIMITED}
    path = write_planes(tmp_path / "a.mkv", f"yuv444p{depth}le", [planes], tags=tags)
    expected = torch.from_numpy((luma[0] / levels - 16) / 219).float()
    assert torch.allclose(read_bars(path)[0, 0], expected, atol=1e-6)
    assert len(read_bars(path)[0, 0].unique()) == 64


def test_an_unknown_matrix_is_named(tmp_path):
    path = write_planes(tmp_path / "a.mkv", "yuv444p", [coded_bars(CODES_709)], tags={"colorspace": 8})
    with pytest.raises(MagPlusError, match=r"matrix \(H.273 number 8\)"):
        open_clip(path).frame(0)


@pytest.mark.parametrize("name", ["nv12", "yuyv422", "uyvy422", "p010le", "yuv444p16be", "yuv422p10be"])
def test_other_layouts_of_the_same_samples_give_the_same_picture(name):
    generator = np.random.default_rng(3)
    subsampling = "422" if "422" in name or "yv" in name else "444" if "444" in name else "420"
    depth = 16 if "16" in name else 10 if "10" in name else 8
    planar = av.VideoFrame(32, 16, f"yuv{subsampling}p" + (f"{depth}le" if depth > 8 else ""))
    for plane in planar.planes:
        samples = generator.integers(16 << (depth - 8), 235 << (depth - 8), (plane.height, plane.width))
        fill(plane, samples, "<u2" if depth > 8 else "u1")
    expected = rgb_of(planar, "rawvideo")
    assert expected.std() > 0.2
    assert torch.equal(rgb_of(planar.reformat(format=name), "rawvideo"), expected)


@pytest.mark.parametrize("name", ["gbrp", "rgb24", "bgr24", "bgr0", "rgba", "gbrp16le", "rgb48le", "rgba64le"])
def test_rgb_layouts_are_read_exactly(name):
    deep = "16" in name or "48" in name or "64" in name
    values = np.random.default_rng(4).integers(0, 65536 if deep else 256, (16, 32, 3)).astype("u2" if deep else "u1")
    frame = av.VideoFrame.from_ndarray(values, "rgb48le" if deep else "rgb24").reformat(format=name)
    expected = torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1) / (65535 if deep else 255)
    assert torch.allclose(rgb_of(frame, "rawvideo"), expected, rtol=0, atol=1e-7)


def test_chroma_lies_where_the_writer_put_it(tmp_path):
    """A half-sample error of chroma would show as 12 levels here."""
    wave = torch.sin(torch.arange(96) * 2 * torch.pi / 16) * 0.15
    frame = torch.stack([0.5 + wave, 0.5 - wave * 0.2126 / 0.7152, torch.full_like(wave, 0.5)])
    for axis in (0, 1):
        picture = frame[:, None].repeat(1, 96, 1) if axis else frame[:, :, None].repeat(1, 1, 96)
        with ClipWriter(tmp_path / f"{axis}.mp4", rate=25, format=H264) as writer:
            writer.write(picture[None])
        error = (open_clip(tmp_path / f"{axis}.mp4").frame(0) - picture)[:, 8:-8, 8:-8].abs().max()
        assert error < 5 * LEVEL


@pytest.mark.parametrize(("format", "suffix"), [(H264, ".mp4"), (H264_444, ".mkv"), (H264_444, ".mp4")])
def test_our_yuv_files_hold_the_standards_codes_and_say_so(tmp_path, format, suffix):
    path = tmp_path / f"bars{suffix}"
    with ClipWriter(path, rate=25, format=format) as writer:
        writer.write(bars()[None])
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        frame = next(container.decode(video=0))
        assert [int(v) for v in (frame.colorspace, frame.color_range)] == [BT709, LIMITED]
        assert [int(v) for v in (context.color_primaries, context.color_trc)] == [BT709, BT709]
        deep = "10" in frame.format.name
        for plane, codes in zip(frame.planes, zip(*CODES_709, strict=True), strict=True):
            rows = np.frombuffer(plane, "<u2" if deep else "u1").reshape(plane.height, -1)[:, : plane.width]
            middles = rows[plane.height // 2, plane.width // 16 :: plane.width // 8] / (4 if deep else 1)
            assert np.abs(middles - np.array(codes)).max() <= 1.0


TOLERANCES = {
    "ffv1": (0.51 / 65535, 0.51 / 65535),
    "png16": (0.51 / 65535, 0.51 / 65535),
    "npy": (0.0, 0.0),
    "ffv1_8bit": (0.51 / 255, 0.51 / 255),
    "h264_444": (0.5 / 255, 0.8 / 255),
    "h264": (3.5 / 255, 2.5 / 255),
}
"""Largest error inside bars and along a grey ramp. H.264 10 bit: luma is rounded to 1/876, chroma to 1/896 of a range
that reaches 0.93 of the difference; 8 bit: quantised by the encoder on top.
"""


@pytest.mark.parametrize("name", TOLERANCES)
def test_bars_and_ramps_come_back(tmp_path, name):
    path = tmp_path / ("clip" + FORMATS[name].suffixes[0])
    ramp = torch.linspace(0, 1, 128).expand(3, 32, 128)
    with ClipWriter(path, rate=25, format=FORMATS[name]) as writer:
        writer.write(torch.stack([bars(), bars(), bars()]))
    inside = torch.arange(128) % 16
    inside = (inside >= 4) & (inside < 12)
    error_bars = (everything(open_clip(path)) - bars())[..., inside].abs().max()
    with ClipWriter(path, rate=25, format=FORMATS[name], overwrite=True) as writer:
        writer.write(torch.stack([ramp] * 3))
    error_ramp = (everything(open_clip(path)) - ramp).abs().max()
    assert error_bars <= TOLERANCES[name][0]
    assert error_ramp <= TOLERANCES[name][1]
    assert len(BARS) == 8


def test_grey_video_is_grey(tmp_path):
    path = write_planes(tmp_path / "a.mkv", "yuv420p", [grey_planes(16 + 219)] * 2)
    assert torch.equal(everything(open_clip(path)), torch.ones(2, 3, 32, 32))
    path = write_planes(tmp_path / "b.mkv", "gray16le", [[np.tile(np.arange(32) * 2114, (32, 1))]])
    assert torch.allclose(open_clip(path).frame(0)[2, 5], torch.arange(32) * 2114 / 65535, atol=1e-7)
