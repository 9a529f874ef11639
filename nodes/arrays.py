# SPDX-License-Identifier: Apache-2.0
"""Arrays of the input folder, which a node may do without."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ..pipeline.media import read_array
from . import convert, host
from .host import io

NO_FILE = "none"


def array_input(id: str, what: str) -> Any:
    """A choice of an array, or of none."""
    arrays = [name for name in host.input_files() if name.endswith(".npy")]
    return io.Combo.Input(id, options=[NO_FILE, *arrays], default=NO_FILE, tooltip=f"{what} 'none' leaves it open.")


def array_of(name: str) -> NDArray[Any]:
    """The array of a name that is not `NO_FILE`."""
    return read_array(host.input_path(name))


def fingerprint_arrays(*names: str) -> str:
    """Changes when one of the files is written anew."""
    return " ".join(convert.fingerprint(host.input_path(name)) for name in names if name != NO_FILE)
