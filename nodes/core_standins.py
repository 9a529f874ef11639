# SPDX-License-Identifier: Apache-2.0
"""Small versions of the few ComfyUI nodes that a workflow around ours needs, for the headless runner alone.

They have the ids, inputs and outputs of the core nodes. ComfyUI never sees them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ..models.errors import MagPlusError
from ..pipeline.graph.core_decode import core_frames
from ..pipeline.media import H264, AudioBuffer, ClipWriter, exact_rate, open_audio
from .standalone import (
    ComfyNode,
    FolderType,
    NodeOutput,
    PreviewVideo,
    SavedResult,
    Schema,
    UploadType,
    VideoComponents,
    VideoFromComponents,
    folders,
    io,
    save_place,
)

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
VIDEOS = frozenset({".mkv", ".mp4", ".mov", ".m4v", ".webm", ".avi"})
NO_MASK = (64, 64)
"""Size of the empty mask that Load Image gives for a picture without one."""


def _offered(suffixes: frozenset[str]) -> list[str]:
    folder = folders.input
    return sorted(f.name for f in folder.iterdir() if f.suffix.lower() in suffixes) if folder.is_dir() else []


def _found(name: str) -> Path:
    path = folders.input / name
    if not path.is_file():
        raise MagPlusError(f"There is no file {name!r} in {folders.input}. Name the folder it is in with --input.")
    return path


@dataclass
class VideoFile:
    """A VIDEO on disk, decoded when it is asked for."""

    path: Path

    @cached_property
    def _components(self) -> VideoComponents:
        frames, track = core_frames(self.path), open_audio(self.path)
        sound = None if track is None else {"waveform": track.samples()[None], "sample_rate": track.sample_rate}
        return VideoComponents(images=frames.images, audio=sound, frame_rate=frames.rate)

    def get_components(self) -> VideoComponents:
        """Frames, sound and rate."""
        return self._components

    def get_dimensions(self) -> tuple[int, int]:
        """Width and height."""
        return self._components.images.shape[2], self._components.images.shape[1]

    def get_stream_source(self) -> str:
        """The file itself."""
        return str(self.path)

    def get_frame_rate(self) -> Fraction:
        """Frames per second."""
        return self._components.frame_rate

    def get_frame_count(self) -> int:
        """Number of frames."""
        return len(self._components.images)

    def get_duration(self) -> float:
        """Seconds."""
        return float(self.get_frame_count() / self.get_frame_rate())


class LoadImage(ComfyNode):
    """Core's Load Image."""

    @classmethod
    def define_schema(cls) -> Schema:
        """As core declares it."""
        choice = io.Combo.Input("image", options=_offered(PICTURES), upload=UploadType.image)
        return Schema("LoadImage", "Load Image", inputs=[choice], outputs=[io.Image.Output(), io.Mask.Output()])

    @classmethod
    def validate_inputs(cls, image: str) -> bool | str:
        """A file may also lie in a folder below."""
        return (folders.input / image).is_file() or f"there is no file {image!r} in {folders.input}; see --input"

    @classmethod
    def execute(cls, image: str) -> NodeOutput:
        """Decode; the mask is what is transparent."""
        frames = core_frames(_found(image))
        mask = torch.zeros(len(frames.images), *NO_MASK) if frames.alpha is None else 1.0 - frames.alpha
        return NodeOutput(frames.images, mask)


class LoadVideo(ComfyNode):
    """Core's Load Video."""

    @classmethod
    def define_schema(cls) -> Schema:
        """As core declares it."""
        choice = io.Combo.Input("file", options=_offered(VIDEOS), upload=UploadType.video)
        return Schema("LoadVideo", "Load Video", inputs=[choice], outputs=[io.Video.Output()])

    @classmethod
    def validate_inputs(cls, file: str) -> bool | str:
        """A file may also lie in a folder below."""
        return (folders.input / file).is_file() or f"there is no file {file!r} in {folders.input}; see --input"

    @classmethod
    def execute(cls, *, file: str) -> NodeOutput:
        """Nothing is decoded yet."""
        return NodeOutput(VideoFile(_found(file)))


class GetVideoComponents(ComfyNode):
    """Core's Get Video Components."""

    @classmethod
    def define_schema(cls) -> Schema:
        """As core declares it in 0.16."""
        outputs = [io.Image.Output(), io.Audio.Output(), io.Float.Output()]
        return Schema("GetVideoComponents", "Get Video Components", inputs=[io.Video.Input("video")], outputs=outputs)

    @classmethod
    def execute(cls, video: Any) -> NodeOutput:
        """Take a video apart."""
        parts = video.get_components()
        return NodeOutput(parts.images, parts.audio, float(parts.frame_rate))


class CreateVideo(ComfyNode):
    """Core's Create Video."""

    @classmethod
    def define_schema(cls) -> Schema:
        """As core declares it."""
        inputs = [
            io.Image.Input("images"),
            io.Float.Input("fps", default=30.0, min=1.0, max=120.0, step=1.0),
            io.Audio.Input("audio", optional=True),
            io.Int.Input("bit_depth", default=8, min=8, max=10, step=2, optional=True),
        ]
        return Schema("CreateVideo", "Create Video", inputs=inputs, outputs=[io.Video.Output()])

    @classmethod
    def execute(cls, images: Tensor, fps: float, audio: Any = None, bit_depth: int = 8) -> NodeOutput:
        """Put a video together; the depth only matters to core's writer."""
        return NodeOutput(
            VideoFromComponents(VideoComponents(images=images, audio=audio, frame_rate=exact_rate(fps)))
        )  # fmt: skip


class SaveVideo(ComfyNode):
    """Core's Save Video: always H.264, written by our own encoder."""

    @classmethod
    def define_schema(cls) -> Schema:
        """Container and codec are taken as text, whatever they offer in a newer version."""
        inputs = [
            io.Video.Input("video"),
            io.String.Input("filename_prefix", default="video/ComfyUI"),
            io.String.Input("format", default="auto"),
            io.String.Input("codec", default="auto", optional=True),
        ]
        return Schema("SaveVideo", "Save Video", inputs=inputs, outputs=[io.Video.Output()], is_output_node=True)

    @classmethod
    def execute(cls, video: Any, filename_prefix: str, format: str = "auto", codec: str = "auto") -> NodeOutput:
        """Write ``<prefix>_<number>_.mp4``, with the workflow in it."""
        if format not in ("auto", "mp4", "mkv") or codec not in ("auto", "h264"):
            raise MagPlusError(f"{format}/{codec} is not written without ComfyUI. Choose mp4 or mkv and h264.")
        parts = video.get_components()
        place, name, number, subfolder = save_place(filename_prefix, folders.output)
        file = place / f"{name}_{number:05}_.{'mkv' if format == 'mkv' else 'mp4'}"
        sound = parts.audio and AudioBuffer(
            waveform=parts.audio["waveform"][0], sample_rate=int(parts.audio["sample_rate"])
        )
        with ClipWriter(file, rate=parts.frame_rate, format=H264, audio=sound, metadata=_metadata(cls.hidden)) as clip:
            for chunk in parts.images.split(8):
                clip.write(chunk.movedim(-1, 1))
        return NodeOutput(video, ui=PreviewVideo([SavedResult(file.name, subfolder, FolderType.output)]))


@dataclass
class _Shown:
    """What a node shows on the page."""

    values: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return self.values


class SaveImage(ComfyNode):
    """Core's Save Image."""

    @classmethod
    def define_schema(cls) -> Schema:
        """As core declares it."""
        inputs = [io.Image.Input("images"), io.String.Input("filename_prefix", default="ComfyUI")]
        return Schema("SaveImage", "Save Image", inputs=inputs, is_output_node=True)

    @classmethod
    def execute(cls, images: Tensor, filename_prefix: str = "ComfyUI") -> NodeOutput:
        """Write 8-bit PNGs with the workflow in them; values are cut off, not rounded, as core does it."""
        place, name, number, subfolder = save_place(filename_prefix, folders.output)
        text = PngInfo()
        for key, value in _metadata(cls.hidden).items():
            text.add_text(key, value)
        saved = []
        for index, image in enumerate(images):
            file = place / f"{name}_{number + index:05}_.png"
            pixels = np.clip(255.0 * image.numpy(), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(file, pnginfo=text, compress_level=4)
            saved.append(SavedResult(file.name, subfolder, FolderType.output))
        return NodeOutput(ui=_Shown({"images": saved}))


class PreviewImage(ComfyNode):
    """Core's Preview Image: there is nobody to look, so only the number of pictures is told."""

    @classmethod
    def define_schema(cls) -> Schema:
        """As core declares it."""
        return Schema("PreviewImage", "Preview Image", inputs=[io.Image.Input("images")], is_output_node=True)

    @classmethod
    def execute(cls, images: Tensor) -> NodeOutput:
        """Count them."""
        many = "1 picture" if len(images) == 1 else f"{len(images)} pictures"
        return NodeOutput(ui=_Shown({"text": [f"{many}, not saved; use Save Image to keep them"]}))


class PreviewAny(ComfyNode):
    """Core's Preview as Text."""

    @classmethod
    def define_schema(cls) -> Schema:
        """As core declares it, in its older and newer form."""
        source = io.Custom("*").Input("source")
        return Schema(
            "PreviewAny", "Preview as Text", inputs=[source], outputs=[io.String.Output()], is_output_node=True
        )

    @classmethod
    def execute(cls, source: Any) -> NodeOutput:
        """Any value as text."""
        text = source if isinstance(source, str) else json.dumps(source, default=str)
        return NodeOutput(text, ui=_Shown({"text": [text]}))


def _primitive(node_id: str, kind: Any, default: Any, **keywords: Any) -> type[ComfyNode]:
    """A node that hands on the value of its widget."""

    class Primitive(ComfyNode):
        @classmethod
        def define_schema(cls) -> Schema:
            inputs = [kind.Input("value", default=default, **keywords)]
            return Schema(node_id, node_id, inputs=inputs, outputs=[kind.Output()])

        @classmethod
        def execute(cls, value: Any) -> NodeOutput:
            return NodeOutput(value)

    return Primitive


def _metadata(hidden: Any) -> dict[str, str]:
    values = {"prompt": hidden.prompt, **(hidden.extra_pnginfo or {})}
    return {name: json.dumps(value) for name, value in values.items() if value is not None}


STANDINS: tuple[type[ComfyNode], ...] = (
    LoadImage,
    LoadVideo,
    GetVideoComponents,
    CreateVideo,
    SaveVideo,
    SaveImage,
    PreviewImage,
    PreviewAny,
    _primitive("PrimitiveInt", io.Int, 0, control_after_generate=True),
    _primitive("PrimitiveFloat", io.Float, 0.0),
    _primitive("PrimitiveBoolean", io.Boolean, False),
    _primitive("PrimitiveString", io.String, ""),
    _primitive("PrimitiveStringMultiline", io.String, "", multiline=True),
)
