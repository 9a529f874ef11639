# SPDX-License-Identifier: Apache-2.0
"""A clip on disk twice: a master that keeps what its format promises, and a preview that plays everywhere.

A sidecar beside the master says where it came from.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import __version__
from ..models.errors import MagPlusError
from .clip import CHUNK, Clip, ClipInfo
from .measure import dense_displacement
from .media import (
    FORMATS,
    H264,
    SYNTHETIC,
    ClipWriter,
    Format,
    Survival,
    motion_survival,
    open_clip,
    provenance,
    write_sidecar,
)
from .media.audio import Audio
from .progress import Progress, silent
from .window import busiest

MASTERS: Mapping[str, Format] = {
    name: FORMATS[name] for name in ("ffv1", "ffv1_8bit", "h264_444", "h264", "png16", "npy")
}

MOTIONLESS_PX = 5e-4
"""RMS displacement of the clip below which there is no motion to survive, only what the estimator makes of nothing."""
SAMPLED_FRAMES, SAMPLED_PX = 16, 512
"""How much of the preview is measured: frames spread over the clip, in the square that changes most."""


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What was written. The preview is the master itself where that plays everywhere. ``report`` is for the user."""

    master: Path
    preview: Path
    survival: Survival | None
    report: str


def save_clip(
    clip: Clip,
    stem: Path,
    *,
    master: Format,
    audio: Audio | None = None,
    metadata: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    reference: int | None = None,
    progress: Progress = silent,
) -> Saved:
    """Write ``<stem>.<suffix>``, its sidecar and ``<stem>preview.mp4``: all appear when all is done, or none.

    ``metadata`` goes into both clips, ``settings`` into the sidecar; both get a note that the picture is synthetic.
    With ``reference`` the preview is decoded again, and its motion against that frame compared with the clip's.
    """
    if reference is not None:
        clip.frame(reference)
    names = _names(stem, master)
    for name in names.values():
        if name.exists():
            raise MagPlusError(f"{name} exists already. Choose another name.")
    try:
        with tempfile.TemporaryDirectory(dir=stem.parent, prefix=f".{stem.name}.partial-") as folder:
            places = {kind: Path(folder) / name.name for kind, name in names.items()}
            about = {"comment": f"{SYNTHETIC} {__version__}", **(metadata or {})}
            _write(clip, _writers(places, clip, master, audio, about), progress)
            write_sidecar(places["master"], provenance(settings=settings or {}))
            survival = None
            if reference is not None:
                survival = _survival(clip, places.get("preview", places["master"]), reference, progress)
            for kind, name in names.items():
                places[kind].replace(name)
    except OSError as error:
        raise MagPlusError(
            f"{names['master']} could not be written ({error.strerror}). Check free space and permissions. "
            "Nothing was left there."
        ) from error
    preview = names.get("preview", names["master"])
    silenced = audio is not None and master.kind != "video"
    report = _report(names["master"], preview, master, survival, silenced)
    return Saved(master=names["master"], preview=preview, survival=survival, report=report)


def _names(stem: Path, master: Format) -> dict[str, Path]:
    endings = {"master": ".mp4" if master is H264 else master.suffixes[0] or "frames"}
    endings["sidecar"] = f"{endings['master']}.json"
    if master is not H264:
        endings["preview"] = "preview.mp4"
    return {kind: stem.with_name(stem.name + ending) for kind, ending in endings.items()}


def _writers(
    places: Mapping[str, Path], clip: Clip, master: Format, audio: Audio | None, metadata: Mapping[str, str]
) -> list[ClipWriter]:
    writers = []
    for kind, format in (("master", master), ("preview", H264)):
        if kind in places:
            sound = audio if format.kind == "video" else None
            writers.append(ClipWriter(places[kind], rate=clip.info.rate, format=format, audio=sound, metadata=metadata))
    return writers


def _write(clip: Clip, writers: list[ClipWriter], progress: Progress) -> None:
    done = 0
    with ExitStack() as stack:
        for writer in writers:
            stack.enter_context(writer)
        for chunk in clip.chunks():
            for frame in chunk.split(1):  # one at a time, so that a cancelled run stops within one frame
                for writer in writers:
                    writer.write(frame)
                done += 1
                progress("save", done, clip.info.count, frame[0])


def _report(master: Path, preview: Path, format: Format, survival: Survival | None, silenced: bool) -> str:
    """What was found out comes first: a node on the canvas shows about 90 characters."""
    words = [] if survival is None else [f"{preview.name}: {_told(survival)}"]
    words.append(f"{master.name} keeps {format.keeps}.")
    if silenced:
        words.append(f"Sound is in the preview only: {format.name} cannot hold it.")
    return " ".join(words)


def _told(survival: Survival) -> str:
    quality = "pictures equal" if math.isinf(survival.psnr_db) else f"pictures {survival.psnr_db:.1f} dB"
    if math.isnan(survival.gain):
        return f"no motion to compare; {quality}."
    share = max(0.0, survival.gain)
    return (
        f"{100 * share:.0f} % of the motion survived, {survival.residual_px:.3f} px of other motion came in; {quality}."
    )


def _survival(clip: Clip, preview: Path, reference: int, progress: Progress) -> Survival:
    written = open_clip(preview)
    count = written.info.count or clip.info.count or 0
    picks = sorted({*torch.linspace(0, count - 1, min(count, SAMPLED_FRAMES)).round().int().tolist(), reference})
    top, left, height, width = _busiest(clip, picks, reference)
    ours, theirs = (_Part(c, tuple(picks), (top, left, height, width)) for c in (clip, written))
    done, squares = 0, 0.0

    def displacement(first: Tensor, frames: Tensor) -> Tensor:
        nonlocal done, squares
        found = []
        for frame in frames.split(1):
            found.append(dense_displacement(first, frame))
            done += 1
            progress("check", done, 2 * len(picks), frame[0])
            squares += float(found[-1].square().mean()) if first is ours.still else 0.0
        return torch.cat(found)

    survival = motion_survival(ours, theirs, displacement, reference=picks.index(reference))
    moved = math.sqrt(2 * squares / len(picks)) > MOTIONLESS_PX
    return survival if moved else replace(survival, gain=math.nan)


def _busiest(clip: Clip, picks: list[int], reference: int) -> tuple[int, int, int, int]:
    """The window of at most SAMPLED_PX a side that changes most: (top, left, height, width)."""
    info, still = clip.info, clip.frame(reference)
    height, width = min(info.height, SAMPLED_PX), min(info.width, SAMPLED_PX)
    if (height, width) == (info.height, info.width):
        return 0, 0, height, width
    change = torch.zeros(info.height, info.width)
    for index in picks:
        change += (clip.frame(index) - still).abs().mean(0).cpu()
    return *busiest(change, (height, width)), height, width


class _Part:
    """Some frames of a clip, and a window of each."""

    def __init__(self, clip: Clip, picks: tuple[int, ...], window: tuple[int, int, int, int]) -> None:
        self._clip, self._picks = clip, picks
        top, left, height, width = window
        self._rows, self._columns = slice(top, top + height), slice(left, left + width)
        self._size = (height, width)
        self.still: Tensor | None = None
        """The frame that was asked for, by which the estimator is told whose motion it measures."""

    @property
    def info(self) -> ClipInfo:
        height, width = self._size
        info = self._clip.info
        return ClipInfo(height=height, width=width, rate=info.rate, count=len(self._picks), name=info.name)

    def chunks(self, size: int = CHUNK) -> Iterator[Tensor]:
        wanted, start = set(self._picks), 0
        for chunk in self._clip.chunks(size):
            here = [k for k in range(len(chunk)) if start + k in wanted]
            start += len(chunk)
            for k in here:
                yield chunk[k : k + 1, :, self._rows, self._columns]

    def frame(self, index: int) -> Tensor:
        self.still = self._clip.frame(self._picks[index])[:, self._rows, self._columns]
        return self.still
