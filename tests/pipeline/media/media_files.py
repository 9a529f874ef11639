"""Small files of known content for the media tests, written with PyAV alone and not with the code under test."""

from fractions import Fraction

import av
import numpy as np
import torch

BARS = {"white": (1, 1, 1), "yellow": (1, 1, 0), "cyan": (0, 1, 1), "green": (0, 1, 0)}
BARS |= {"magenta": (1, 0, 1), "red": (1, 0, 0), "blue": (0, 0, 1), "black": (0, 0, 0)}

CODES_709 = [(235, 128, 128), (219, 16, 138), (188, 154, 16), (173, 42, 26)]
CODES_709 += [(78, 214, 230), (63, 102, 240), (32, 240, 118), (16, 128, 128)]
"""100 % bars in 8-bit limited range as the standards print them: BT.709 ..."""

CODES_601 = [(235, 128, 128), (210, 16, 146), (170, 166, 16), (145, 54, 34)]
CODES_601 += [(106, 202, 222), (81, 90, 240), (41, 240, 110), (16, 128, 128)]
"""... and BT.601."""


def bars(height=32, bar=16):
    """The eight bars side by side ``(3, H, W)``."""
    colours = torch.tensor(list(BARS.values()), dtype=torch.float32)
    return colours.repeat_interleave(bar, dim=0).T[:, None].repeat(1, height, 1)


def coded_bars(codes, height=32, bar=16):
    """Planes Y, Cb, Cr of 4:4:4 bars."""
    return [np.tile(np.repeat(np.array(codes)[:, c], bar), (height, 1)) for c in range(3)]


def fill(plane, samples, dtype):
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    data = np.ascontiguousarray(samples.astype(dtype)).view(np.uint8)
    rows[: data.shape[0], : data.shape[1]] = data


def write_planes(path, pixels, pictures, *, codec="ffv1", rate=Fraction(25), pts=None, tick=None, tags=None, **options):
    """Encode pictures given as lists of planes, bit by bit; ``tags``: attributes of the encoder."""
    dtype = "<u2" if "le" in pixels else "u1"
    height, width = pictures[0][0].shape
    with av.open(str(path), "w", options=options.pop("container", {})) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        for key, value in (tags or {}).items():
            setattr(stream.codec_context, key, value)
        stream.codec_context.time_base = tick or 1 / rate
        for index, planes in enumerate(pictures):
            frame = av.VideoFrame(width, height, pixels)
            for plane, samples in zip(frame.planes, planes, strict=True):
                fill(plane, samples, dtype)
            frame.pts = pts[index] if pts is not None else index
            frame.time_base = tick or 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def grey_planes(level, height=32, width=32):
    """8-bit 4:2:0 planes of one grey."""
    return [np.full((height, width), level)] + [np.full((height // 2, width // 2), 128)] * 2


def everything(clip, size=4):
    """All frames of a clip ``(T, 3, H, W)``."""
    return torch.cat(list(clip.chunks(size)))
