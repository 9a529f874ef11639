# SPDX-License-Identifier: Apache-2.0
"""A temporary sibling of what is being written: moved into place when whole, removed when not."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path

from ...models.errors import MagPlusError
from .stills import PATTERN, in_pattern


class Partial:
    """Temporary place ``path`` for a target file, folder or numbered sequence (the last two: a folder of pictures)."""

    def __init__(self, target: Path, *, overwrite: bool) -> None:
        self.target = target
        self.overwrite = overwrite
        self.many = bool(PATTERN.search(target.name)) or target.suffix == ""
        name = target.name.replace("%", "")
        self.path = target.parent / f".{name}.partial-{secrets.token_hex(4)}"
        self._refuse_existing()

    def begin(self) -> None:
        """Make the temporary place. Errors: OSError where the folder cannot be written."""
        if not self.target.parent.is_dir():
            raise MagPlusError(f"There is no folder {self.target.parent} to write {self.target.name} in. Create it.")
        if self.many:
            self.path.mkdir()
        else:
            self.path.touch(exist_ok=False)

    def commit(self) -> None:
        """Move into place. Flushed to the disk first, so that an error of the disk comes before the move."""
        self._refuse_existing()
        for file in self._files():
            with file.open("rb+") as handle:
                os.fsync(handle.fileno())
        if not self.many:
            self.path.replace(self.target)
        elif self.target.suffix == "":
            self._swap_folder()
        else:
            self._move_sequence()

    def discard(self) -> None:
        """Remove the temporary place, whatever is in it."""
        with contextlib.suppress(OSError):
            if self.many:
                shutil.rmtree(self.path, ignore_errors=True)
            else:
                self.path.unlink()

    def _files(self) -> list[Path]:
        return sorted(self.path.iterdir()) if self.many else [self.path]

    def _old(self) -> list[Path]:
        """What stands in the way of the target."""
        if PATTERN.search(self.target.name):
            try:
                return in_pattern(self.target)[0]
            except MagPlusError:
                return []
        if self.many and self.target.is_dir():
            return sorted(self.target.iterdir())
        return [self.target] if self.target.exists() or self.target.is_symlink() else []

    def _refuse_existing(self) -> None:
        try:
            old = self._old()
        except OSError as error:
            raise MagPlusError(f"{self.target} cannot be reached ({error.strerror}). Choose another folder.") from error
        if old and not self.overwrite:
            raise MagPlusError(f"{self.target} exists already. Choose another name, or allow overwriting.")
        if not self.many and self.target.is_dir():
            raise MagPlusError(f"{self.target} is a folder. Choose another name.")
        if self.many and self.target.is_file():
            raise MagPlusError(f"{self.target} is a file, a folder of frames is to be written. Choose another name.")
        if self.many and self.target.is_dir() and any(not _ours(file) for file in old):
            raise MagPlusError(f"{self.target} holds more than frames, so it is not replaced. Choose another folder.")

    def _swap_folder(self) -> None:
        """Put the new folder where the old one was; the old one goes last, and comes back if the move fails."""
        aside = self.path.with_name(self.path.name + "-old")
        if self.target.is_dir():
            self.target.rename(aside)
        try:
            self.path.rename(self.target)
        except OSError:
            if aside.exists():
                aside.rename(self.target)
            raise
        shutil.rmtree(aside, ignore_errors=True)

    def _move_sequence(self) -> None:
        fresh = {file.name for file in self._files()}
        old = self._old()
        for file in self._files():
            file.replace(self.target.parent / file.name)
        for file in old:
            if file.name not in fresh:
                file.unlink(missing_ok=True)
        self.path.rmdir()


def _ours(file: Path) -> bool:
    """Whether a file of a folder is a frame that a sequence writer made."""
    return file.is_file() and file.name.startswith("frame_") and file.suffix == ".png"
