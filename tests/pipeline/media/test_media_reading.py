import gc
import os
import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
import torch
from magplus.models.errors import MagPlusError
from magplus.pipeline.clip import Clip
from magplus.pipeline.media import FFV1, ClipWriter, open_clip, read_image, read_mask
from media_files import everything, fill, grey_planes, write_planes
from PIL import Image, ImageOps


def greys(count):
    """Pictures whose brightness is their number."""
    return [grey_planes(40 + 3 * i) for i in range(count)]


def numbers(frames):
    """Frame numbers read back from brightness."""
    codes = frames.mean(dim=(1, 2, 3)) * 219 + 16
    return ((codes - 40) / 3).round().int().tolist()


@pytest.fixture(scope="module")
def h264(tmp_path_factory):
    """30 numbered frames with B-frames and a key frame every 10."""
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    options = {"bf": "3", "g": "10", "crf": "10", "x264-params": "b-adapt=0:scenecut=0"}
    return write_planes(path, "yuv420p", greys(30), codec="libx264", rate=Fraction(30000, 1001), **options)


def test_a_clip_tells_its_size_rate_and_length_and_can_be_read_again(h264):
    clip: Clip = open_clip(h264)
    assert (clip.info.height, clip.info.width, clip.info.count) == (32, 32, 30)
    assert clip.info.rate == Fraction(30000, 1001)
    for size in (1, 7, 64):
        assert numbers(everything(clip, size)) == list(range(30))
    assert [len(c) for c in clip.chunks(7)] == [7, 7, 7, 7, 2]
    assert all(c.dtype == torch.float32 and c.is_contiguous() for c in clip.chunks(7))
    assert clip.notes == ()


def test_every_frame_can_be_asked_for(h264):
    clip = open_clip(h264)
    frames = everything(clip)
    for index in (0, 1, 9, 10, 11, 17, 20, 29):
        assert torch.equal(clip.frame(index), frames[index])
    with pytest.raises(MagPlusError, match="no frame 30: it has 30 frames"):
        clip.frame(30)
    with pytest.raises(MagPlusError, match="no frame -1"):
        clip.frame(-1)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"start": 12, "stop": 15}, [12, 13, 14]),
        ({"start": 27}, [27, 28, 29]),
        ({"stop": 2}, [0, 1]),
        ({"start_s": 10 * 1001 / 30000, "stop_s": 0.4}, [10, 11]),
        ({"start_s": 0.95, "stop_s": 99}, [29]),
    ],
)
def test_ranges_in_frames_and_seconds(h264, given, expected):
    clip = open_clip(h264, **given)
    assert clip.info.count == len(expected)
    assert numbers(everything(clip)) == expected
    assert numbers(clip.frame(len(expected) - 1)[None]) == expected[-1:]


@pytest.mark.parametrize(
    "given", [{"start": 5, "stop": 5}, {"start": 30}, {"stop": 31}, {"start": -1}, {"start_s": 2}, {"stop_s": -1}]
)
def test_a_range_outside_the_clip_is_refused(h264, given):
    with pytest.raises(MagPlusError, match=r"range"):
        open_clip(h264, **given)
    with pytest.raises(MagPlusError, match="not in both"):
        open_clip(h264, start=1, stop_s=1)


def test_an_abandoned_pass_lets_go_of_the_file(h264):
    def held():
        return sum(os.path.realpath(f"/proc/self/fd/{fd}") == str(h264) for fd in os.listdir("/proc/self/fd"))

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc to count open files")
    chunks = open_clip(h264).chunks(2)
    next(chunks)
    assert held() == 1
    del chunks
    gc.collect()
    assert held() == 0


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_a_first_timestamp_that_is_not_zero_changes_nothing(tmp_path, suffix):
    path = tmp_path / f"late{suffix}"
    options = {"bf": "2", "g": "5", "crf": "10"}
    write_planes(path, "yuv420p", greys(12), codec="libx264", pts=range(50, 62), **options)
    with av.open(str(path)) as container:
        assert min(p.pts for p in container.demux(video=0) if p.pts is not None) > 0
    clip = open_clip(path)
    assert (clip.info.rate, clip.info.count) == (25, 12)
    assert clip.notes == ()
    assert numbers(everything(clip)) == list(range(12))
    assert numbers(everything(open_clip(path, start=7))) == list(range(7, 12))
    assert numbers(everything(open_clip(path, start_s=0.2, stop_s=0.32))) == [5, 6, 7]


@pytest.mark.parametrize("rate", [Fraction(200), Fraction(30000, 1001), Fraction(240), Fraction(1000), Fraction(9, 4)])
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "seq"])
def test_rates_survive_exactly(tmp_path, rate, name):
    with ClipWriter(tmp_path / name, rate=rate) as writer:
        writer.write(torch.rand(9, 3, 16, 16))
    assert open_clip(tmp_path / name).info.rate == rate
    assert open_clip(tmp_path / name).info.count == 9


def test_variable_rate_is_told_and_every_frame_kept(tmp_path):
    pts = [0, 40, 80, 160, 200, 320, 360, 400]
    path = write_planes(tmp_path / "v.mkv", "yuv420p", greys(8), pts=pts, tick=Fraction(1, 1000))
    clip = open_clip(path)
    assert numbers(everything(clip)) == list(range(8))
    assert [note for note in clip.notes if note.startswith("Variable frame rate: frames last 40.0 to 120.0 ms")]
    assert numbers(everything(open_clip(path, start_s=0.1, stop_s=0.33))) == [3, 4, 5]
    even = open_clip(path, resample_to=25)
    assert even.notes == ()
    assert (even.info.rate, even.info.count) == (25, 11)
    assert numbers(everything(even)) == [0, 1, 2, 2, 3, 4, 4, 4, 5, 6, 7]
    assert numbers(even.frame(7)[None]) == [4]


def test_the_rotation_in_the_file_is_applied(tmp_path):
    path = tmp_path / "turned.mp4"
    picture = torch.zeros(3, 32, 64)
    picture[0, :16, :32] = 1
    with ClipWriter(path, rate=25, overwrite=True) as writer:
        writer.write(picture[None])
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 4 + 36
    upright = struct.unpack(">9i", data[place : place + 36])
    assert upright == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    # Clockwise by a quarter turn: a point at the right goes down, one at the bottom goes left.
    data[place : place + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 32 << 16, 0, 1 << 30)
    path.write_bytes(data)
    clip = open_clip(path)
    assert (clip.info.height, clip.info.width) == (64, 32)
    assert (clip.frame(0) - torch.rot90(picture, -1, (1, 2))).abs().mean() < 0.03
    assert "The rotation stored in the file is applied." in clip.notes


def test_transparency_is_left_out_and_told(tmp_path):
    planes = [np.full((16, 16), v) for v in (100, 128, 128, 30)]
    clip = open_clip(write_planes(tmp_path / "a.mkv", "yuva444p", [planes]))
    assert torch.allclose(clip.frame(0), torch.tensor((100 - 16) / 219))
    assert clip.notes == ("Transparency (alpha) is left out.",)


def test_odd_sizes_are_read(tmp_path):
    frame = torch.rand(3, 33, 47)
    with ClipWriter(tmp_path / "a.mkv", rate=25, format=FFV1) as writer:
        writer.write(frame[None])
    assert open_clip(tmp_path / "a.mkv").frame(0).shape == (3, 33, 47)
    generator = np.random.default_rng(0)
    planes = [generator.integers(16, 235, (33, 47)), *(generator.integers(100, 150, (17, 24)) for _ in range(2))]
    assert open_clip(write_planes(tmp_path / "b.mkv", "yuv420p", [planes])).frame(0).shape == (3, 33, 47)


def save16(path, frame):
    values = (frame.permute(1, 2, 0).double() * 65535).round().numpy().astype(np.uint16)
    cv2.imwrite(str(path), np.ascontiguousarray(values[..., ::-1]))


def test_folders_and_patterns_are_read_in_natural_order(tmp_path):
    for index in (1, 2, 10):
        Image.new("RGB", (20, 16), (index, 0, 0)).save(tmp_path / f"f{index}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    clip = open_clip(tmp_path)
    assert (everything(clip)[:, 0, 0, 0] * 255).round().tolist() == [1, 2, 10]
    assert (clip.info.rate, clip.info.count) == (25, 3)
    pattern = open_clip(tmp_path / "f%d.png", rate=29.97, start=1)
    assert pattern.info.rate == Fraction(30000, 1001)
    assert (everything(pattern)[:, 0, 0, 0] * 255).round().tolist() == [2, 10]
    assert pattern.notes == ("7 numbers of the sequence are missing, the first is 3.",)
    with pytest.raises(MagPlusError, match="No file fits"):
        open_clip(tmp_path / "g%03d.png")


def test_pictures_of_several_sizes_are_refused(tmp_path):
    Image.new("RGB", (20, 16)).save(tmp_path / "a.png")
    Image.new("RGB", (22, 16)).save(tmp_path / "b.png")
    with pytest.raises(MagPlusError, match=r"b.png is 22x16 px, the first picture of the sequence 20x16"):
        everything(open_clip(tmp_path))


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_animated_pictures(tmp_path, suffix):
    pictures = [Image.new("RGB", (24, 16), (60 * i, 20, 30)) for i in range(4)]
    path = tmp_path / f"a.{suffix}"
    lossless = {"lossless": True} if suffix == "webp" else {}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40, **lossless)
    clip = open_clip(path)
    assert (clip.info.rate, clip.info.count) == (25, 4)
    expected = torch.tensor([[60 * i, 20, 30] for i in range(4)]) / 255
    assert torch.allclose(everything(clip)[:, :, 3, 3], expected)
    assert torch.allclose(clip.frame(2)[:, 0, 0], expected[2])
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[40, 200, 40, 40], **lossless)
    assert "Variable frame rate" in open_clip(path).notes[-1]


def test_stills_of_8_and_16_bit(tmp_path):
    frame = torch.rand(3, 17, 23)
    deep = ((frame.double() * 65535).round() / 65535).float()
    save16(tmp_path / "deep.png", frame)
    assert torch.allclose(read_image(tmp_path / "deep.png"), deep, rtol=0, atol=1e-7)
    save16(tmp_path / "deep.tiff", frame)
    assert torch.allclose(read_image(tmp_path / "deep.tiff"), deep, rtol=0, atol=1e-7)
    Image.fromarray((frame * 255).byte().permute(1, 2, 0).numpy()).save(tmp_path / "flat.png")
    assert torch.allclose(read_image(tmp_path / "flat.png"), (frame * 255).byte() / 255)
    clip = open_clip(tmp_path / "deep.png")
    assert (clip.info.count, clip.info.rate) == (1, 25)
    assert torch.equal(everything(clip)[0], read_image(tmp_path / "deep.png"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_upright(tmp_path, orientation):
    values = np.zeros((24, 40, 3), np.uint8)
    values[:8, :16] = (250, 10, 10)
    exif = Image.Exif()
    exif[274] = orientation
    image = Image.fromarray(values)
    image.save(tmp_path / "a.jpg", exif=exif, quality=98, subsampling=0)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.jpg"))) / 255
    assert np.allclose(read_image(tmp_path / "a.jpg").permute(1, 2, 0), upright, atol=1e-6)


def test_masks(tmp_path):
    values = np.zeros((10, 12), np.uint8)
    values[2:5] = 255
    Image.fromarray(values).save(tmp_path / "grey.png")
    expected = torch.from_numpy(values / 255).float()
    assert torch.equal(read_mask(tmp_path / "grey.png"), expected)
    clear = np.dstack([np.full((10, 12, 3), 40, np.uint8), values])
    Image.fromarray(clear, "RGBA").save(tmp_path / "clear.png")
    assert torch.equal(read_mask(tmp_path / "clear.png"), expected)


def test_arrays(tmp_path):
    path = tmp_path / "a.npy"
    values = np.random.default_rng(0).random((6, 9, 11, 3), dtype=np.float32)
    np.save(path, values)
    clip = open_clip(path, start=1, rate=200)
    assert (clip.info.count, clip.info.rate, clip.info.height, clip.info.width) == (5, 200, 9, 11)
    assert np.array_equal(everything(clip, 2).permute(0, 2, 3, 1), values[1:])
    np.save(path, values[0])
    assert np.array_equal(read_image(path).permute(1, 2, 0), values[0])
    np.save(path, np.array([[[[0, 128, 255]]]], np.uint8))
    assert torch.allclose(open_clip(path).frame(0).flatten(), torch.tensor([0, 128 / 255, 1.0]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((2, 4, 4, 3), 200.0, np.float32), "from 200 to 200"),
        (np.zeros((2, 4, 4, 4), np.float32), r"shape \(2, 4, 4, 4\)"),
        (np.zeros((2, 4, 4, 3)), "float64"),
        (np.full((3, 4, 4, 3), np.nan, np.float32), "frame 0 has values that are not numbers"),
        (np.array([{}]), "not a whole .npy"),
    ],
    ids=["range", "shape", "kind", "nan", "objects"],
)
def test_arrays_that_are_no_pictures_are_refused(tmp_path, values, message):
    np.save(tmp_path / "a.npy", values, allow_pickle=True)
    with pytest.raises(MagPlusError, match=message):
        everything(open_clip(tmp_path / "a.npy"))


def test_metadata_survives_with_keys_in_lower_case(tmp_path):
    for name in ("a.mkv", "a.mp4"):
        with ClipWriter(tmp_path / name, rate=25, metadata={"MagPlus_Factor": "8; a=b", "title": "Ä"}) as writer:
            writer.write(torch.rand(1, 3, 16, 16))
        stored = open_clip(tmp_path / name).metadata
        assert stored["magplus_factor"] == "8; a=b"
        assert stored["title"] == "Ä"


OLD = int(av.__version__.split(".")[0]) < 15


@pytest.mark.parametrize(
    "suffix", [".ts", pytest.param(".mp4", marks=pytest.mark.skipif(OLD, reason="PyAV 14 does not copy packets so"))]
)
def test_a_recording_cut_between_key_frames_begins_at_the_next_one(tmp_path, suffix):
    options = {"bf": "0", "g": "10", "crf": "10", "x264-params": "scenecut=0"}
    whole = write_planes(tmp_path / "whole.mkv", "yuv420p", greys(30), codec="libx264", **options)
    cut = tmp_path / f"cut{suffix}"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for packet in packets[4:]:
            packet.stream = stream
            target.mux(packet)
    clip = open_clip(cut)
    assert clip.info.count == 20
    assert "The first 6 frames cannot be decoded" in clip.notes[-1]
    assert numbers(everything(clip)) == list(range(10, 30))
    assert numbers(clip.frame(12)[None]) == [22]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no colons in file names")
def test_a_name_that_looks_like_a_protocol_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ClipWriter("take:2.mkv", rate=Fraction(25)) as writer:
        writer.write(torch.rand(2, 3, 16, 16))
    assert open_clip("take:2.mkv").info.count == 2


def test_a_playlist_is_refused_at_once(tmp_path):
    (tmp_path / "a.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n")
    with pytest.raises(MagPlusError, match="cannot be read"):
        open_clip(tmp_path / "a.m3u8")


def test_several_codecs_are_read_frame_by_frame(tmp_path):
    """Containers with and without an index, with times per frame and without."""
    kinds = [
        ("a.webm", "libvpx", "yuv420p"),
        ("b.webm", "libvpx-vp9", "yuv420p"),
        ("c.avi", "mjpeg", "yuvj420p"),
        ("d.mov", "prores_ks", "yuv422p10le"),
        ("e.mpg", "mpeg2video", "yuv420p"),
        ("f.avi", "rawvideo", "bgr24"),
    ]
    read = 0
    for name, codec, pixels in kinds:
        if codec not in av.codecs_available:
            continue
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 32, 32, pixels, 4_000_000
            for index, planes in enumerate(greys(12)):
                frame = av.VideoFrame(32, 32, "yuv420p")
                for plane, samples in zip(frame.planes, planes, strict=True):
                    fill(plane, samples, "u1")
                frame.pts = index
                container.mux(stream.encode(frame.reformat(format=pixels)))
            container.mux(stream.encode(None))
        clip = open_clip(tmp_path / name)
        assert clip.info.rate == 25
        assert clip.info.count in (12, None), "a count is right or not given"
        assert numbers(everything(clip)) == list(range(12)), name
        assert numbers(everything(open_clip(tmp_path / name, start=7, stop=9))) == [7, 8], name
        read += 1
    assert read >= 3
