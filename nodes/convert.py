# SPDX-License-Identifier: Apache-2.0
"""Between ComfyUI's values and the pipeline's: IMAGE ``(T, H, W, 3)`` and clips, AUDIO and sound, FLOAT and rates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..models.contracts import DriveResult
from ..models.errors import MagPlusError
from ..models.registry import load_magnifier
from ..pipeline.clip import CHUNK, CHUNK_PIXELS, ClipInfo, check_index
from ..pipeline.media import AudioBuffer, exact_rate
from ..pipeline.media.timing import STILL_RATE
from ..pipeline.motion.masks import Mask
from . import host
from .wires import Loaded

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class ImageClip:
    """An IMAGE seen as a clip: nothing is copied but the chunk at hand, which is brought to the device."""

    images: Tensor
    rate: Fraction
    name: str
    device: torch.device

    @property
    def info(self) -> ClipInfo:
        count, height, width, _ = self.images.shape
        return ClipInfo(height=height, width=width, rate=self.rate, count=count, name=self.name)

    def chunks(self, size: int = CHUNK) -> Iterator[Tensor]:
        _, height, width, _ = self.images.shape
        for part in self.images.split(max(1, min(size, CHUNK_PIXELS // (height * width)))):
            yield self._framed(part)

    def frame(self, index: int) -> Tensor:
        check_index(index, len(self.images), self.name)
        return self._framed(self.images[index][None])[0]

    def _framed(self, images: Tensor) -> Tensor:
        """``(n, 3, H, W)`` of ``(n, H, W, C)``; an alpha channel is left out."""
        frames = rearrange(images[..., :3], "n h w c -> n c h w")
        return frames.to(self.device, torch.float32).contiguous()


def to_clip(images: Tensor, *, name: str, rate: Fraction = STILL_RATE, device: torch.device = CPU) -> ImageClip:
    """An IMAGE as a clip. ``name`` stands in messages."""
    if images.ndim != 4 or images.shape[-1] not in (3, 4) or 0 in images.shape:
        raise MagPlusError(
            f"'{name}' has the shape {tuple(images.shape)}. Connect an IMAGE of RGB frames, (T, H, W, 3)."
        )
    return ImageClip(images=images, rate=rate, name=name, device=device)


def maybe_clip(images: Tensor | None, **about: Any) -> ImageClip | None:
    """The same for an optional input: None stays None."""
    return None if images is None else to_clip(images, **about)


def to_images(chunks: Iterable[Tensor], count: int | None) -> Tensor:
    """Chunks ``(n, 3, H, W)`` as one IMAGE on the CPU. With ``count`` it is filled in place, without a second copy."""
    if count is None:
        chunks = list(chunks)
        count = sum(len(chunk) for chunk in chunks)
    out, done = None, 0
    for chunk in chunks:
        if out is None:
            _, _, height, width = chunk.shape
            out = torch.empty(count, height, width, 3)
        out[done : done + len(chunk)] = rearrange(chunk, "n c h w -> n h w c")
        done += len(chunk)
    if out is None or done != count:
        raise MagPlusError(f"{done} frames came where {count} were expected. Load the clip again.")
    return out


def to_images_and_mask(results: Iterable[DriveResult], count: int) -> tuple[Tensor, Tensor]:
    """Generated frames, and their masks ``(T, H, W)``, all white where the generator tells none."""
    masks: list[Tensor] = []

    def frames() -> Iterator[Tensor]:
        for result in results:
            if result.mask is not None:
                masks.append(result.mask.to(CPU, torch.float32))
            yield result.frames

    images = to_images(frames(), count)
    return images, torch.cat(masks) if masks else torch.ones(1, 1, 1).expand(images.shape[:3])


def to_picture(picture: Image.Image) -> Tensor:
    """A drawn picture as an IMAGE of one frame."""
    return torch.from_numpy(np.array(picture.convert("RGB"))).float().div_(255)[None]


def from_array(picture: NDArray[np.float32]) -> Tensor:
    """A picture ``(H, W, 3)`` in [0, 1] as an IMAGE of one frame."""
    return torch.from_numpy(np.ascontiguousarray(picture)).float().clamp(0, 1)[None]


def check_equal_length(*clips: ImageClip) -> None:
    """Refuse clips of unlike lengths."""
    lengths = {clip.name: len(clip.images) for clip in clips}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"'{name}' {count}" for name, count in lengths.items())
        raise MagPlusError(f"The clips have different lengths: {told} frames. Load or cut them to the same number.")


def rate_of(fps: float) -> Fraction:
    """Exact rate of a FLOAT: 29.97 is 30000/1001, 200.0 is 200."""
    return exact_rate(fps)


def to_audio(sound: Any) -> Any:
    """Sound of a file as AUDIO, None where there is none."""
    if sound is None:
        return None
    return {"waveform": sound.samples()[None], "sample_rate": sound.sample_rate}


def from_audio(audio: Any) -> AudioBuffer | None:
    """AUDIO as sound. Some packs give a lazy mapping instead of a dict, so only its two keys are read."""
    if audio is None:
        return None
    waveform = audio["waveform"]
    if waveform.shape[0] != 1:
        raise MagPlusError(f"'audio' holds {waveform.shape[0]} sounds at once. Connect one.")
    return AudioBuffer(waveform=waveform[0], sample_rate=int(audio["sample_rate"]))


def clip_and_sound(images: Tensor | None, fps: float, audio: Any, video: Any) -> tuple[ImageClip, AudioBuffer | None]:
    """What is to be saved, from either kind of wire."""
    if images is not None and video is None:
        return to_clip(images, name="images", rate=exact_rate(fps)), from_audio(audio)
    if images is not None or video is None:
        raise MagPlusError("Connect either 'images' or 'video': one of them, not both.")
    parts = video.get_components()
    sound = parts.audio if audio is None else audio
    return to_clip(parts.images, name="video", rate=exact_rate(parts.frame_rate)), from_audio(sound)


def magnifier_of(wire: Loaded | None) -> Any:
    """The connected magnifier, ready to compute, or the built-in one, on the device where the frames will be."""
    if wire is not None:
        return wire.ready()
    builtin: Any = load_magnifier()[0]
    return builtin.to(host.device())


def to_mask(mask: Tensor | None, device: torch.device) -> Mask | None:
    """MASK ``(1, H, W)`` as ``(H, W)``, one that changes, ``(T, H, W)``, as a clip."""
    if mask is None:
        return None
    if mask.ndim == 3 and len(mask) > 1 and not bool((mask == mask[:1]).all()):
        return to_clip(mask[..., None].expand(-1, -1, -1, 3), name="mask", device=device)
    return (mask[0] if mask.ndim == 3 else mask).to(device, torch.float32)


def mask_of_frame(mask: Tensor | None, index: int) -> Tensor | None:
    """Of MASK ``(N, H, W)`` that of one frame, ``(H, W)``; one mask is that of every frame."""
    return mask if mask is None or mask.ndim == 2 else mask[min(index, len(mask) - 1)].float()


def missing_file(name: str | None, origin: str) -> bool | str:
    """What ComfyUI takes for "fine" (True), or the complaint. A name of None comes from another node later."""
    try:
        if name is not None:
            host.weight_path(name)
    except MagPlusError as error:
        return f"{error} {origin}"
    return True


def portrait_of(images: Tensor | None, device: torch.device) -> Tensor:
    """The portrait ``(3, H, W)`` to move; of several pictures the first, as Animate Portrait frames it."""
    if images is None:
        raise MagPlusError("pixels 'source' needs the original portrait: connect 'portrait', or choose 'generated'.")
    return to_clip(images, name="portrait", device=device).frame(0)


def fingerprint(path: Path) -> str:
    """Changes when a file is replaced or written anew."""
    status = path.stat()
    return f"{path}:{status.st_size}:{status.st_mtime_ns}"
