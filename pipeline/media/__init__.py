# SPDX-License-Identifier: Apache-2.0
"""Reading and writing clips, pictures and sound, and what survives of a motion on the way."""

from .arrays import read_array
from .audio import Audio, AudioBuffer, AudioTrack, open_audio
from .formats import FFV1, FFV1_8BIT, FORMATS, H264, H264_444, JPEG, NPY, PNG, PNG16, Format, format_for
from .kept import kept_by
from .provenance import SYNTHETIC, provenance, sha256, write_sidecar
from .reader import FileClip, open_clip
from .stills import read_image, read_mask
from .survival import Survival, motion_survival
from .timing import exact_rate
from .writer import ClipWriter

__all__ = [
    "FFV1",
    "FFV1_8BIT",
    "FORMATS",
    "H264",
    "H264_444",
    "JPEG",
    "NPY",
    "PNG",
    "PNG16",
    "SYNTHETIC",
    "Audio",
    "AudioBuffer",
    "AudioTrack",
    "ClipWriter",
    "FileClip",
    "Format",
    "Survival",
    "exact_rate",
    "format_for",
    "kept_by",
    "motion_survival",
    "open_audio",
    "open_clip",
    "provenance",
    "read_array",
    "read_image",
    "read_mask",
    "sha256",
    "write_sidecar",
]
