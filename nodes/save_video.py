# SPDX-License-Identifier: Apache-2.0
"""Save Video: a master that keeps everything, and a preview that plays in the node and carries the graph."""

from __future__ import annotations

import json
from typing import Any

from torch import Tensor

from ..pipeline.saved import MASTERS, save_clip
from . import convert, host
from .host import io, ui
from .wires import fps_input, reference_input


class SaveVideo(io.ComfyNode):  # type: ignore[misc]
    """Frames to files."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusSaveVideo",
            display_name="Save Video (MagPlus)",
            category="MagPlus/Video",
            description="Writes a lossless master and an H.264 preview to the output folder. The preview plays here; "
            "dropping it on the page restores the graph. It is decoded again to say how much of the motion survived. "
            "A JSON file beside the master says that the picture is synthetic and how it was made.",
            search_aliases=["export video", "lossless", "ffv1", "write clip", "mp4", "combine"],
            is_output_node=True,
            inputs=[
                io.String.Input(
                    "filename_prefix",
                    default="MagPlus/clip",
                    tooltip="Name of the files in ComfyUI's output folder, with a subfolder if wanted. A number is "
                    "added, so nothing is replaced.",
                ),
                io.Combo.Input(
                    "format",
                    options=list(MASTERS),
                    default="ffv1",
                    tooltip="What the master keeps. " + " ".join(f"{n}: {f.keeps}." for n, f in MASTERS.items()),
                ),
                fps_input(
                    "Frames per second of 'images'; connect it from Load Video. 29.97 means 30000/1001. Not "
                    "used with 'video', which knows its own.",
                ),
                io.Boolean.Input(
                    "check_preview",
                    default=True,
                    tooltip="Decode the preview and measure how much of the motion it still shows. Off saves time.",
                ),
                reference_input(),
                io.Image.Input("images", optional=True, tooltip="Frames to save. Give these or 'video'."),
                io.Audio.Input("audio", optional=True, tooltip="Sound for 'images', starting with their first frame."),
                io.Video.Input("video", optional=True, tooltip="Clip to save, with its own rate and sound."),
            ],
            outputs=[
                io.String.Output("report", tooltip="What was written, and what survived in the preview."),
                io.String.Output("file", tooltip="Full name of the master."),
            ],
        )

    @classmethod
    def execute(
        cls,
        *,
        filename_prefix: str,
        format: str,
        fps: float,
        check_preview: bool = True,
        reference_index: int = 0,
        images: Tensor | None = None,
        audio: Any = None,
        video: Any = None,
    ) -> Any:
        """Write both files or none."""
        clip, sound = convert.clip_and_sound(images, fps, audio, video)
        place = host.output_place(filename_prefix, width=clip.info.width, height=clip.info.height)
        graph = host.graph_metadata(cls.hidden)
        with host.running(pictures=False) as progress:
            saved = save_clip(
                clip,
                place.folder / place.stem,
                master=MASTERS[format],
                audio=sound,
                metadata=graph,
                settings={"format": format, "rate": clip.info.rate, "prompt": json.loads(graph.get("prompt", "null"))},
                reference=reference_index if check_preview else None,
                progress=progress,
            )
        host.say(saved.report)
        shown = ui.PreviewVideo([ui.SavedResult(saved.preview.name, place.subfolder, io.FolderType.output)])
        return io.NodeOutput(saved.report, str(saved.master), ui={**shown.as_dict(), "text": (saved.report,)})
