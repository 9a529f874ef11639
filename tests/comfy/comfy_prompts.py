"""Prompts in execution form, with the defaults that a server wants to be told, and clips to run them on."""

import numpy as np
import torch
from magplus.pipeline.media import ClipWriter


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def complete(server, prompt):
    """Fill every required widget that is not given with its default."""
    filled = {}
    for name, one in prompt.items():
        info = server.get(f"/object_info/{one['class_type'].replace(' ', '%20')}")[one["class_type"]]
        inputs = dict(one["inputs"])
        for key, spec in info["input"].get("required", {}).items():
            about = spec[1] if len(spec) > 1 else {}
            options = spec[0] if isinstance(spec[0], list) else about.get("options")
            if key not in inputs and "default" in about:
                inputs[key] = about["default"]
            elif key not in inputs and options:
                inputs[key] = options[0]
        filled[name] = {**one, "inputs": inputs}
    return filled


def moving_frames(count, side=96, seed=0):
    """Frames ``(T, 3, H, W)`` of a smooth texture whose middle moves by up to half a pixel."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side].astype(np.float64)
    waves = [(rng.uniform(6, 40), rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi, 3)) for _ in range(24)]
    middle = np.exp(-((x - side / 2) ** 2 + (y - side / 2) ** 2) / (2 * (side / 6) ** 2))
    frames = []
    for index in range(count):
        moved = x - 0.5 * middle * np.sin(np.pi * index / max(count - 1, 1))
        colours = np.zeros((3, side, side))
        for length, angle, phases in waves:
            along = 2 * np.pi / length * (np.cos(angle) * moved + np.sin(angle) * y)
            colours += np.sin(along[None] + phases[:, None, None])
        frames.append(0.5 + 0.05 * colours)
    return torch.from_numpy(np.stack(frames)).float()


def write_clip(path, frames, rate, *, format=None, audio=None):
    """Write a clip; what is on disk is what both sides of a test read."""
    with ClipWriter(path, rate=rate, format=format, audio=audio, overwrite=True) as writer:
        writer.write(frames)
    return path


def saved(server, run, node_id, ending):
    """The one file of a Save Video node with that ending."""
    (shown,) = run.outputs[node_id]["images"]
    folder = server.base / "output" / shown["subfolder"]
    stem = shown["filename"].removesuffix("preview.mp4")
    (found,) = [path for path in folder.iterdir() if path.name.startswith(stem) and path.name.endswith(ending)]
    return found
