# SPDX-License-Identifier: Apache-2.0
"""Files that users take for one of ours: models of the same family whose weights do not fit.

Recognised by the names of their parts, as their public repositories save them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LookAlike:
    """A file that the pack has no use for. Every one of ``parts`` begins some key of its files."""

    name: str
    parts: tuple[str, ...]
    advice: str = ""
    """What to give instead, where the pack has something close to it."""


LOOK_ALIKES = (
    LookAlike(name="Thin-Plate Spline Motion Model", parts=("inpainting_network.",)),
    LookAlike(name="Articulated Animation", parts=("region_predictor.",)),
    LookAlike(name="co-part segmentation (part swap)", parts=("segmentation_module.",)),
    LookAlike(name="MRFA (motion refinement)", parts=("dense_motion.", "encoder.")),
    LookAlike(
        name="the keypoint detector of FOMM without its generator",
        parts=("jacobian.", "predictor."),
        advice="FOMM takes its whole file (vox-cpk or vox-adv-cpk), FSRT its own kp_detector.pt, which has no "
        "jacobian.",
    ),
    LookAlike(name="face-vid2vid", parts=("he_estimator.",)),
)


def look_alike(keys: Iterable[str]) -> LookAlike | None:
    """The one whose file this is, if any."""
    keys = list(keys)
    for candidate in LOOK_ALIKES:
        if all(any(key.startswith(part) for key in keys) for part in candidate.parts):
            return candidate
    return None
