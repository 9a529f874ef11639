# SPDX-License-Identifier: Apache-2.0
"""Makes the sample clip and portrait from two public-domain photographs (see README.md here).

    python samples/make.py ASTRONAUT_PNG HOPPER_JPG

The clip shows the first photograph moved by the synthetic micro-expression that samples.json describes: the sum of
gaussian pushes, times a strength per frame. Everything is looked up in one spline of the photograph; no frame is made
from another.
"""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from magplus.models.sampling import invert, pixel_grid, sample_spline, spline_coefficients
from PIL import Image
from torch import Tensor

HERE = Path(__file__).resolve().parent
TRUTH = json.loads((HERE / "samples.json").read_text())


def displacement(size: int) -> Tensor:
    """Peak displacement ``(1, 2, size, size)`` in px of the clip."""
    grid = pixel_grid(size, size, like=torch.zeros(1, dtype=torch.float64))
    field = torch.zeros(1, 2, size, size, dtype=torch.float64)
    for push in TRUTH["driver"]["pushes"]:
        distance = (grid[:, :1] - push["x"]) ** 2 + (grid[:, 1:] - push["y"]) ** 2
        shape = torch.exp(-distance / (2 * push["sigma_px"] ** 2))
        field += shape * torch.tensor([push["dx_px"], push["dy_px"]], dtype=torch.float64).view(1, 2, 1, 1)
    return field


def strengths(count: int) -> np.ndarray:
    """Rise to the apex, fall to rest: raised cosines; 0 outside onset and offset."""
    times = TRUTH["driver"]["strength"]
    frame = np.arange(count, dtype=np.float64)
    rise = np.clip((frame - times["onset"]) / (times["apex"] - times["onset"]), 0, 1)
    fall = np.clip((times["offset"] - frame) / (times["offset"] - times["apex"]), 0, 1)
    return 0.5 - 0.5 * np.cos(np.pi * np.minimum(rise, fall))


def frames(photograph: Image.Image) -> np.ndarray:
    """The clip, ``(T, H, W, 3)`` uint8."""
    driver = TRUTH["driver"]
    size, (left, top, side) = driver["size_px"], driver["window_px"]
    pixels = torch.from_numpy(np.array(photograph.convert("RGB"))).double().permute(2, 0, 1)[None] / 255
    coefficients, peak = spline_coefficients(pixels), displacement(size)
    out = []
    for strength in strengths(driver["frames"]):
        origin = invert(float(strength) * peak, iterations=30)
        at = (origin + 0.5) * side / size - 0.5 + torch.tensor([left, top]).view(1, 2, 1, 1)
        picture = sample_spline(coefficients, at)[0].clamp(0, 1)
        out.append((picture * 255).round().byte().permute(1, 2, 0).numpy())
    return np.stack(out)


def write(clip: np.ndarray, path: Path) -> None:
    """Lossless 8-bit RGB H.264: what does not move costs nothing."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=Fraction(TRUTH["driver"]["rate"]))
        stream.height, stream.width, stream.pix_fmt = clip.shape[1], clip.shape[2], "rgb24"
        stream.options = {"crf": "0", "preset": "veryslow", "g": "400"}
        for picture in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def main() -> None:
    astronaut, hopper = (Image.open(path) for path in sys.argv[1:3])
    write(frames(astronaut), HERE / TRUTH["driver"]["file"])
    hopper.convert("RGB").save(HERE / TRUTH["portrait"]["file"], quality=92)


if __name__ == "__main__":
    main()
