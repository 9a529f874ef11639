"""What is broken must be said, with the number of frames that were good."""

import wave
from fractions import Fraction

import numpy as np
import pytest
import torch
from magplus.models.errors import MagPlusError
from magplus.pipeline.media import FFV1, ClipWriter, open_clip, read_image
from media_files import everything, write_planes
from PIL import Image

COUNT = 20


def noise(count=COUNT):
    generator = np.random.default_rng(1)
    return [
        [generator.integers(16, 235, (48, 64)), *(generator.integers(16, 240, (24, 32)) for _ in range(2))]
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    write_planes(folder / "a.mkv", "yuv420p", noise(), codec="libx264", preset="ultrafast")
    faststart = {"movflags": "+faststart"}
    write_planes(folder / "a.mp4", "yuv420p", noise(), codec="libx264", preset="ultrafast", container=faststart)
    with ClipWriter(folder / "f.mkv", rate=Fraction(30000, 1001), format=FFV1) as writer:
        writer.write(torch.rand(COUNT, 3, 48, 64))
    return folder


def read_until_error(path, **options):
    """Frames read before the error, and the error."""
    done = 0
    with pytest.raises(MagPlusError) as caught:
        for chunk in open_clip(path, **options).chunks(1):
            done += len(chunk)
    return done, str(caught.value)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "f.mkv"])
@pytest.mark.parametrize("part", [0.5, 0.93])
def test_a_file_cut_short_says_how_many_frames_were_read(files, tmp_path, name, part):
    data = (files / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(len(data) * part)])
    done, message = read_until_error(path)
    assert 0 < done < COUNT
    assert f"{done} of {COUNT} frames could be read" in message
    assert open_clip(path).info.count is None
    assert len(everything(open_clip(path, stop=done))) == done


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "f.mkv"])
def test_damage_in_the_middle_is_not_passed_over(files, tmp_path, name):
    data = bytearray((files / name).read_bytes())
    # Two frames' worth: H.264 has no checksums, so that a few wrong bytes may decode to a wrong picture unnoticed.
    place, span = len(data) * 6 // 10, len(data) // 10
    data[place : place + span] = np.random.default_rng(0).integers(0, 256, span, dtype=np.uint8).tobytes()
    path = tmp_path / name
    path.write_bytes(data)
    done, message = read_until_error(path)
    assert 5 < done < 15
    assert f"{done} of {COUNT} frames" in message
    with pytest.raises(MagPlusError, match="damaged"):
        open_clip(path).frame(done)


def test_a_single_flipped_bit_of_the_lossless_master_is_found(files, tmp_path):
    data = bytearray((files / "f.mkv").read_bytes())
    data[len(data) // 2] ^= 4
    (tmp_path / "f.mkv").write_bytes(data)
    done, message = read_until_error(tmp_path / "f.mkv")
    assert 5 < done < 15
    assert "damaged" in message


def test_the_first_frame_of_the_master_is_checked_too(files, tmp_path):
    data = bytearray((files / "f.mkv").read_bytes())
    data[len(data) // COUNT // 2] ^= 4
    (tmp_path / "f.mkv").write_bytes(data)
    with pytest.raises(MagPlusError, match=r"f\.mkv"):
        open_clip(tmp_path / "f.mkv")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"not a video" * 400, "cannot be read"), (b"\x89PNG\r\n\x1a\n" + b"x" * 90, "cannot be read")],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.png", "noname"])
def test_what_is_no_video_is_refused_in_one_line(tmp_path, content, message, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MagPlusError, match=message) as caught:
        open_clip(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_missing_files_and_empty_folders(tmp_path):
    for reader in (open_clip, read_image):
        with pytest.raises(MagPlusError, match=r"There is no file .*nothing.png"):
            reader(tmp_path / "nothing.png")
    with pytest.raises(MagPlusError, match="no picture in the folder"):
        open_clip(tmp_path)


def test_sound_without_pictures_is_no_video(tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(1600))
    with pytest.raises(MagPlusError, match="has no video in it"):
        open_clip(tmp_path / "a.wav")


def test_a_truncated_still_is_refused(files, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(MagPlusError, match=r"a\.png cannot be read"):
        read_image(tmp_path / "a.png")
