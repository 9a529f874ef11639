# SPDX-License-Identifier: Apache-2.0
"""Load Video: a clip or a still from the input folder, or one of the samples."""

from __future__ import annotations

from typing import Any

from ..models.errors import MagPlusError
from ..pipeline.media import open_clip
from ..pipeline.progress import ticking
from . import convert, host
from .host import io
from .wires import MAX_FRAME


class LoadVideo(io.ComfyNode):  # type: ignore[misc]
    """File to frames, sound and exact rate."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusLoadVideo",
            display_name="Load Video (MagPlus)",
            category="MagPlus/Video",
            description="Loads a clip or a picture with every bit it has: 8 to 16 bit, exact frame rate, sound. The "
            "samples of the pack are in the list.",
            search_aliases=["load clip", "import video", "load portrait", "micro-expression sample", "high bit depth"],
            inputs=[
                # The page asks for a picture of whatever is chosen here, and shows an error for a file that is not in
                # the input folder: so the samples have a list of their own.
                io.Combo.Input(
                    "file",
                    options=["", *host.input_files()],
                    default="",
                    upload=io.UploadType.video,
                    tooltip="Video, animation or picture from ComfyUI's input folder. Empty: the sample is loaded.",
                ),
                io.Combo.Input(
                    "sample",
                    options=host.sample_files(),
                    default=host.FIRST_SAMPLE,
                    tooltip="Clip or portrait that comes with the pack, loaded while no file is chosen.",
                ),
                io.Int.Input(
                    "start_frame",
                    default=0,
                    min=0,
                    max=MAX_FRAME,
                    tooltip="First frame to load, counted from 0. Higher skips more of the beginning.",
                ),
                io.Int.Input(
                    "stop_frame",
                    default=0,
                    min=0,
                    max=MAX_FRAME,
                    tooltip="Frame before which to stop; it is not loaded itself. 0 loads to the end.",
                ),
                io.Float.Input(
                    "resample_to",
                    default=0.0,
                    min=0.0,
                    max=10_000.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Frames per second to resample to, for clips of a variable rate: frames are repeated or "
                    "dropped, never blended. 0 keeps every frame as it is.",
                ),
            ],
            outputs=[
                io.Image.Output("images", tooltip="The frames, (T, H, W, 3) in 0..1."),
                io.Audio.Output("audio", tooltip="Sound of these frames; nothing for a silent file."),
                io.Float.Output("fps", tooltip="Frames per second, e.g. 200 or 29.97 (30000/1001)."),
                io.Video.Output("video", tooltip="Frames, sound and exact rate in one wire."),
            ],
        )

    @classmethod
    def validate_inputs(cls, file: str | None) -> bool | str:
        """A missing file is refused before anything runs; its name needs not be in the list (``name [output]``)."""
        if not file:  # the sample, or it comes from another node, which has not run yet
            return True
        try:
            host.input_path(file)
        except MagPlusError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, file: str, sample: str, **_: Any) -> str:
        """Changes when the file is replaced by another one of the same name."""
        return convert.fingerprint(host.input_path(file or host.SAMPLE + sample))

    @classmethod
    def execute(
        cls, *, file: str, sample: str, start_frame: int = 0, stop_frame: int = 0, resample_to: float = 0.0
    ) -> Any:
        """Decode into one tensor."""
        clip = open_clip(
            host.input_path(file or host.SAMPLE + sample),
            start=start_frame or None,
            stop=stop_frame or None,
            resample_to=convert.rate_of(resample_to) if resample_to else None,
        )
        for note in clip.notes:
            host.warn(f"{clip.info.name}: {note}")
        with host.running() as progress:
            images = convert.to_images(ticking(clip, "load", progress), clip.info.count)
        audio = convert.to_audio(clip.audio)
        return io.NodeOutput(images, audio, float(clip.info.rate), host.make_video(images, clip.info.rate, audio))
