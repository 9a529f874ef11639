# SPDX-License-Identifier: Apache-2.0
"""Each stage of the main job alone."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from torch import Tensor

from ...models.catalog import BACKBONES
from ...models.contracts import Magnifier
from ...models.errors import MagPlusError
from ...models.geometry import FaceBox
from ...models.registry import load_magnifier, needs_displacement
from ..clip import Clip, SpooledClip
from ..face.anatomy import FaceMap
from ..face.crop import CroppedClip
from ..face.frame import frame_side, frame_sources
from ..face.guides import place_guides
from ..face.head import StillClip, measure_head, restored
from ..face.regions import within_face
from ..face.sides import Sides
from ..log import log
from ..long_clip import LongMagnification
from ..media import SYNTHETIC, FileClip, motion_survival, open_clip, provenance, write_sidecar
from ..motion.animate import animate, resolve_reference
from ..motion.auto import Evidence, calmest, choose, restore
from ..motion.encoded import EncodedSources
from ..motion.fitting import fitting
from ..motion.gauge import MotionGauge
from ..motion.magnify import check_alpha, estimator_of, magnify
from ..outputs import check_free, survival_report
from . import arguments as shared
from .arguments import Parser
from .console import ProgressBar


def add_commands(commands: argparse._SubParsersAction[Parser]) -> None:
    """Declare ``magnify``, ``animate`` and ``demagnify``."""
    _add_magnify(commands.add_parser("magnify", help="enlarge the motion of a clip"))
    _add_animate(commands.add_parser("animate", help="let a portrait move as a clip does"))
    _add_demagnify(commands.add_parser("demagnify", help="scale the motion of a generated clip back"))


def _add_magnify(parser: Parser) -> None:
    shared.add_input(parser, "--in", "clip to magnify")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--alpha", metavar="A", help="factor, or auto for a target size of the motion")
    shared.add_regions(how)
    parser.add_argument(
        "--mask", metavar="FILE", help="picture, or clip with one per frame: white is magnified, black left as it is"
    )
    parser.add_argument(
        "--grow-mask", type=_pixels, default=0, metavar="PX", help="spread the mask by so many px (city-block distance)"
    )
    parser.add_argument(
        "--band",
        metavar="LOW,HIGH",
        help="magnify only motion of these frequencies in Hz; 0,HIGH or LOW, leave one end open",
    )
    shared.add_face(parser, "driver")
    shared.add_still_head(parser, ", and let it move again as it did afterwards")
    shared.add_magnifier(parser)
    shared.add_reference(parser, calmest=True)
    shared.add_output(parser)
    shared.add_resume(parser)
    parser.set_defaults(command=magnify_command)


def _pixels(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text}: give a whole number of px, 0 or more.")
    return int(text)


def magnify_command(arguments: argparse.Namespace) -> None:
    """Clip in, magnified clip out, at its own size."""
    clip, bar = shared.moving_clip_from(arguments), ProgressBar()
    magnifier, checkpoint = shared.magnifier_from(arguments)
    regions, alpha = shared.regions_from(arguments), shared.alpha_from(arguments.alpha or "auto")
    box = _settle_reference(arguments, clip, magnifier, bar)
    if box is None and (regions is not None or arguments.still_head):
        raise MagPlusError("--regions and --still-head need to know where the face is. Give --driver-box.")
    if arguments.resume:
        _magnify_in_parts(arguments, clip, magnifier, box, [checkpoint.path] if checkpoint else [])
        return
    head = None
    view: Clip = clip
    if arguments.still_head and box is not None:
        head = measure_head(clip, box, reference=arguments.reference, progress=bar)
        view = StillClip(clip, head)
    factors: float | Tensor
    if regions is not None and box is not None:
        factors = regions.alpha_map(FaceMap.from_box(box), (clip.info.height, clip.info.width))
        alpha = regions.strongest
    else:
        about: Any = {"magnifier": magnifier, "reference": arguments.reference, "progress": bar}
        target = BACKBONES["flow"].target_pct_face
        alpha = factors = choose(view, box, target_pct_face=target, **about) if alpha is None else alpha
        if head is not None and box is not None:
            factors = within_face(alpha, box, (clip.info.height, clip.info.width))
    check_alpha(alpha, magnifier.alpha_range)
    gauge = MotionGauge(clip.info, box, reference=arguments.reference)
    chunks = magnify(
        view,
        magnifier,
        watch=gauge,
        alpha=factors,
        reference=arguments.reference,
        mask=shared.mask_from(arguments.mask),
        grow_mask_px=arguments.grow_mask,
        band=shared.band_from(arguments.band),
        progress=bar,
    )
    settings: dict[str, Any] = {"alpha": alpha} | ({} if regions is None else {"regions": str(regions)})
    if arguments.band is not None:
        settings["band_hz"] = arguments.band
    if head is not None:
        chunks = restored(chunks, head, original=clip, progress=bar)
        settings["still_head"] = head.report()
    with gauge:
        _write(arguments, clip, chunks, settings, weights=[checkpoint.path] if checkpoint else [])
        gauge.told(warn=arguments.alpha != "auto")


def _magnify_in_parts(
    arguments: argparse.Namespace, clip: FileClip, magnifier: Magnifier, box: FaceBox | None, weights: list[Path]
) -> None:
    """The same in parts that survive a cancelled run."""
    if arguments.still_head or arguments.band is not None:
        raise MagPlusError("--resume works frame by frame; --still-head and --band look at the whole clip. Leave one.")
    if arguments.check:
        raise MagPlusError("--check reads the frames once more, which --resume does not keep. Leave one.")
    regions, alpha = shared.regions_from(arguments), shared.alpha_from(arguments.alpha or "auto")
    size, bar = (clip.info.height, clip.info.width), ProgressBar()
    job = LongMagnification(
        file=clip,
        magnifier=magnifier,
        alpha=alpha if regions is None or box is None else regions.alpha_map(FaceMap.from_box(box), size),
        target_pct_face=BACKBONES["flow"].target_pct_face,
        box=box,
        reference=arguments.reference,
        mask=shared.mask_from(arguments.mask),
        grow_mask_px=arguments.grow_mask,
    )
    writer = shared.writer_for(arguments, clip, {})
    check_free(Path(f"{writer.path}.json"), overwrite=arguments.overwrite)
    work = job.work(writer.path, writer.format, bar)
    settings = {"command": arguments.name, "reference": arguments.reference, **work.told}
    settings |= {} if regions is None else {"regions": str(regions)}
    record = provenance(inputs=[arguments.input], weights=weights, settings=settings)
    about: Any = {"format": writer.format, "audio": writer.audio, "overwrite": arguments.overwrite, "progress": bar}
    count = work.deliver(writer.path, record=record, **about)
    log.info("%s: %d frames", writer.path, count)


def _settle_reference(
    arguments: argparse.Namespace, clip: FileClip, magnifier: Magnifier, bar: ProgressBar
) -> FaceBox | None:
    """The face in the reference frame, which is looked for first if that was asked for."""
    if arguments.reference == "calmest":
        arguments.reference = 0
        arguments.reference = calmest(
            clip, shared.face_from(arguments, "driver", clip), magnifier=magnifier, progress=bar
        )
    return shared.face_from(arguments, "driver", clip)


def _add_animate(parser: Parser) -> None:
    shared.add_input(parser, "--driver", "clip that drives")
    parser.add_argument("--source", action="append", required=True, metavar="PICTURE", help="portrait; repeatable")
    shared.add_backbone(parser)
    shared.add_face(parser, "driver")
    shared.add_face(parser, "source")
    shared.add_reference(parser, best=True)
    shared.add_strength(parser)
    shared.add_output(parser)
    parser.set_defaults(command=animate_command)


def animate_command(arguments: argparse.Namespace) -> None:
    """Driving clip and portrait in, generated clip out, framed as the backbone asks."""
    clip, bar = shared.moving_clip_from(arguments), ProgressBar()
    backbone, weights = shared.backbone_from(arguments)
    backbone = EncodedSources.once(fitting(backbone, progress=bar))
    size = (clip.info.height, clip.info.width)
    driver = frame_side("driving clip", size, shared.face_from(arguments, "driver", clip), backbone.framing)
    pictures = shared.pictures_from(arguments.source)
    face = shared.face_from(arguments, "source", pictures)
    source, crops = frame_sources(list(pictures.frames), face, backbone.framing)
    guides = place_guides(
        shared.guides_from(arguments),
        backbone,
        driving=(driver, size),
        source=(source, (pictures.info.height, pictures.info.width)),
    )
    cropped = CroppedClip(clip, driver.crop)
    arguments.reference = resolve_reference(arguments.reference, backbone, crops, cropped, guides=guides, progress=bar)
    results = animate(
        backbone,
        crops,
        cropped,
        reference=arguments.reference,
        motion_strength=arguments.motion_strength,
        guides=guides,
        progress=bar,
    )
    settings = {
        "backbone": arguments.backbone,
        "options": arguments.option,
        "guides": arguments.guide,
        "motion_strength": arguments.motion_strength,
    }
    chunks = (result.frames for result in results)
    _write(arguments, clip, chunks, settings, inputs=arguments.source, weights=weights)


def _add_demagnify(parser: Parser) -> None:
    shared.add_input(parser, "--in", "generated clip")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--alpha", type=float, metavar="A", help="magnification to undo: motion is divided by it")
    how.add_argument("--like", metavar="CLIP", help="original clip whose motion size is measured and restored")
    parser.add_argument("--intensity", type=float, default=1.0, metavar="X", help="1 as in the original, 0 to 10")
    parser.add_argument("--pixels", choices=["generated", "source"], default="generated")
    parser.add_argument("--source", metavar="PICTURE", help="original portrait, for --pixels source")
    parser.add_argument("--backbone", default="flow", choices=sorted(BACKBONES), help="whose framing the clip has")
    shared.add_gain(parser, "--like: ")
    shared.add_face(parser, "source")
    shared.add_face(parser, "generated")
    shared.add_face(parser, "like")
    shared.add_magnifier(parser)
    shared.add_reference(parser)
    shared.add_output(parser)
    parser.set_defaults(command=demagnify_command)


def demagnify_command(arguments: argparse.Namespace) -> None:
    """Generated clip in, clip at micro intensity out."""
    clip, bar = shared.moving_clip_from(arguments), ProgressBar()
    magnifier, checkpoint = shared.magnifier_from(arguments)
    portrait, sides = _portrait(arguments)
    found = restore(
        clip,
        magnifier,
        alpha=arguments.alpha,
        evidence=_evidence(arguments, clip),
        sides=sides,
        portrait=portrait,
        intensity=arguments.intensity,
        reference=arguments.reference,
        by=arguments.gain,
        progress=bar,
    )
    settings = {"factor": found.factor, "intensity": arguments.intensity, "pixels": arguments.pixels}
    if found.local is not None:
        settings["gain_by_region"] = found.local.by_region()
    inputs = [path for path in (arguments.like, arguments.source) if path]
    _write(arguments, clip, found.chunks, settings, inputs=inputs, weights=[checkpoint.path] if checkpoint else [])


def _evidence(arguments: argparse.Namespace, clip: Clip) -> Evidence:
    """What the factor is measured from, where it is not given as alpha."""
    if arguments.like is None:
        return Evidence()
    original = open_clip(arguments.like)
    return Evidence(
        original=original,
        original_box=shared.face_from(arguments, "like", original),
        generated_box=shared.face_from(arguments, "generated", clip),
    )


def _portrait(arguments: argparse.Namespace) -> tuple[Tensor | None, Sides | None]:
    """The portrait to move and the backbone's view of it, for ``--pixels source``."""
    if arguments.pixels == "generated":
        return None, None
    if not arguments.source:
        raise MagPlusError("--pixels source needs the original portrait: give --source.")
    pictures = shared.pictures_from([arguments.source])
    portrait = pictures.frame(0)
    framing = BACKBONES[arguments.backbone].framing
    framed, _ = frame_sources([portrait], shared.face_from(arguments, "source", pictures), framing)
    size = (portrait.shape[-2], portrait.shape[-1])
    # Without --like the factor is given, and nobody asks for the driving side.
    driving, driving_size = framed, size
    if arguments.like is not None:
        original = open_clip(arguments.like)
        driving_size = (original.info.height, original.info.width)
        driving = frame_side("original", driving_size, shared.face_from(arguments, "like", original), framing)
    sides = Sides(
        driving=driving,
        driving_size=driving_size,
        source=framed,
        source_size=size,
        reference=arguments.reference,
    )
    return portrait, sides


def _write(
    arguments: argparse.Namespace,
    clip: FileClip,
    chunks: Iterable[Tensor],
    settings: dict[str, Any],
    *,
    inputs: Sequence[str] = (),
    weights: Sequence[Path] = (),
) -> None:
    """Write the result and, beside it, where it came from."""
    settings = {"command": arguments.name, "reference": arguments.reference, **settings}
    writer = shared.writer_for(arguments, clip, {"comment": f"{SYNTHETIC} {json.dumps(settings)}"})
    check_free(Path(f"{writer.path}.json"), overwrite=arguments.overwrite)
    record = provenance(inputs=[arguments.input, *inputs], weights=weights, settings=settings)
    with ExitStack() as stack:
        kept = None
        if arguments.check:
            kept = SpooledClip(rate=clip.info.rate, folder=writer.path.parent, name=writer.path.name)
            stack.callback(kept.close)
        with writer:
            for chunk in chunks:
                writer.write(chunk)
                if kept is not None:
                    kept.append(chunk)
        if kept is not None:
            record["survival"] = _survival(kept, writer.path, arguments.reference)
    write_sidecar(writer.path, record)
    log.info("%s: %d frames", writer.path, writer.count)


def _survival(kept: Clip, path: Path, reference: int) -> dict[str, float | None]:
    """What the written file kept of the frames it was given."""
    magnifier, _ = load_magnifier()
    estimator = estimator_of(needs_displacement(magnifier, purpose="--check"))
    found = motion_survival(kept, open_clip(path), estimator, reference=reference)
    log.info("%s keeps %.1f %% of the motion, %.1f dB", path.name, 100 * found.gain, found.psnr_db)
    return survival_report(found)
