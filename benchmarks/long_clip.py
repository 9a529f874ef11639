"""Does memory stay while a long clip of 1080p is magnified? Run: python benchmarks/long_clip.py --folder DIR

A clip with a face of about 300 px is rendered (continuous functions, sensor noise, H.264 with sound, 25 fps; its course
repeats every 2 s) and given to `magplus magnify --resume --mask`, which is what the node Long Clip does, in a process
of its own. Its memory is read from /proc while it works. Stopped at any time or at --until, the same command goes on
where it was. At the end count, rate and sound of the result are compared with the clip's.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests")]

import conftest  # noqa: E402, F401 - loads the checkout as the package
import synth  # noqa: E402
from magplus.pipeline.media import FFV1_8BIT, H264, AudioBuffer, ClipWriter, open_clip  # noqa: E402
from magplus.pipeline.media.encode import SoundEncoder  # noqa: E402

HEIGHT, WIDTH, RATE, PERIOD = 1080, 1920, Fraction(25), 50
FACE, CENTRE = 300, (980, 470)
NOISE = 0.01
SOUND_HZ = 48000
TOLD = (100, 500, 1000, 2500, 5000)


def pushes(seconds):
    """Displacement of a face after so many seconds: brows and a mouth corner, one after the other in two seconds."""
    x, y = CENTRE
    brow, mouth = (float(np.exp(-(((seconds - at) / 0.15) ** 2))) for at in (0.6, 1.4))
    field = synth.total(
        synth.scaled(synth.bump(x - 60, y - 70, 28, 0.1, -0.5), brow),
        synth.scaled(synth.bump(x + 50, y + 80, 24, 0.45, -0.3), mouth),
    )
    return synth.total(field, synth.shift(0.05 * np.sin(np.pi * seconds), 0.0))


def period(path):
    """Write two seconds: a face with pores and folds before a wall with soft light."""
    skin = synth.Texture(21, waves=24, shortest_px=5, longest_px=160)
    wall = synth.Texture(22, waves=8, shortest_px=60, longest_px=900)
    picture = synth.render(wall, synth.shift(0, 0), HEIGHT, WIDTH)
    half = FACE // 2 + 40
    rows, columns = slice(CENTRE[1] - half, CENTRE[1] + half), slice(CENTRE[0] - half, CENTRE[0] + half)
    x, y = (values[rows, columns] for values in synth.pixel_grid(HEIGHT, WIDTH))
    head = ((x - CENTRE[0]) / (0.4 * FACE)) ** 2 + ((y - CENTRE[1]) / (0.5 * FACE)) ** 2
    face = torch.from_numpy(np.clip(12 * (1.05 - head), 0, 1)).float()
    generator = torch.Generator().manual_seed(5)
    with ClipWriter(path, rate=RATE, format=H264, overwrite=True) as writer:
        for index in range(PERIOD):
            field = pushes(index / float(RATE))
            qx, qy = x.copy(), y.copy()
            for _ in range(4):  # pushes of half a px: the error is far below a thousandth
                dx, dy = field(qx, qy)
                qx, qy = x - dx, y - dy
            frame = picture.clone()
            frame[:, rows, columns] = torch.lerp(frame[:, rows, columns], torch.from_numpy(skin(qx, qy)).float(), face)
            writer.write((frame + NOISE * torch.randn(frame.shape, generator=generator))[None].clamp(0, 1))


def clip(folder, frames):
    """A clip of so many frames or a few more, with sound: the packets of the two seconds over and over."""
    frames = -(-frames // PERIOD) * PERIOD
    path, part = folder / f"clip_{frames}.mp4", folder / "period.mp4"
    if path.exists():
        return path
    if not part.exists():
        period(folder / "period.new.mp4")
        (folder / "period.new.mp4").rename(part)
    times = torch.arange(int(frames / RATE * SOUND_HZ)) / SOUND_HZ
    sound = AudioBuffer(waveform=0.3 * torch.sin(2 * torch.pi * (220 + 20 * times) * times)[None], sample_rate=SOUND_HZ)
    new = folder / "clip.new.mp4"
    with av.open(str(part)) as given, av.open(str(new), "w") as out:
        stream = given.streams.video[0]
        packets = [(one.pts, one.dts, one.is_keyframe, bytes(one)) for one in given.demux(stream) if one.size]
        step = int(1 / (RATE * stream.time_base))
        target = out.add_stream_from_template(stream)
        encoder = SoundEncoder(out, sound, lossless=False)
        for count in range(0, frames, PERIOD):
            for pts, dts, key, data in packets:
                packet = av.Packet(data)
                packet.stream, packet.time_base = target, stream.time_base
                packet.pts, packet.dts = pts + count * step, dts + count * step
                packet.duration, packet.is_keyframe = step, key
                out.mux(packet)
            encoder.advance((count + PERIOD) / RATE)
        encoder.finish(frames / RATE)
        encoder.close()
    new.rename(path)
    return path


def mask(folder, only):
    """White on the face or the brows, soft at the edge."""
    path = folder / f"mask_{only}.png"
    x, y = synth.pixel_grid(HEIGHT, WIDTH)
    up, wide, high = {"face": (0, FACE / 2, FACE / 2), "brows": (70, 90, 32)}[only]
    white = np.clip(10 * (1.0 - np.hypot((x - CENTRE[0]) / wide, (y - CENTRE[1] + up) / high)), 0, 1)
    Image.fromarray((255 * white).round().astype(np.uint8)).save(path)
    return path


def memory(pid):
    """Resident set and its peak, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith("Vm")}
    return found.get("VmRSS", 0.0), found.get("VmHWM", 0.0)


def frames_done(folder):
    """Frames in finished parts of 32."""
    parts = [int(file.stem) for file in folder.glob("*.parts-*/[0-9]*.mkv") if file.stem.isdigit()]
    return max(parts, default=0)


def moment(text):
    """The next time that the clock shows HH:MM."""
    now = datetime.now()
    at = datetime.combine(now, datetime.strptime(text, "%H:%M").time())
    return at if at > now else at + timedelta(days=1)


def magnify(source, told):
    """Run to the end or to ``until``; prints memory over frames. True when it is done."""
    folder, until = told.folder, told.until
    out = folder / "magnified.mkv"
    command = [sys.executable, str(ROOT), "magnify", "--in", str(source), "--out", str(out), "--alpha", "8"]
    command += ["--mask", str(mask(folder, told.only)), "--format", FFV1_8BIT.name]
    command += ["--resume", "--stop", str(told.frames)]
    if told.whole:
        command = [sys.executable, "-c", WHOLE, *command[1:]]
    first, start = frames_done(folder), time.monotonic()
    log = (folder / "course.csv").open("a")
    with (folder / "messages.txt").open("ab") as messages:
        child = subprocess.Popen(command, stdout=messages, stderr=messages)  # noqa: S603 - our own
        counts = [count for count in TOLD if count > first]
        peak = 0.0
        while child.poll() is None:
            time.sleep(1.0)
            try:
                resident, most = memory(child.pid)
            except (OSError, ValueError):
                continue
            peak = max(peak, most)  # of a process that has ended nothing is told any more
            done, seconds = frames_done(folder), time.monotonic() - start
            log.write(f"{child.pid},{done},{seconds:.0f},{resident:.0f},{peak:.0f}\n")
            log.flush()
            while counts and done >= counts[0]:
                pace = f"{seconds / max(done - first, 1):.2f} s/frame"
                print(f"{counts.pop(0)} frames: {resident:.0f} MiB, peak {peak:.0f} MiB, {pace}", flush=True)
            if until and datetime.now() >= until:
                child.terminate()
                child.wait()
                break
    done = "all frames" if child.returncode == 0 else f"{frames_done(folder)} frames"
    print(f"{done} after {time.monotonic() - start:.0f} s; peak {peak:.0f} MiB", flush=True)
    return child.returncode == 0


WHOLE = """
import runpy, sys
sys.argv[:1] = []
sys.path.insert(0, sys.argv[0] + "/tests")
import conftest
from magplus.models.lkmag.network import LKMag
del LKMag.prepare_part
from magplus.pipeline.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""The same command with a magnifier that is given whole pictures, as a baseline."""


def check(folder, source, frames):
    """Count, rate and sound of the result, against the clip's."""
    given, made = open_clip(source), open_clip(folder / "magnified.mkv")
    with av.open(str(folder / "magnified.mkv")) as container:
        count = sum(1 for packet in container.demux(video=0) if packet.size)
    with av.open(str(folder / "magnified.mkv")) as container:
        seconds = sum(frame.samples for frame in container.decode(audio=0)) / SOUND_HZ
    told = {"frames": count, "wanted": frames, "rate": str(made.info.rate), "given rate": str(given.info.rate)}
    print(json.dumps({**told, "seconds of sound": round(seconds, 3), "wanted ": float(frames / RATE)}), flush=True)
    return count == frames and made.info.rate == given.info.rate and abs(seconds - frames / RATE) < 0.05


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, required=True, help="for the clip and the result; some GB for 1000 frames"
    )
    parser.add_argument("--frames", type=int, default=5000)
    parser.add_argument("--until", metavar="HH:MM", type=moment, help="stop then; the same command goes on later")
    parser.add_argument("--whole", action="store_true", help="let the magnifier see whole pictures, as a baseline")
    parser.add_argument("--only", choices=("face", "brows"), default="face", help="what is magnified (face)")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    source = clip(arguments.folder, arguments.frames)
    if not magnify(source, arguments):
        return 1
    return 0 if check(arguments.folder, source, arguments.frames) else 2


if __name__ == "__main__":
    sys.exit(main())
