"""Round trips, and that a failed write leaves the folder as it was."""

import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from magplus.models.errors import MagPlusError
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.media import (
    FFV1,
    FFV1_8BIT,
    H264,
    H264_444,
    NPY,
    PNG,
    PNG16,
    ClipWriter,
    format_for,
    open_clip,
    read_image,
)
from media_files import everything

NAMES = ["a.mkv", "a.mp4", "a.npy", "frames", "f_%04d.png", "a.png", "a.jpg"]


def write(path, frames, **options):
    with ClipWriter(path, rate=Fraction(25), **options) as writer:
        for chunk in TensorClip(frames).chunks(3):
            writer.write(chunk)
    return path


def contents(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.mark.parametrize("name", ["a.mkv", "frames", "f_%04d.png"])
def test_every_16_bit_value_survives_in_the_lossless_formats(tmp_path, name):
    values = torch.randperm(65536).float().div(65535).view(1, 1, 256, 256)
    frames = torch.cat([values, values.flip(-1), values.flip(-2)], dim=1).repeat(2, 1, 1, 1)
    assert torch.equal(everything(open_clip(write(tmp_path / name, frames))), frames)


def test_every_8_bit_value_survives_in_the_8_bit_master(tmp_path):
    values = torch.arange(256).float().div(255).view(1, 1, 16, 16)
    frames = torch.cat([values, values.flip(-1), values.flip(-2)], dim=1)
    assert torch.equal(everything(open_clip(write(tmp_path / "a.mkv", frames, format=FFV1_8BIT))), frames)


def test_arrays_are_written_unrounded(tmp_path):
    frames = torch.rand(7, 3, 15, 18)
    path = write(tmp_path / "a.npy", frames)
    assert np.array_equal(np.load(path), frames.permute(0, 2, 3, 1).numpy())
    assert np.load(path, mmap_mode="r").shape == (7, 15, 18, 3)


@pytest.mark.parametrize("size", [(33, 47), (32, 47), (33, 48), (16, 16)])
def test_odd_sizes_come_back_as_they_were(tmp_path, size):
    x = torch.linspace(0.1, 0.9, size[1])
    frames = x.expand(5, 3, *size)
    for format, name in ((H264, "a.mp4"), (H264, "b.mkv"), (H264_444, "c.mp4"), (FFV1, "d.mkv")):
        back = everything(open_clip(write(tmp_path / name, frames, format=format)))
        assert back.shape == frames.shape
        # The last column is as good as the others: the border was repeated, not blackened.
        assert (back - frames).abs()[..., -2:].mean() < 0.01


def test_one_picture(tmp_path):
    frame = torch.rand(1, 3, 20, 30).mul(65535).round().div(65535)
    assert torch.allclose(read_image(write(tmp_path / "a.png", frame)), frame[0], rtol=0, atol=1e-7)
    smooth = torch.linspace(0, 1, 30).expand(1, 3, 20, 30)
    assert (read_image(write(tmp_path / "a.jpg", smooth)) - smooth[0]).abs().max() < 0.02
    with pytest.raises(MagPlusError, match="one picture, but there are several frames"):
        write(tmp_path / "b.png", frame.repeat(2, 1, 1, 1))
    assert sorted(contents(tmp_path)) == ["a.jpg", "a.png"]


def test_values_outside_the_range_are_clipped(tmp_path):
    frames = torch.tensor([-0.5, 0.25, 1.5]).view(1, 3, 1, 1).repeat(1, 1, 16, 16)
    expected = torch.tensor([0, 0.25, 1]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    assert torch.equal(everything(open_clip(write(tmp_path / "a.npy", frames))), expected)
    assert torch.allclose(everything(open_clip(write(tmp_path / "a.mkv", frames))), expected, atol=1e-5)


def break_off(path, error, **options):
    with ClipWriter(path, rate=Fraction(25), **options) as writer:
        writer.write(torch.rand(1, 3, 16, 16))
        raise error


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_write_leaves_nothing(tmp_path, name, error):
    with pytest.raises(error):
        break_off(tmp_path / name, error())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_write_does_not_harm_what_was_there(tmp_path, name):
    write(tmp_path / name, torch.rand(1, 3, 16, 16))
    before = contents(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        break_off(tmp_path / name, KeyboardInterrupt(), overwrite=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_overwritten_without_leave(tmp_path, name):
    write(tmp_path / name, torch.rand(1, 3, 16, 16))
    before = contents(tmp_path)
    with pytest.raises(MagPlusError, match="exists already"):
        ClipWriter(tmp_path / name, rate=Fraction(25))
    assert contents(tmp_path) == before
    write(tmp_path / name, torch.rand(1, 3, 18, 16), overwrite=True)
    after = contents(tmp_path)
    assert set(after) == set(before)
    assert after != before
    assert open_clip(tmp_path / name).info.height == 18


def test_overwriting_a_sequence_removes_the_longer_tail(tmp_path):
    write(tmp_path / "f_%02d.png", torch.rand(5, 3, 16, 16))
    write(tmp_path / "f_%02d.png", torch.rand(2, 3, 16, 16), overwrite=True)
    assert sorted(contents(tmp_path)) == ["f_00.png", "f_01.png"]
    write(tmp_path / "folder", torch.rand(5, 3, 16, 16))
    write(tmp_path / "folder", torch.rand(2, 3, 16, 16), overwrite=True)
    assert len(list((tmp_path / "folder").iterdir())) == 2


def test_a_folder_with_other_things_in_it_is_never_replaced(tmp_path):
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "diary.txt").write_text("mine")
    with pytest.raises(MagPlusError, match="holds more than frames"):
        ClipWriter(tmp_path / "frames", rate=Fraction(25), overwrite=True)
    assert (tmp_path / "frames" / "diary.txt").read_text() == "mine"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", NAMES[:5])
def test_a_frame_that_is_no_picture_is_named_and_nothing_stays(tmp_path, bad, name):
    frames = torch.rand(8, 3, 16, 16)
    frames[5, 1, 3, 3] = bad
    with pytest.raises(MagPlusError, match="frame 5 has values that are not numbers"):
        write(tmp_path / name, frames)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_frames_is_an_error(tmp_path, name):
    with pytest.raises(MagPlusError, match="no frame to write"), ClipWriter(tmp_path / name, rate=Fraction(25)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_change_of_size_is_an_error(tmp_path):
    with (
        pytest.raises(MagPlusError, match="frame 2 changes the size"),
        ClipWriter(tmp_path / "a.mkv", rate=Fraction(25)) as writer,
    ):
        writer.write(torch.rand(2, 3, 16, 16))
        writer.write(torch.rand(1, 3, 18, 16))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("a.xyz", None, "no format is written under this name"),
        ("a.mp4", FFV1, "needs a name with .mkv"),
        ("a.mkv", NPY, "needs a name with .npy"),
        ("a.png", PNG16, "frame_%05d.png"),
        ("a_%02d.png", PNG, "needs a name with .png"),
        ("none/a.mkv", None, "There is no folder"),
    ],
)
def test_names_that_cannot_be_written(tmp_path, name, format, message):
    with pytest.raises(MagPlusError, match=message):
        write(tmp_path / name, torch.rand(1, 3, 16, 16), format=format)
    assert list(tmp_path.iterdir()) == []


def test_names_choose_formats(tmp_path):
    names = {"a.MKV": "ffv1", "a.mp4": "h264", "a.npy": "npy", "a": "png16", "a_%03d.png": "png16", "a.png": "png"}
    assert {name: format_for(tmp_path / name).name for name in names} == names


CHILD = """
import importlib.util, os, resource, signal, sys
from fractions import Fraction
from pathlib import Path

root, name, trouble = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
spec = importlib.util.spec_from_file_location("magplus", root / "__init__.py", submodule_search_locations=[str(root)])
sys.modules["magplus"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["magplus"])
import torch
from magplus.models.errors import MagPlusError
from magplus.pipeline.media import ClipWriter

if trouble == "full":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = int(sys.argv[4])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
elif os.geteuid() == 0:
    os.setuid(65534)
frames = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
try:
    with ClipWriter(name, rate=Fraction(25), overwrite=True) as writer:
        for _ in range(10):
            writer.write(frames)
except MagPlusError as error:
    sys.stdout.write(str(error))
    sys.exit(2)
"""


def in_trouble(root, path, trouble, limit=0):
    """Write in a process of its own that cannot. Returns its exit code and message."""
    command = [sys.executable, "-B", "-c", CHILD, str(root), str(path), trouble, str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="a file size limit stands in for a full disk on Linux only")
@pytest.mark.parametrize(("name", "limit"), [("a.mkv", 300_000), ("a.mp4", 60_000), ("a.npy", 500_000), ("f", 9000)])
def test_a_full_disk_is_one_clear_line_and_harms_nothing(tmp_path, root, name, limit):
    write(tmp_path / name, torch.rand(2, 3, 16, 16))
    before = contents(tmp_path)
    code, message = in_trouble(root, tmp_path / name, "full", limit)
    assert code == 2, message
    assert "could not be written after" in message
    assert "file too large" in message
    assert "\n" not in message
    assert contents(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folder permissions are those of POSIX here")
def test_a_read_only_folder_is_one_clear_line_and_harms_nothing(tmp_path, root):
    path = write(tmp_path / "inner.mkv", torch.rand(2, 3, 16, 16))
    before = contents(tmp_path)
    # up to the folder of all temporary files, which another user may not enter
    folders = [tmp_path, *(folder for folder in tmp_path.parents if folder.stat().st_mode & 0o777 == 0o700)]
    for folder in folders:
        folder.chmod(0o555)
    try:
        code, message = in_trouble(root, path, "read-only")
    finally:
        for folder in folders:
            folder.chmod(0o700)
    assert code == 2, message
    assert "permission denied" in message
    assert "\n" not in message
    assert contents(tmp_path) == before
