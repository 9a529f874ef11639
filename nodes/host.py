# SPDX-License-Identifier: Apache-2.0
"""The one place that knows ComfyUI: its API, device, progress, Cancel and folders.

Outside ComfyUI everything comes from `standalone`. What counts is whether ComfyUI has loaded its API, not whether it
could be imported: the Python of a portable ComfyUI can always import it, but a command line run has no server.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d
from torch.overrides import TorchFunctionMode

from ..models.checkpoint import SUFFIXES as WEIGHTS
from ..models.errors import MagPlusError
from ..pipeline.log import log
from ..pipeline.media.stills import SUFFIXES as PICTURES
from . import standalone
from .inference import leave_inference_mode, usable

IN_COMFYUI = "comfy_api" in sys.modules

io: Any
ui: Any
ComfyExtension: Any
if IN_COMFYUI:
    import folder_paths  # type: ignore[import-not-found]
    from comfy_api.latest import ComfyExtension, InputImpl, Types, io, ui  # type: ignore[import-not-found,no-redef]
else:
    io, ui, ComfyExtension = standalone.io, standalone.ui, standalone.ComfyExtension

KIND = "magplus"
"""Name of our folder of weights, below ComfyUI's ``models`` and in ``extra_model_paths.yaml``."""

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
SAMPLE = "sample: "
"""In front of the name of a clip or picture that comes with the pack, where a name may also be one of the user's."""
FIRST_SAMPLE = "driver.mkv"

DETECTORS = frozenset({".onnx"})
"""Files that OpenCV runs, of a face detector; they lie beside the weights."""

_VIDEOS = frozenset({".mkv", ".mp4", ".mov", ".m4v", ".webm", ".avi", ".npy"})
READABLE = _VIDEOS | PICTURES

PREVIEW_PX = 512
PREVIEW_EVERY_S = 0.25
CHECK_EVERY_S = 0.1


# ---- device and weights


def device() -> torch.device:
    """Where to compute."""
    if not IN_COMFYUI:
        return torch.device("cpu")
    import comfy.model_management as management  # type: ignore[import-not-found] # noqa: PLC0415

    return torch.device(management.get_torch_device())


def managed(model: Any) -> tuple[Any, ...]:
    """ComfyUI's handles on the networks of a model, through which it moves them to the GPU and away again."""
    parts = [model] if isinstance(model, nn.Module) else [v for v in vars(model).values() if isinstance(v, nn.Module)]
    parts = [part for part in parts if any(True for _ in part.parameters())]
    if not IN_COMFYUI or not parts:
        return ()
    import comfy.model_management as management  # noqa: PLC0415
    from comfy.model_patcher import ModelPatcher  # type: ignore[import-not-found] # noqa: PLC0415

    places = {"load_device": management.get_torch_device(), "offload_device": management.unet_offload_device()}
    return tuple(ModelPatcher(part, **places) for part in parts)


def fetch(handles: tuple[Any, ...]) -> None:
    """Have the networks where they are computed."""
    if handles:
        import comfy.model_management as management  # noqa: PLC0415

        management.load_models_gpu(list(handles))


# ---- progress and Cancel


def check_cancel() -> None:
    """Raise where the user cancelled. ComfyUI's exception must not be swallowed on its way up."""
    if not IN_COMFYUI:
        standalone.hooks.check()
        return
    import comfy.model_management as management  # noqa: PLC0415

    management.throw_exception_if_processing_interrupted()


class _Watch(TorchFunctionMode):
    """Looks for Cancel before any operation of torch, ten times a second at most.

    A frame may take most of a minute in a slow backbone, and much of the pack's own work is in no layer that a module
    hook would see.
    """

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + CHECK_EVERY_S
            check_cancel()
        return function(*arguments, **(keywords or {}))


@contextlib.contextmanager
def cancellable() -> Iterator[None]:
    """Everything that torch does inside stops soon after Cancel."""
    check_cancel()
    with _Watch():
        yield


@contextlib.contextmanager
def running(*, pictures: bool = True) -> Iterator[Reporter]:
    """`cancellable`, and the progress to hand to the pipeline: one tick per frame, with a running picture.

    The page keeps the last running picture beside or in place of what a node shows at its end. A node that shows
    something runs without ``pictures``, or makes that its last one (`Reporter.show`) and gives no ``ui``.
    """
    with cancellable():
        yield Reporter(pictures)


class Reporter:
    """Pipeline progress shown in the node. Every stage fills the bar anew."""

    def __init__(self, pictures: bool) -> None:
        self._pictures = pictures
        self._stage = ""
        self._bar: Any = None
        self._next = 0.0

    def __call__(self, stage: str, done: int, total: int | None, preview: Tensor | None = None, /) -> None:
        check_cancel()
        total = total or done
        picture = None
        if self._pictures and preview is not None and (done == total or time.monotonic() >= self._next):
            self._next = time.monotonic() + PREVIEW_EVERY_S
            picture = small_picture(preview)
        self._tick(stage, done, total, picture)

    def show(self, picture: Image.Image) -> None:
        """Make this the running picture, with a full bar."""
        self._tick(self._stage, 1, 1, picture)

    def _tick(self, stage: str, done: int, total: int, picture: Image.Image | None) -> None:
        if not IN_COMFYUI:
            standalone.hooks.progress(done, total, picture)
            return
        if self._bar is None or stage != self._stage:
            from comfy.utils import ProgressBar  # type: ignore[import-not-found] # noqa: PLC0415

            self._stage, self._bar = stage, ProgressBar(total)
        self._bar.update_absolute(done, total, ("JPEG", picture, None) if picture else None)


def say(text: str) -> None:
    """Show a text in the node that is running, until it runs again or the page is loaded anew."""
    if not IN_COMFYUI:
        return
    from comfy_execution.utils import get_executing_context  # type: ignore[import-not-found] # noqa: PLC0415

    context = get_executing_context()
    if context is not None:  # a server runs the node
        from server import PromptServer  # type: ignore[import-not-found] # noqa: PLC0415

        PromptServer.instance.send_progress_text(text, context.node_id)


def small_picture(frame: Tensor) -> Image.Image:
    """A frame ``(3, H, W)`` for looking only, at most about PREVIEW_PX a side."""
    step = max(1, -(-max(frame.shape[-2:]) // PREVIEW_PX))
    values = avg_pool2d(frame.detach(), step, ceil_mode=True).clamp(0, 1).mul(255).round().to("cpu", torch.uint8)
    return Image.fromarray(values.permute(1, 2, 0).contiguous().numpy())


# ---- gradients


def outside_inference_mode(function: Callable[..., Any], *values: Any) -> Any:
    """The function's result for copies of its values, where gradients are possible: for fitting and adaptation.

    ComfyUI runs nodes in inference mode, and what was loaded in it cannot be trained.
    """
    with leave_inference_mode():
        return function(*(usable(value) for value in values))


# ---- files


def register_folders() -> None:
    """Tell ComfyUI of ``models/magplus`` and of what may lie there."""
    if not IN_COMFYUI:
        return
    paths, suffixes = folder_paths.folder_names_and_paths.get(KIND, ([], set()))
    own = str(Path(folder_paths.models_dir) / KIND)
    if own not in paths:
        paths = [*paths, own]
    folder_paths.folder_names_and_paths[KIND] = (paths, set(suffixes) | WEIGHTS | DETECTORS)
    with contextlib.suppress(OSError):
        Path(own).mkdir(parents=True, exist_ok=True)


def weight_files() -> list[str]:
    """Names of the weight files a user has."""
    return _files_of_kind(WEIGHTS)


def detector_paths() -> list[Path]:
    """Files that may be a face detector."""
    return [weight_path(name) for name in _files_of_kind(DETECTORS)]


def _files_of_kind(suffixes: frozenset[str]) -> list[str]:
    """Names in ``models/magplus`` with one of the endings."""
    folder = standalone.folders.weights
    if IN_COMFYUI:
        names = list(folder_paths.get_filename_list(KIND))
    else:
        names = sorted(f.name for f in folder.iterdir()) if folder.is_dir() else []
    return [name for name in names if Path(name).suffix in suffixes]


def weight_path(name: str) -> Path:
    """Where a weight file lies."""
    if IN_COMFYUI:
        found = folder_paths.get_full_path(KIND, name)
        path = Path(found) if found else None
    else:
        path = standalone.folders.weights / name
    if path is None or not path.is_file():
        raise MagPlusError(f"There is no file {name} in models/{KIND}. Put it there, or choose another one.")
    return path


def new_weights(name: str) -> Path:
    """Where a weights file of that name will be written: a safetensors file in our folder, which must not exist."""
    folder = Path(folder_paths.get_folder_paths(KIND)[0]) if IN_COMFYUI else standalone.folders.weights
    path = Path(os.path.abspath(folder / name.strip()))
    path = path if path.suffix == ".safetensors" else path.with_name(f"{path.name}.safetensors")
    if not path.is_relative_to(os.path.abspath(folder)):
        raise MagPlusError(f"'{name}' leads out of {folder}. Give a name inside it.")
    if path.exists():
        raise MagPlusError(f"{path.name} exists already in models/{KIND}. Choose another name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def sample_files() -> list[str]:
    """Names of the clips and pictures that come with the pack."""
    return [f.name for f in sorted(SAMPLES.glob("*")) if f.suffix in READABLE]


def input_files(suffixes: frozenset[str] = READABLE) -> list[str]:
    """What the input folder offers, clips and pictures if nothing else is asked for."""
    folder = Path(folder_paths.get_input_directory()) if IN_COMFYUI else standalone.folders.input
    return sorted(f.name for f in folder.iterdir() if f.suffix.lower() in suffixes) if folder.is_dir() else []


def input_path(name: str) -> Path:
    """Where a file of `input_files` lies, or with ``sample: `` one of ours. ``name [output]`` is understood too."""
    folder, name = _annotated(name)
    path = Path(os.path.abspath(folder / name))
    if not path.is_relative_to(os.path.abspath(folder)):
        raise MagPlusError(f"'{name}' leads out of {folder}. Choose a file inside it.")
    if not path.exists():
        raise MagPlusError(f"There is no file '{name}' in {folder}. Upload it, or choose another one.")
    return path


def any_path(text: str) -> Path:
    """A file anywhere on this machine by its whole path, or one of the input folder by its name."""
    text = text.strip().strip('"')
    if not text:
        raise MagPlusError("There is no path. Give the name of a file in the input folder, or a whole path.")
    path = Path(text).expanduser()
    if not path.is_absolute():
        return input_path(text)
    if not path.exists():
        raise MagPlusError(f"There is no file {path}. Check its name and folder.")
    return path


def _annotated(name: str) -> tuple[Path, str]:
    """Folder and name below it."""
    if name.startswith(SAMPLE):
        return SAMPLES, name.removeprefix(SAMPLE)
    if not IN_COMFYUI:
        return standalone.folders.input, name
    name, folder = folder_paths.annotated_filepath(name)
    return Path(folder or folder_paths.get_input_directory()), name


@dataclass(frozen=True, kw_only=True)
class OutputPlace:
    """Where a node writes: ``folder / f"{stem}.mkv"``, and the subfolder of the output folder for the page."""

    folder: Path
    stem: str
    subfolder: str


def output_place(prefix: str, *, width: int, height: int) -> OutputPlace:
    """The next free name for a prefix, numbered as ComfyUI numbers its own files."""
    if IN_COMFYUI:
        output = folder_paths.get_output_directory()
        folder, name, number, subfolder, _ = folder_paths.get_save_image_path(prefix, output, width, height)
    else:
        folder, name, number, subfolder = standalone.save_place(prefix, standalone.folders.output)
    return OutputPlace(folder=Path(folder), stem=f"{name}_{number:05}_", subfolder=subfolder)


def output_base(prefix: str, *, width: int, height: int) -> Path:
    """Folder and name that a prefix stands for, without any number: the same at every run."""
    place = output_place(prefix, width=width, height=height)
    return place.folder / place.stem[:-1].rpartition("_")[0]


def graph_metadata(hidden: Any) -> dict[str, str]:
    """The graph as core nodes store it in a file: ``prompt``, ``workflow``. Empty where the user forbids that."""
    if IN_COMFYUI:
        from comfy.cli_args import args  # type: ignore[import-not-found] # noqa: PLC0415

        if args.disable_metadata:
            return {}
    values = {"prompt": getattr(hidden, "prompt", None), **(getattr(hidden, "extra_pnginfo", None) or {})}
    return {name: json.dumps(value) for name, value in values.items() if value is not None}


# ---- values


def make_video(images: Tensor, rate: Fraction, audio: Any) -> Any:
    """A VIDEO over images ``(T, H, W, 3)`` in memory; nothing is copied."""
    if IN_COMFYUI:
        return InputImpl.VideoFromComponents(Types.VideoComponents(images=images, audio=audio, frame_rate=rate))
    return standalone.VideoFromComponents(standalone.VideoComponents(images=images, audio=audio, frame_rate=rate))


def describe(node: Any) -> dict[str, Any]:
    """A node's declaration as plain data, the same from ComfyUI's API and from ours."""
    schema = node.GET_SCHEMA()
    return {
        "id": schema.node_id,
        "name": schema.display_name,
        "category": schema.category,
        "description": schema.description,
        "aliases": list(schema.search_aliases),
        "output_node": schema.is_output_node,
        "hidden": sorted(h.name for h in schema.hidden),
        "inputs": [{"id": i.id, "type": i.get_io_type(), **_plain(i.as_dict())} for i in schema.inputs],
        "outputs": [
            {"id": o.id, "type": o.get_io_type(), "name": o.display_name, "tooltip": o.tooltip} for o in schema.outputs
        ],
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what says nothing: None and False stand for what is not set."""
    kept = {name: getattr(value, "value", value) for name, value in values.items()}
    default = kept.get("default")
    return {n: v for n, v in sorted(kept.items()) if v is not None and (v is not False or n == "default")} | (
        {"default": default} if default is not None else {}
    )


def warn(message: str) -> None:
    """A remark for the user, in ComfyUI's log."""
    log.warning("%s", message)
