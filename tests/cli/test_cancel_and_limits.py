"""Ctrl-C, a full disk, a read-only folder, and memory, each in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction

import pytest
import synth
import torch
from magplus.pipeline.cli import commands, main
from magplus.pipeline.media import FFV1_8BIT, ClipWriter, open_clip

CODE = """
import resource, signal, sys
limit = int(sys.argv.pop(1))
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
import runpy
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


def start(root, words, limit=0):
    command = [sys.executable, "-c", CODE, str(limit), str(root), *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips of 60 to 2000 frames, and a portrait."""
    place = tmp_path_factory.mktemp("clips")
    field = synth.bump(20, 20, 6, 0.5, 0.3)
    some = synth.clip(field, synth.micro_motion(20), (40, 40)).clamp(0, 1)
    for count in (60, 100, 400, 2000):
        with ClipWriter(place / f"{count}.mkv", rate=Fraction(200), format=FFV1_8BIT) as writer:
            for _ in range(count // 20):
                writer.write(some)
    portrait(place / "portrait.png", 64)
    return place


def portrait(path, side):
    """A picture whose motion can be measured: the closed loop refuses a result that shows none."""
    with ClipWriter(path, rate=Fraction(25)) as writer:
        writer.write(synth.render(synth.Texture(7), synth.shift(0, 0), side, side)[None].clamp(0, 1))


@pytest.mark.parametrize("after_s", [0.3, 3.0, 5.0])
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_cancelling_leaves_nothing(root, clips, tmp_path, after_s, which):
    words = ["run", "--driver", clips / "2000.mkv", "--source", clips / "portrait.png", "--alpha", "4"]
    process = start(root, [*words, "--out", tmp_path / "out.mkv"])
    time.sleep(after_s)
    process.send_signal(which)
    _, error = process.communicate(timeout=60)  # the run itself would take minutes
    if process.returncode != -which:  # the very first moment of the interpreter, before any line of ours
        assert process.returncode == 130 and "cancelled" in error and "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_says_something_else_when_stopped_is_cancelled_too(monkeypatch, capsys):
    def run(_):
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise ImportError("importing failed") from None

    before = {which: signal.getsignal(which) for which in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(commands, "run", run)
    try:
        assert main([]) == 130
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
    assert "cancelled" in capsys.readouterr().err


@pytest.mark.parametrize("limit", [20_000, 400_000])
@pytest.mark.parametrize("command", ["magnify", "run"])
def test_a_full_disk_is_one_line_and_harms_nothing(root, clips, tmp_path, command, limit):
    standing = tmp_path / "out.mkv"
    standing.write_bytes(b"mine")
    words = ["magnify", "--in", clips / "100.mkv"]
    if command == "run":
        words = ["run", "--driver", clips / "60.mkv", "--source", clips / "portrait.png"]
    process = start(root, [*words, "--alpha", "4", "--out", standing, "--overwrite"], limit=limit)
    _, error = process.communicate(timeout=60)
    last = [line for line in error.splitlines() if line.startswith("magplus:") and "taken for" not in line]
    assert process.returncode == 2 and len(last) == 1 and "written" in last[0] and "Traceback" not in error
    assert standing.read_bytes() == b"mine" and list(tmp_path.iterdir()) == [standing]


@pytest.mark.skipif(os.geteuid() == 0 and not os.path.isdir("/proc/1"), reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_line(root, clips):
    process = start(root, ["magnify", "--in", clips / "60.mkv", "--alpha", "4", "--out", "/proc/out.mkv"])
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2 and len(error.strip().splitlines()) == 1 and "/proc/out.mkv" in error


PEAK = """
import atexit
def told():
    sys.stderr.write("peak_kib=%d" % resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
atexit.register(told)
"""


@pytest.fixture
def peak_kib(root, monkeypatch):
    """Peak memory of a command in a process of its own."""
    monkeypatch.setattr(sys.modules[__name__], "CODE", CODE.replace("import runpy", PEAK + "import runpy"))

    def measured(words, within_s):
        process = start(root, words)
        _, error = process.communicate(timeout=within_s)
        assert process.returncode == 0, error
        return int(error.split("peak_kib=")[1].split()[0])

    return measured


def test_memory_does_not_grow_with_the_clip(peak_kib, clips, tmp_path):
    peaks = []
    for count in (100, 2000):
        words = ["magnify", "--in", clips / f"{count}.mkv", "--alpha", "auto", "--out", tmp_path / f"{count}.mkv"]
        peaks.append(peak_kib(words, within_s=300))
    assert peaks[1] < peaks[0] + 20 * 1024, peaks


def test_memory_does_not_grow_where_parts_are_kept(peak_kib, clips, tmp_path):
    peaks = []
    for count in (100, 400):
        words = ["magnify", "--in", clips / f"{count}.mkv", "--alpha", "4", "--out", tmp_path / f"{count}.mkv"]
        peaks.append(peak_kib([*words, "--resume"], within_s=300))
    assert peaks[1] < peaks[0] + 20 * 1024, peaks
    assert sorted(f.name for f in tmp_path.iterdir()) == ["100.mkv", "100.mkv.json", "400.mkv", "400.mkv.json"]


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_clip_goes_on(root, clips, tmp_path, which):
    """The second run begins behind the parts that the first one left, and its result is that of a run at once."""
    words = ["magnify", "--in", clips / "100.mkv", "--alpha", "4", "--resume", "--out"]
    process = start(root, [*words, tmp_path / "parts.mkv"])
    while not list(tmp_path.glob("parts.mkv.parts-*/0000032.mkv")):
        time.sleep(0.02)
    process.send_signal(which)
    _, error = process.communicate(timeout=60)
    (folder,) = tmp_path.iterdir()
    assert "Unfinished" in (folder / "parts.json").read_text()
    if which == signal.SIGINT:
        assert process.returncode == 130 and "unfinished" in error and folder.name in error and "Traceback" not in error
        assert not list(folder.glob(".*")), "half a part"
    for line in ([*words, tmp_path / "parts.mkv"], [*words[:-2], "--out", tmp_path / "once.mkv"]):
        _, error = start(root, line).communicate(timeout=120)
        assert ("going on at frame" in error) == ("--resume" in line), error
    ours, theirs = (open_clip(tmp_path / name) for name in ("parts.mkv", "once.mkv"))
    assert ours.info.count == theirs.info.count == 100
    assert all(torch.equal(*pair) for pair in zip(ours.chunks(), theirs.chunks(), strict=True))
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("option", [["--band", "2,8"], ["--check"], ["--still-head", "--driver-box", "5,5,30,30"]])
def test_what_looks_at_the_whole_clip_is_refused(root, clips, tmp_path, option):
    words = ["magnify", "--in", clips / "60.mkv", "--alpha", "4", "--resume", "--out", tmp_path / "out.mkv"]
    process = start(root, [*words, *option])
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2 and "--resume" in error and list(tmp_path.iterdir()) == []


@pytest.mark.heavy
def test_a_run_in_parts_is_the_run(root, clips, tmp_path):
    words = ["run", "--driver", clips / "60.mkv", "--stop", "12", "--source", clips / "portrait.png", "--alpha", "4"]
    for name, more in (("once.mkv", []), ("parts.mkv", ["--resume"])):
        _, error = start(root, [*words, *more, "--out", tmp_path / name]).communicate(timeout=120)
        assert not [line for line in error.splitlines() if "Traceback" in line], error
    ours, theirs = (open_clip(tmp_path / name) for name in ("parts.mkv", "once.mkv"))
    assert all(torch.equal(*pair) for pair in zip(ours.chunks(), theirs.chunks(), strict=True))
    assert not list(tmp_path.glob("*.parts-*"))


@pytest.mark.heavy
def test_memory_of_a_whole_run_does_not_grow_with_the_clip(peak_kib, clips, tmp_path):
    """One clip of the run held as float32 would add 230 MB: the generated one has 256 x 256 px and 300 more frames.

    The slack is what the H.264 encoder's look-ahead was seen to vary by.
    """
    portrait(tmp_path / "portrait.png", 256)
    peaks = []
    for count in (100, 400):
        words = ["run", "--driver", clips / f"{count}.mkv", "--source", tmp_path / "portrait.png", "--alpha", "4"]
        peaks.append(peak_kib([*words, "--out", tmp_path / f"{count}.mkv"], within_s=1500))
    assert peaks[1] < peaks[0] + 100 * 1024, peaks
