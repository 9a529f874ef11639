# SPDX-License-Identifier: Apache-2.0
"""What every magnifier refuses."""

from __future__ import annotations

from torch import Tensor

from .errors import MagPlusError


def check_picture(picture: Tensor) -> None:
    """Refuse what is not one RGB picture of at least 16 x 16 px."""
    if picture.ndim != 3 or picture.shape[0] != 3:
        raise MagPlusError(f"A reference must be one RGB picture (3, H, W); this one has shape {tuple(picture.shape)}.")
    if min(picture.shape[-2:]) < 16:
        height, width = picture.shape[-2:]
        raise MagPlusError(f"A picture of {width} x {height} px is too small: at least 16 x 16 px are needed.")


def check_same_size(reference: Tensor, frames: Tensor) -> None:
    """Refuse frames of another size than their reference."""
    if frames.shape[-2:] != reference.shape[-2:]:
        raise MagPlusError(
            f"Frames of {frames.shape[-1]} x {frames.shape[-2]} px do not fit a reference of "
            f"{reference.shape[-1]} x {reference.shape[-2]} px. Give a reference from the same clip."
        )
