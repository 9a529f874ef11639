# SPDX-License-Identifier: Apache-2.0
"""Long Clip: file in, file out, for clips that do not fit into memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..models.errors import MagPlusError
from ..pipeline.face.given import given_box
from ..pipeline.face.sides import NO_GUIDES
from ..pipeline.long_clip import LongMagnification, LongRun, Work
from ..pipeline.media import FileClip, Format, open_clip, provenance
from ..pipeline.run import RunSettings
from ..pipeline.saved import MASTERS
from . import convert, host
from .host import io
from .wires import (
    AlphaMap,
    Backbone,
    Guides,
    Loaded,
    alpha_inputs,
    box_inputs,
    box_sockets,
    gain_input,
    intensity_input,
    magnifier_input,
    numbers_of,
    reference_input,
    strength_input,
)

FORMATS: Mapping[str, Format] = {name: master for name, master in MASTERS.items() if master.kind != "array"}


class LongClip(io.ComfyNode):  # type: ignore[misc]
    """A file to a file, magnified or through the whole chain, in constant memory."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusLongClip",
            display_name="Long Clip (MagPlus)",
            category="MagPlus/Video",
            description="For clips that are too long for the graph: reads a file, magnifies it, and writes a file, in "
            "the same memory at any length. With a portrait and a generator it runs the whole chain. A cancelled run "
            "keeps its finished parts beside the result; queueing the same settings again goes on with them.",
            search_aliases=["long video", "file to file", "out of memory", "resume", "batch process", "low memory"],
            is_output_node=True,
            inputs=[
                io.String.Input(
                    "path",
                    default="",
                    tooltip="The clip: the name of a file in ComfyUI's input folder, or a whole path on this machine.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="MagPlus/long",
                    tooltip="Name of the file in ComfyUI's output folder, with a subfolder if wanted. A number is "
                    "added, so nothing is replaced. Parts of an unfinished clip lie beside it.",
                ),
                io.Combo.Input(
                    "format",
                    options=list(FORMATS),
                    default="ffv1",
                    tooltip="What the result keeps. " + " ".join(f"{n}: {f.keeps}." for n, f in FORMATS.items()),
                ),
                *alpha_inputs("measures the whole clip first and", "uses alpha and saves that pass"),
                reference_input(),
                *box_inputs("face", "clip"),
                *box_inputs("source", "portrait"),
                intensity_input(
                    "With a portrait: size of the motion in the result; 1 as in the clip, more is stronger, 0 is a "
                    "still portrait."
                ),
                io.Combo.Input(
                    "pixels",
                    options=["source", "generated"],
                    default="source",
                    tooltip="With a portrait: 'source' moves its own pixels at full size, 'generated' keeps the "
                    "generator's picture.",
                ),
                *box_sockets("face", "clip"),
                *box_sockets("source", "portrait"),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where to magnify (white); black keeps the clip's own pixels, grey magnifies less. "
                    "One mask of the clip's size, or one per frame. Not with a portrait.",
                ),
                AlphaMap.Input(
                    "alpha_map",
                    optional=True,
                    tooltip="From Region Mask: a factor for each part of the face, instead of alpha_mode and alpha. "
                    "Not with a portrait.",
                ),
                magnifier_input(),
                io.Image.Input(
                    "source",
                    optional=True,
                    tooltip="The portrait to move. Not connected: the clip itself is magnified and written.",
                ),
                Backbone.Input("backbone", optional=True, tooltip="The frozen generator, needed with a portrait."),
                Guides.Input(
                    "guides",
                    optional=True,
                    tooltip="What the generator needs beyond pixels: from MetaPortrait Guides or EMOPortraits Guides.",
                ),
                strength_input("With a portrait. "),
                gain_input("de-magnification (with a portrait)"),
            ],
            outputs=[
                io.String.Output("file", tooltip="Full name of the result."),
                io.String.Output("report", tooltip="Frames, rate, alpha, and with a portrait the measured gain."),
            ],
        )

    @classmethod
    def validate_inputs(cls, path: str | None) -> bool | str:
        """A missing file is refused before anything runs."""
        try:
            if path is not None:  # otherwise it comes from another node, which has not run yet
                host.any_path(path)
        except MagPlusError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, path: str, **_: Any) -> str:
        """Changes when the file is replaced by another one of the same name."""
        return convert.fingerprint(host.any_path(path))

    @classmethod
    def execute(cls, *, path: str, filename_prefix: str, format: str, **given: Any) -> Any:
        """Work in parts, then write the result under the next free name."""
        file, master = open_clip(host.any_path(path)), FORMATS[format]
        size = {"width": file.info.width, "height": file.info.height}
        for note in file.notes:
            host.warn(f"{file.info.name}: {note}")
        with host.running() as progress:
            job = _chain(file, given) if given.get("source") is not None else _magnification(file, given)
            work: Work = job.work(host.output_base(filename_prefix, **size), master, progress)
            place = host.output_place(filename_prefix, **size)
            suffix = ".mp4" if format == "h264" else master.suffixes[0] or "frames"
            target = place.folder / (place.stem + suffix)
            graph = host.graph_metadata(cls.hidden)
            record = provenance(inputs=[file.source.path], settings={"format": format, **work.told})
            record["prompt"] = json.loads(graph.get("prompt", "null"))
            about: Any = {"metadata": graph, "progress": progress}
            sound = file.audio if master.kind == "video" else None
            count = work.deliver(target, format=master, audio=sound, record=record, **about)
        report = _report(target.name, count, file, work.told)
        host.say(report)
        return io.NodeOutput(str(target), report, ui={"text": (report,)})


def _magnification(file: FileClip, given: Mapping[str, Any]) -> LongMagnification:
    """The clip itself, as Magnify Motion makes it."""
    if given.get("backbone") is not None:
        raise MagPlusError("A generator is connected, but no portrait. Connect 'source' too, or neither.")
    device, reference = host.device(), given["reference_index"]
    alpha_map, by_number = given.get("alpha_map"), given["alpha_mode"] == "number"
    return LongMagnification(
        file=file,
        device=device,
        magnifier=convert.magnifier_of(given.get("magnifier")),
        alpha=alpha_map if alpha_map is not None else given["alpha"] if by_number else None,
        target_pct_face=given["target_pct_face"],
        box=_box(given, "face", reference),
        reference=reference,
        mask=convert.to_mask(given.get("mask"), device),
    )


def _chain(file: FileClip, given: Mapping[str, Any]) -> LongRun:
    """The whole chain onto a portrait."""
    backbone: Loaded | None = given.get("backbone")
    if backbone is None:
        raise MagPlusError("A portrait is connected, but no generator. Connect 'backbone', e.g. from Flow Transfer.")
    for name in ("mask", "alpha_map"):
        if given.get(name) is not None:
            raise MagPlusError(f"'{name}' is for magnification alone. Disconnect it, or the portrait.")
    device, reference = host.device(), given["reference_index"]
    source: Tensor = given["source"]
    pictures = convert.to_clip(source, name="portrait", device=device)
    settings = RunSettings(
        target_pct_face=given["target_pct_face"],
        alpha=given["alpha"] if given["alpha_mode"] == "number" else None,
        intensity=given["intensity"],
        pixels=given["pixels"],
        motion_strength=given.get("motion_strength", 1.0),
        gain=given.get("gain", "face"),
        reference=reference,
        guides=given.get("guides") or NO_GUIDES,
        driver_box=_box(given, "face", reference),
        source_box=_box(given, "source", 0),
    )
    return LongRun(
        file=file,
        device=device,
        sources=[pictures.frame(index) for index in range(len(source))],
        backbone=backbone.ready(),
        magnifier=convert.magnifier_of(given.get("magnifier")),
        settings=settings,
        escape=host.outside_inference_mode,
    )


def _box(given: Mapping[str, Any], side: str, reference: int) -> Any:
    wires = given.get(f"{side}_box"), given.get(f"{side}_mask")
    return given_box(*wires, numbers_of(given, side), reference=reference)


def _report(name: str, count: int, file: FileClip, told: Mapping[str, Any]) -> str:
    numbers = ", ".join(f"{key} {value:.4g}" for key, value in told.items() if isinstance(value, int | float))
    sound = "with its sound" if file.audio is not None else "no sound"
    motion = f" {told['motion']}" if "motion" in told else ""
    return f"{name}: {count} frames at {float(file.info.rate):.6g} fps, {sound}; {numbers}.{motion}"
