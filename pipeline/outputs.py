# SPDX-License-Identifier: Apache-2.0
"""What a run leaves on disk: all files or none."""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ..models.errors import MagPlusError
from .clip import Clip
from .face.crop import CroppedClip
from .measure import STAGES, comparison_report, curve_report
from .media import H264, SYNTHETIC, ClipWriter, Format, Survival, format_for, motion_survival, open_clip, write_sidecar
from .media.audio import Audio
from .media.partial import Partial
from .motion.magnify import estimator_of, magnify
from .progress import Progress, silent
from .render import Panel, grid_frames, plot_curves
from .run import RunResult

INSPECTION = 10.0
"""Strength at which the second row of the comparison shows every clip: ten times the micro-motion."""

PANEL_PX = 256


@dataclass(frozen=True, kw_only=True)
class OutputFiles:
    """Names of everything a run writes, derived from that of the restored clip."""

    restored: Path

    def _beside(self, ending: str) -> Path:
        return self.restored.with_name(f"{self.restored.stem}.{ending}")

    @property
    def preview(self) -> Path:
        """Playable everywhere, for looking only."""
        return self._beside("preview.mp4")

    @property
    def compare(self) -> Path:
        """All stages side by side, at their own and at inspection strength."""
        return self._beside("compare.mp4")

    @property
    def curves(self) -> Path:
        """Motion curves as a picture."""
        return self._beside("curves.png")

    @property
    def report(self) -> Path:
        """All numbers."""
        return self._beside("report.json")

    @property
    def sidecar(self) -> Path:
        """Where the restored clip came from."""
        return Path(f"{self.restored}.json")

    def everything(self) -> tuple[Path, ...]:
        """In the order of writing."""
        return (self.restored, self.preview, self.compare, self.curves, self.report, self.sidecar)


def check_free(path: Path, *, overwrite: bool) -> None:
    """Refuse to replace a file, or to write where there is no folder."""
    if path.exists() and not overwrite:
        raise MagPlusError(f"{path} exists already. Choose another name, or give --overwrite.")
    if not path.parent.is_dir():
        raise MagPlusError(f"There is no folder {path.parent} to write {path.name} in. Create it.")


def write_run(
    result: RunResult,
    files: OutputFiles,
    *,
    format: Format | None,
    audio: Audio | None,
    provenance: Mapping[str, Any],
    overwrite: bool,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write all files of a run and return the report. They appear together at the end; a failure leaves none."""
    report = run_report(result)
    chosen = format or format_for(files.restored)
    with _gathered(files.everything(), overwrite=overwrite) as place:
        sound = audio if chosen.kind == "video" else None
        _write_clip(place(files.restored), result.clips["restored"], chosen, sound, provenance)
        _write_clip(place(files.preview), result.clips["restored"], H264, audio, provenance)
        report["preview"] = _survival(result, place(files.preview))
        _write_comparison(place(files.compare), result, progress)
        curves = [(name, result.curves[name]) for name in STAGES]
        plot_curves(curves, title="Motion of the face").save(place(files.curves))
        place(files.report).write_text(json.dumps(report, indent=2) + "\n")
        write_sidecar(place(files.restored), {**provenance, "report": report})
    return report


def _survival(result: RunResult, preview: Path) -> dict[str, Any]:
    """What the playable preview kept of the motion; a lossy codec takes most of it."""
    estimator = estimator_of(result.measured_by)
    reference = result.curves["restored"].reference
    found = motion_survival(result.clips["restored"], open_clip(preview), estimator, reference=reference)
    return survival_report(found)


def survival_report(found: Survival) -> dict[str, float | None]:
    """For ``json.dumps``: None for what is not known or not finite."""
    return {name: value if math.isfinite(value) else None for name, value in asdict(found).items()}


class _Place:
    """Maps a final path to the same name in a temporary folder beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, path: Path) -> Path:
        return self.folder / path.name


@contextlib.contextmanager
def _gathered(files: tuple[Path, ...], *, overwrite: bool) -> Iterator[_Place]:
    """A temporary folder beside the files, whose content is moved to its place when everything is there."""
    for path in files:
        check_free(path, overwrite=overwrite)
    parent = files[0].parent
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix=f".{files[0].stem}.partial-") as folder:
            place = _Place(Path(folder))
            yield place
            for path in files:
                with place(path).open("rb+") as handle:
                    os.fsync(handle.fileno())
            for path in files:
                check_free(path, overwrite=overwrite)
                place(path).replace(path)
    except OSError as error:
        raise MagPlusError(
            f"The results could not be written to {parent} ({error.strerror}). "
            "Check free space and permissions. Nothing was left there."
        ) from error


def _write_clip(path: Path, clip: Clip, format: Format, audio: Audio | None, provenance: Mapping[str, Any]) -> None:
    metadata = {"comment": f"{SYNTHETIC} {json.dumps(provenance['settings'], default=str)}"}
    with ClipWriter(path, rate=clip.info.rate, format=format, audio=audio, metadata=metadata) as writer:
        for chunk in clip.chunks():
            writer.write(chunk)


def _write_comparison(path: Path, result: RunResult, progress: Progress) -> None:
    """Row one as it is; row two with all motion brought to INSPECTION times the micro-motion."""
    magnifier = result.measured_by
    views = {name: _view(result, name) for name in STAGES}
    strength = {
        "input": INSPECTION,
        "magnified": INSPECTION / result.alpha,
        "generated": INSPECTION * result.factor,
        "restored": INSPECTION,
    }
    labels = {**{name: name for name in STAGES}, "magnified": f"magnified, alpha {result.alpha:.3g}"}
    first = [Panel(labels[name], views[name]) for name in STAGES]
    second = []
    for name in STAGES:
        alpha = min(max(strength[name], magnifier.alpha_range.low), magnifier.alpha_range.high)
        frames = magnify(
            views[name], magnifier, alpha=alpha, reference=result.curves[name].reference, stage="inspect",
            progress=progress if name == STAGES[-1] else silent,
        )  # fmt: skip
        second.append(Panel(f"{name}, motion x {alpha:.3g}", frames))
    with ClipWriter(path, rate=result.clips["input"].info.rate, format=H264) as writer:
        for chunk in grid_frames([first, second], panel_height=PANEL_PX):
            writer.write(chunk)


def _view(result: RunResult, name: str) -> Clip:
    """The face of a stage in a square of PANEL_PX, framed alike on both sides."""
    clip = result.clips[name]
    if name in ("input", "magnified"):
        return _resized(result.driver.from_work(clip))
    if clip.info.width == clip.info.height == result.source.crop.size:
        return _resized(CroppedClip(clip, result.source.crop.whole))
    return CroppedClip(clip, result.source.crop.resized(PANEL_PX))


def _resized(view: CroppedClip) -> CroppedClip:
    return CroppedClip(view.clip, view.crop.resized(PANEL_PX))


def run_report(result: RunResult) -> dict[str, Any]:
    """All numbers of a run, ready for JSON."""
    info = result.clips["input"].info
    return {
        "frames": info.count,
        "rate": str(info.rate),
        "alpha": result.alpha,
        "alpha_reason": result.alpha_reason,
        "demagnify_factor": result.factor,
        "loop": comparison_report(result.loop),
        "gain_by_region": None if result.local is None else result.local.by_region(),
        "estimator": result.estimator,
        "curves": {name: curve_report(curve) for name, curve in result.curves.items()},
        "against_input": {name: comparison_report(found) for name, found in result.comparisons.items()},
        "seconds": result.seconds,
    }


def write_picture(path: Path, picture: Image.Image) -> None:
    """Write a picture in one step."""
    _write_whole(path, lambda place: picture.save(place, format=path.suffix.lstrip(".") or "png"))


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step."""
    _write_whole(path, lambda place: place.write_text(text))


def _write_whole(path: Path, write: Any) -> None:
    partial = Partial(path, overwrite=True)
    try:
        partial.begin()
        write(partial.path)
        partial.commit()
    except OSError as error:
        raise MagPlusError(f"{path} could not be written ({error.strerror}). Check space and permissions.") from error
    finally:
        partial.discard()
