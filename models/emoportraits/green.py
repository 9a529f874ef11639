# SPDX-License-Identifier: Apache-2.0
"""The pure green background of the generated pictures, taken out."""

from __future__ import annotations

import torch
from torch import Tensor

FACE, BACKGROUND = 0.03, 0.95
"""How much greener than red and blue a pixel is: at most so much in a face, at least so much in the background."""

_FAINTEST = 1 / 16
"""Coverage below which a pixel's own colour is not worth telling apart."""


def cut_out(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures ``(N, 3, H, W)`` without green, and their coverage ``(N, H, W)`` in [0, 1].

    A pixel of the edge is coverage x face + (1 - coverage) x (0, 1, 0); what is given is the face's part, so that laid
    over another background it leaves no green seam. Coverage is linear in the colour in between: an edge that moves by
    a fraction of a pixel moves by as much in the mask.
    """
    red, green, blue = pictures.unbind(1)
    excess = green - torch.maximum(red, blue)
    coverage = ((BACKGROUND - excess) / (BACKGROUND - FACE)).clamp(0, 1)
    share = coverage.clamp(min=_FAINTEST)
    red, blue = red / share, blue / share
    # Skin is redder than green, so its coverage is a little overestimated: what is left is as green as a face at most.
    green = torch.minimum((green - (1 - coverage)) / share, torch.maximum(red, blue) + FACE)
    return torch.stack([red, green, blue], dim=1).clamp(0, 1), coverage
