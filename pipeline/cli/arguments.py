# SPDX-License-Identifier: Apache-2.0
"""Arguments that several commands share, and what they are turned into."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import torch

from ...models.catalog import BACKBONES
from ...models.checkpoint import Checkpoint
from ...models.contracts import AnimationBackbone, FlowEstimator, Magnifier
from ...models.errors import MagPlusError
from ...models.geometry import FaceBox
from ...models.guides import Given, read_guides
from ...models.registry import BUILTIN, load_backbone, load_estimator, load_magnifier
from ..clip import Clip, TensorClip
from ..face.anatomy import REGIONS, FaceMap
from ..face.box import box_from_mask, parse_box
from ..face.find import steady_face
from ..face.frame import check_one_size
from ..face.regions import RegionStrengths, known_face, parse_regions
from ..log import log
from ..measure import SPLINE_FIT
from ..media import FORMATS, ClipWriter, FileClip, open_clip, read_array, read_image, read_mask
from ..media.stills import SUFFIXES as PICTURES
from ..motion.band import Band
from ..motion.loop import GAINS
from ..motion.masks import Mask
from ..outputs import check_free

DETECTOR_FILES = Path("models/magplus")
"""Where the file of a face detector is looked for, as the nodes do."""


class Parser(argparse.ArgumentParser):
    """A parser whose complaints take one line, like all others of this program."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"magplus: {message} (see {self.prog} --help)\n")


def add_input(parser: Parser, flag: str, what: str) -> None:
    """A clip: a video, a still, a folder or pattern of pictures, or .npy; and the part of it to use."""
    parser.add_argument(flag, required=True, metavar="CLIP", dest="input", help=what)
    parser.add_argument("--start", metavar="N", help="first frame, counted from 0, or a time such as 1.5s")
    parser.add_argument("--stop", metavar="N", help="frame or time before which to stop")
    parser.add_argument("--rate", metavar="FPS", help="frames per second of pictures and arrays: 200, 30000/1001")


def add_output(parser: Parser, *, required: bool = True) -> None:
    """Where to write, and how."""
    parser.add_argument(
        "--out",
        required=required,
        metavar="FILE",
        help=".mkv lossless, .mp4 to share, .npy unrounded, .png or a folder for 16-bit pictures",
    )
    parser.add_argument("--format", choices=sorted(FORMATS), help="instead of the one that the file name stands for")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument("--check", action="store_true", help="decode the result and say how much of the motion it kept")


def add_resume(parser: Parser) -> None:
    """Whether a cancelled run leaves what it has done."""
    parser.add_argument(
        "--resume",
        action="store_true",
        help="work in lossless parts beside --out: a cancelled run keeps them, and the same command goes on with them",
    )


def add_magnifier(parser: Parser) -> None:
    """Which magnifier."""
    parser.add_argument("--magnifier", default=BUILTIN, metavar="FILE", help=f"a weights file (default: {BUILTIN})")
    parser.add_argument(
        "--magnifier-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="option of the magnifier, such as precision=bfloat16; repeat for several",
    )


def add_estimator(parser: Parser, what: str = "measures the motion", default: str = SPLINE_FIT.name) -> None:
    """Which optical flow."""
    parser.add_argument("--estimator", metavar="FILE", help=f"RAFT or ARFlow, which {what} (default: {default})")


def add_reference(parser: Parser, *, best: bool = False, calmest: bool = False) -> None:
    """Which frame is the neutral one; with ``best`` the backbone may be asked, with ``calmest`` the clip."""
    words = ["best"] * best + ["calmest"] * calmest
    told = {
        "best": ", or best: the one whose keypoints are nearest to the portrait's",
        "calmest": ", or calmest: the one whose motion is nearest to the clip's median",
    }

    def frame(text: str) -> int | str:
        return text if text in words else int(text)

    parser.add_argument(
        "--reference",
        type=frame,
        default=0,
        metavar="N",
        help="neutral frame, counted from 0 (default: 0)" + "".join(told[word] for word in words),
    )


def add_strength(parser: Parser) -> None:
    """De-magnification inside the backbone."""
    parser.add_argument(
        "--motion-strength",
        type=float,
        default=1.0,
        metavar="X",
        help="scale of the motion in the backbone's own space: 1 as it is, 1/alpha undoes the magnification there",
    )


def add_backbone(parser: Parser) -> None:
    """Which frozen generator, with its files and options."""
    parser.add_argument("--backbone", default="flow", choices=sorted(BACKBONES), help="frozen generator (flow)")
    parser.add_argument(
        "--weights", action="append", default=[], metavar="FILE", help="weights of the backbone; repeat for several"
    )
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="option of the backbone; repeat for several"
    )
    parser.add_argument(
        "--guide",
        action="append",
        default=[],
        metavar="NAME=FILE|WORD",
        help="what the backbone needs beyond pixels: landmarks (.npy), a mask (a picture); repeat for several",
    )


def guides_from(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the user gave, by name."""
    given: dict[str, Given] = {}
    for text in arguments.guide:
        name, equals, value = text.partition("=")
        if not equals:
            raise MagPlusError(f"--guide {text}: give NAME=FILE.npy, NAME=PICTURE, or NAME=WORD.")
        given[name] = _given(value)
    return read_guides(BACKBONES[arguments.backbone].guides, given, of=f"Backbone '{arguments.backbone}'")


def _given(value: str) -> Given:
    """A file's content, or the word itself."""
    if value.endswith(".npy"):
        return read_array(Path(value))
    return read_mask(value).numpy() if Path(value).suffix.lower() in PICTURES else value


def add_face(parser: Parser, side: str) -> None:
    """Where the face of one side is."""
    parser.add_argument(
        f"--{side}-box",
        metavar="X,Y,W,H[,ANGLE]",
        help=f"face of the {side} in px, angle in degrees clockwise; or auto, with a face detector on this machine",
    )
    parser.add_argument(f"--{side}-mask", metavar="FILE", help=f"picture with the {side}'s face in white")


def add_landmarks(parser: Parser, side: str) -> None:
    """Where the parts of the face of one side are."""
    parser.add_argument(
        f"--{side}-landmarks",
        metavar="FILE.npy",
        help=f"MediaPipe's face mesh on the {side}, (478, 2) in px or one per frame: where its parts are, and percent "
        "of the distance of the eyes; without it they are where an average face of the box has them",
    )


def clip_from(arguments: argparse.Namespace, path: str | None = None) -> FileClip:
    """The input clip, with its remarks shown."""
    (start, start_s), (stop, stop_s) = _place(arguments.start, "--start"), _place(arguments.stop, "--stop")
    clip = open_clip(
        path or arguments.input, start=start, stop=stop, start_s=start_s, stop_s=stop_s, rate=_rate(arguments.rate)
    )
    for note in clip.notes:
        log.info("%s: %s", clip.info.name, note)
    return clip


def moving_clip_from(arguments: argparse.Namespace) -> FileClip:
    """The input clip, which must have at least two frames and hold the reference."""
    clip = clip_from(arguments)
    if clip.info.count == 1:
        raise MagPlusError(f"{clip.info.name} has a single frame; motion needs at least two. Give a clip.")
    if isinstance(arguments.reference, int):
        clip.frame(arguments.reference)
    return clip


def _place(text: str | None, flag: str) -> tuple[int | None, Fraction | None]:
    try:
        if text is None:
            return None, None
        return (None, Fraction(text[:-1])) if text.endswith("s") else (int(text), None)
    except ValueError:
        raise MagPlusError(f"{flag} {text}: give a frame number, or a time in seconds such as 1.5s.") from None


def _rate(text: str | None) -> Fraction | None:
    try:
        rate = None if text is None else Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate is not None and rate <= 0:
        raise MagPlusError(f"--rate {text}: give frames per second, such as 25, 200 or 30000/1001.")
    return rate


def writer_for(arguments: argparse.Namespace, clip: FileClip, metadata: dict[str, str]) -> ClipWriter:
    """Writer for the result of a clip: its rate, and its sound where the format can hold it."""
    chosen = FORMATS[arguments.format] if arguments.format else None
    writer = ClipWriter(
        arguments.out, rate=clip.info.rate, format=chosen, metadata=metadata, overwrite=arguments.overwrite
    )
    if writer.format.kind == "video":
        writer.audio = clip.audio
    elif clip.audio is not None:
        log.info("%s: the sound is left out, %s cannot hold it", writer.path.name, writer.format.name)
    return writer


def backbone_from(arguments: argparse.Namespace) -> tuple[AnimationBackbone, list[Path]]:
    """The backbone, and its weight files."""
    options = _options("--option", arguments.option)
    backbone, checkpoints = load_backbone(arguments.backbone, arguments.weights, options)
    return backbone, [checkpoint.path for checkpoint in checkpoints]


def magnifier_from(arguments: argparse.Namespace) -> tuple[Magnifier, Checkpoint | None]:
    """The magnifier, and the file it came from."""
    return load_magnifier(arguments.magnifier, _options("--magnifier-option", arguments.magnifier_option))


def _options(flag: str, texts: list[str]) -> dict[str, str]:
    options = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise MagPlusError(f"{flag} {text}: give KEY=VALUE.")
        options[key] = value
    return options


def estimator_from(arguments: argparse.Namespace) -> tuple[FlowEstimator, list[Path]]:
    """What measures the motion, and its file if it has one."""
    if arguments.estimator is None:
        return SPLINE_FIT, []
    estimator, checkpoint = load_estimator(arguments.estimator)
    return estimator, [checkpoint.path]


def face_from(arguments: argparse.Namespace, side: str, clip: Clip) -> FaceBox | None:
    """Face box of one side, from its box or its mask, or None; ``auto`` looks for it in the clip."""
    box, mask = getattr(arguments, f"{side}_box"), getattr(arguments, f"{side}_mask")
    if box and mask:
        raise MagPlusError(f"Give --{side}-box or --{side}-mask, not both.")
    if box == "auto":
        return steady_face(clip, yunet_files=sorted(DETECTOR_FILES.glob("*.onnx")))
    if box:
        return parse_box(box)
    return None if mask is None else box_from_mask(read_mask(mask))


def known_face_from(arguments: argparse.Namespace, side: str, clip: Clip) -> tuple[FaceBox | None, FaceMap | None]:
    """Box and parts of the face of one side, from its box, mask or landmarks; None for both without any."""
    path, box = getattr(arguments, f"{side}_landmarks"), face_from(arguments, side, clip)
    landmarks = None if path is None else _mesh_from(Path(path))
    return known_face(box, landmarks, count=clip.info.count or 1, reference=arguments.reference)


def _mesh_from(path: Path) -> Any:
    """An array in the form in which ComfyUI's MediaPipe node tells a face mesh."""
    points = read_array(path)
    frames = points if points.ndim == 3 else points[None]
    return {"frames": [[{"landmarks_xy": mesh}] for mesh in frames]}


def pictures_from(paths: Sequence[str]) -> TensorClip:
    """Source pictures, which must have one size, as the frames of a clip."""
    pictures = [read_image(path) for path in paths]
    check_one_size(pictures)
    return TensorClip(torch.stack(pictures), name="portrait")


def add_regions(parser: argparse._ActionsContainer) -> None:
    """A strength for each part of the driving face."""
    parser.add_argument(
        "--regions",
        metavar="REGION=A,...",
        help=f"instead of --alpha a factor for each part of the face ({', '.join(REGIONS)}), as in brows=12,mouth=4; "
        "outside=A for the rest (1, unchanged)",
    )


def add_still_head(parser: Parser, what: str) -> None:
    """Whether the head's motion is taken out first."""
    parser.add_argument("--still-head", action="store_true", help=f"take the head's own motion out first{what}")


def add_gain(parser: Parser, where: str = "") -> None:
    """What the closed loop undoes."""
    words = f"{where}undo the measured gain of the whole face (default), or of each part of it"
    parser.add_argument("--gain", choices=GAINS, default="face", help=words)


def add_evidence(parser: Parser, curves: str, table: str) -> None:
    """Picture and table beside the JSON on stdout."""
    parser.add_argument("--plot", metavar="FILE.png", help=f"draw {curves}")
    parser.add_argument("--csv", metavar="FILE.csv", help=f"write {table} as a table")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def evidence_from(arguments: argparse.Namespace) -> dict[str, Path]:
    """Where "plot" and "csv" go, of those that were asked for."""
    targets = {flag: Path(name) for flag in ("plot", "csv") if (name := getattr(arguments, flag))}
    for target in targets.values():
        check_free(target, overwrite=arguments.overwrite)
    return targets


def regions_from(arguments: argparse.Namespace) -> RegionStrengths | None:
    """Strengths of regions, or None."""
    return None if arguments.regions is None else parse_regions(arguments.regions)


def alpha_from(text: str) -> float | None:
    """A factor, or None for ``auto``."""
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError:
        raise MagPlusError(f"--alpha {text}: give a number, or auto.") from None


def band_from(text: str | None) -> Band | None:
    """A band of frequencies in Hz, or None."""
    if text is None:
        return None
    low, _, high = text.partition(",")
    try:
        return Band(low_hz=float(low or 0), high_hz=float(high) if high else None)
    except ValueError:
        raise MagPlusError(f"--band {text}: give LOW,HIGH in Hz, such as 2,8.") from None


def mask_from(path: str | None) -> Mask | None:
    """A mask ``(H, W)`` of a picture, a clip of masks, or None."""
    if path is None:
        return None
    clip = open_clip(path)
    return read_mask(path) if clip.info.count == 1 else clip
