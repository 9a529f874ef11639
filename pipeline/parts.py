# SPDX-License-Identifier: Apache-2.0
"""A clip that is made in parts: whoever cancels it, or loses power, goes on where it stopped.

The parts are lossless files of a few seconds in a folder ``NAME.parts-<digest>`` beside the result. The digest is of
everything that the pixels depend on, so that other settings have a folder of their own and never mix with these.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..models.errors import MagPlusError
from .clip import CHUNK, ClipInfo, check_index
from .log import log
from .media import FFV1, FFV1_8BIT, ClipWriter, Format, open_clip, write_sidecar
from .media.audio import Audio
from .media.join import join
from .progress import Progress, silent, ticking

FRAMES = 32
"""Of a part, or a few more where the chunks do not fit: what a cancelled run may lose, at most."""

_NOTE = "Unfinished: parts of a clip. Run the same again to go on, or delete this folder to give it up."

_ALWAYS = {"note", "digest", "facts", "complete"}
"""What a record holds from the beginning; all else was worked for."""

Kept = TypeVar("Kept", float, str)


def lossless_for(format: Format) -> Format:
    """What the parts of a clip of this format are written in."""
    if format.kind == "array":
        raise MagPlusError("Parts hold 16 bit per channel, .npy promises more. Choose ffv1, or work without parts.")
    return FFV1_8BIT if format is FFV1_8BIT else FFV1


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The folder of an unfinished clip. A part has its final name only when it is whole and on the disk."""

    folder: Path
    rate: Fraction
    format: Format

    @classmethod
    def beside(cls, place: Path, facts: Mapping[str, Any], *, rate: Fraction, format: Format) -> Parts:
        """Parts of a clip at ``place`` in ``format``, new or left there by a run with the same ``facts``."""
        inside = lossless_for(format)
        facts = {**facts, "rate": str(rate), "format": inside.name}
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
        parts = cls(folder=place.with_name(f"{place.name}.parts-{digest[:16]}"), rate=rate, format=inside)
        others = [f.name for f in place.parent.glob(f"{place.name}.parts-*") if f != parts.folder]
        if others:
            log.info("parts of other settings are left alone: %s", ", ".join(sorted(others)))
        try:
            parts.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise MagPlusError(f"{parts.folder} cannot be made ({error.strerror}). Check the folder.") from error
        if parts._record().setdefault("digest", digest) != digest:
            raise MagPlusError(f"{parts.folder} belongs to other settings. Delete it, or choose another name.")
        parts._note(digest=digest, facts=facts)
        return parts

    @property
    def files(self) -> dict[int, Path]:
        """Finished parts by the number of their first frame."""
        return {int(file.stem): file for file in sorted(self.folder.glob("[0-9]*.mkv"))}

    @property
    def count(self) -> int:
        """Frames in the parts that follow each other from the first frame on."""
        last = max(self.files, default=None)
        return 0 if last is None else last + (open_clip(self.files[last]).info.count or 0)

    def once(self, name: str, compute: Callable[[], Kept]) -> Kept:
        """A number or word that was found for this clip, computed where it was not yet."""
        if name not in self._record():
            with self._leaving_nothing_empty():
                self._note(**{name: compute()})
        found: Kept = self._record()[name]
        return found

    def fill(self, chunks_from: Callable[[int], Iterator[Tensor]]) -> int:
        """Write what is missing: ``chunks_from(k)`` gives the chunks from frame k on. Returns how many were there."""
        self._drop_after_a_gap()
        there = self.count
        if self._record().get("complete"):
            return there
        if there:
            log.info("%s: going on at frame %d", self.folder.name, there)
        with self._leaving_nothing_empty():
            self._write(iter(chunks_from(there)), there)
        self._note(complete=True)
        return there

    @contextlib.contextmanager
    def _leaving_nothing_empty(self) -> Iterator[None]:
        """Tell what a cancelled run keeps; where that is nothing, the folder goes."""
        try:
            yield
        except BaseException:
            if self.files or set(self._record()) - _ALWAYS:
                kept = f"{self.count} frames are kept in {self.folder}"
                log.warning("unfinished: %s. Run the same again to go on.", kept)
            else:
                self.discard()
            raise

    def _write(self, chunks: Iterator[Tensor], first: int) -> None:
        while (chunk := next(chunks, None)) is not None:
            with ClipWriter(self.folder / f"{first:07}.mkv", rate=self.rate, format=self.format) as writer:
                while chunk is not None:
                    writer.write(chunk)
                    chunk = next(chunks, None) if writer.count < FRAMES else None
            first += writer.count

    def _drop_after_a_gap(self) -> None:
        """A part that somebody deleted is made again, and all after it: parts follow each other without a break."""
        expected = 0
        for first, file in self.files.items():
            if first != expected:
                file.unlink()
                self._note(complete=False)
                continue
            follows = first + FRAMES
            expected = follows if follows in self.files else first + (open_clip(file).info.count or 0)

    def finish(
        self,
        target: Path,
        *,
        format: Format,
        audio: Audio | None = None,
        metadata: Mapping[str, str] | None = None,
        overwrite: bool = False,
        progress: Progress = silent,
    ) -> int:
        """All parts as one clip. FFV1 is joined packet by packet, another format is encoded from the lossless parts."""
        clip = self.clip()
        about: dict[str, Any] = {"rate": self.rate, "metadata": metadata, "overwrite": overwrite}
        if format is self.format:
            total = clip.info.count
            return join(
                list(self.files.values()), target, audio=audio, tick=lambda done: progress("join", done, total), **about
            )
        sound = audio if format.kind == "video" else None
        with ClipWriter(target, format=format, audio=sound, **about) as writer:
            for chunk in ticking(clip, "save", progress):
                writer.write(chunk)
        return writer.count

    def clip(self, device: torch.device | None = None) -> PartsClip:
        """The parts as a clip, on the CPU or another device."""
        files = self.files
        if not files:
            raise MagPlusError(f"{self.folder} holds no finished part.")
        first = open_clip(files[0]).info
        info = ClipInfo(height=first.height, width=first.width, rate=self.rate, count=self.count, name="parts")
        return PartsClip(info=info, files=files, device=device or torch.device("cpu"))

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _record(self) -> dict[str, Any]:
        file = self.folder / "parts.json"
        try:
            found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        except (OSError, ValueError) as error:
            raise MagPlusError(f"{file} cannot be read ({error}). Delete the folder to begin anew.") from error
        return found

    def _note(self, **values: Any) -> None:
        write_sidecar(self.folder / "parts", {**self._record(), "note": _NOTE, **values})


@dataclass(frozen=True, kw_only=True)
class PartsClip:
    """Finished parts, by the number of their first frame, as a clip."""

    info: ClipInfo
    files: Mapping[int, Path]
    device: torch.device

    def chunks(self, size: int = CHUNK) -> Iterator[Tensor]:
        """All frames in order, ``(n, 3, H, W)``."""
        yield from self.chunks_from(0, size)

    def chunks_from(self, first: int, size: int = CHUNK) -> Iterator[Tensor]:
        """Those from frame ``first`` on. A part begins a chunk."""
        starts = [*self.files, self.info.count or 0]
        for (start, file), end in zip(self.files.items(), starts[1:], strict=True):
            if end > first:
                yield from (chunk.to(self.device) for chunk in open_clip(file).chunks_from(max(0, first - start), size))

    def frame(self, index: int) -> Tensor:
        """One frame ``(3, H, W)``."""
        check_index(index, self.info.count or 0, self.info.name)
        first = max(start for start in self.files if start <= index)
        return open_clip(self.files[first]).frame(index - first).to(self.device)
