# SPDX-License-Identifier: Apache-2.0
"""The part of ComfyUI's node API that the pack uses, for where there is no ComfyUI: unit tests and the headless runner.

The classes have the shapes of ``comfy_api.latest`` (0.16 and later), and a test compares the schemas they give with
those of a real checkout. A keyword that ComfyUI does not know is a TypeError here too. Folders are those of
`Folders.use`; progress and cancelling go through `hooks`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from PIL import Image
from torch import Tensor

from ..models.errors import MagPlusError


class FolderType(str, Enum):
    """Where a shown file lies."""

    input = "input"
    output = "output"
    temp = "temp"


class UploadType(str, Enum):
    """What the upload button of a combo takes."""

    image = "image_upload"
    video = "video_upload"


class NumberDisplay(str, Enum):
    """How a number widget looks."""

    number = "number"
    slider = "slider"


class Hidden(str, Enum):
    """What a node is told beside its inputs."""

    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


class Input:
    """A socket. ``as_dict`` holds what ComfyUI sends to the page."""

    io_type = ""
    keywords: frozenset[str] = frozenset()
    """Beyond those of every input."""
    _COMMON = frozenset({"display_name", "tooltip", "lazy", "extra_dict", "raw_link", "advanced"})
    _RENAMED: ClassVar = {"display_mode": "display", "force_input": "forceInput", "dynamic_prompts": "dynamicPrompts"}

    def __init__(self, id: str, *, optional: bool = False, **keywords: Any) -> None:
        unknown = sorted(set(keywords) - self._COMMON - self.keywords)
        if unknown:
            raise TypeError(f"{self.io_type}.Input has no keyword '{unknown[0]}'")
        self.id, self.optional = id, optional
        self.tooltip = keywords.get("tooltip")
        self.default = keywords.get("default")
        self.options: list[Any] | None = keywords.get("options")
        self._keywords = keywords

    def get_io_type(self) -> str:
        """Name of the type on the wire."""
        return self.io_type

    def as_dict(self) -> dict[str, Any]:
        """Known keywords under the names that the page reads."""
        values = {"optional": self.optional, **self._keywords}
        extra = values.pop("extra_dict", None) or {}
        upload = values.pop("upload", None)
        if upload is not None:
            values[upload.value] = True
        return _known({self._RENAMED.get(name, name): value for name, value in values.items()}) | _known(extra)


class Output:
    """A result's socket."""

    io_type = ""

    def __init__(
        self, id: str | None = None, display_name: str | None = None, tooltip: str | None = None,
        is_output_list: bool = False,
    ) -> None:  # fmt: skip
        self.id, self.display_name, self.tooltip, self.is_output_list = id, display_name or id, tooltip, is_output_list

    def get_io_type(self) -> str:
        """Name of the type on the wire."""
        return self.io_type


_WIDGET = frozenset({"default", "socketless", "widget_type", "force_input"})
_NUMBER = _WIDGET | {"min", "max", "step", "control_after_generate", "display_mode"}


def Custom(io_type: str, keywords: frozenset[str] = frozenset()) -> Any:  # noqa: N802 - ComfyUI's name
    """A type of its own, with ``Input`` and ``Output``."""
    return SimpleNamespace(
        io_type=io_type,
        Input=type("Input", (Input,), {"io_type": io_type, "keywords": keywords}),
        Output=type("Output", (Output,), {"io_type": io_type}),
    )


class NodeOutput:
    """What a node gives: values for its outputs, and ``ui`` for the page."""

    def __init__(self, *args: Any, ui: Any = None) -> None:
        self.args, self.ui = args, ui

    @property
    def result(self) -> tuple[Any, ...] | None:
        """The values, or None where there are none."""
        return self.args or None

    def __getitem__(self, index: int) -> Any:
        return self.args[index]


@dataclass
class Schema:
    """Declaration of a node."""

    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    hidden: list[Hidden] = field(default_factory=list)
    description: str = ""
    search_aliases: list[str] = field(default_factory=list)
    is_output_node: bool = False
    is_experimental: bool = False
    is_deprecated: bool = False
    not_idempotent: bool = False

    def finalize(self) -> None:
        """An output node is told the graph; an output without an id gets one."""
        if self.is_output_node:
            self.hidden += [h for h in (Hidden.prompt, Hidden.extra_pnginfo) if h not in self.hidden]
        for index, output in enumerate(self.outputs):
            output.id = output.id or f"_{index}_{output.io_type}_"

    def validate(self) -> None:
        """Every id once."""
        for what, ids in (("Input", [i.id for i in self.inputs]), ("Output", [o.id for o in self.outputs])):
            if len(set(ids)) != len(ids):
                raise ValueError(f"{what} ids must be unique in {self.node_id}: {ids}")


class ComfyNode:
    """Base of all nodes."""

    hidden: Any = SimpleNamespace(unique_id=None, prompt=None, extra_pnginfo=None)

    @classmethod
    def define_schema(cls) -> Schema:
        """Declared by the node."""
        raise NotImplementedError

    @classmethod
    def GET_SCHEMA(cls) -> Schema:  # noqa: N802 - ComfyUI's name
        """The finished schema."""
        schema = cls.define_schema()
        schema.finalize()
        schema.validate()
        return schema


class ComfyExtension:
    """A pack."""

    async def on_load(self) -> None:
        """Called once, before the nodes are listed."""


@dataclass
class VideoComponents:
    """What a VIDEO is made of: images ``(T, H, W, 3)``, AUDIO or None, and the exact rate."""

    images: Tensor
    frame_rate: Fraction
    audio: Any = None
    metadata: Any = None


class VideoFromComponents:
    """A VIDEO in memory."""

    def __init__(self, components: VideoComponents) -> None:
        self._components = components

    def get_components(self) -> VideoComponents:
        """Frames, sound and rate."""
        return self._components

    def get_dimensions(self) -> tuple[int, int]:
        """Width and height."""
        return self._components.images.shape[2], self._components.images.shape[1]


class SavedResult(dict[str, str]):
    """A file that a node shows."""

    def __init__(self, filename: str, subfolder: str, type: FolderType) -> None:
        super().__init__(filename=filename, subfolder=subfolder, type=type.value)


class PreviewVideo:
    """Videos shown in a node."""

    def __init__(self, values: list[SavedResult]) -> None:
        self.values = values

    def as_dict(self) -> dict[str, Any]:
        """What the page gets."""
        return {"images": self.values, "animated": (True,)}


class PreviewImage:
    """Pictures ``(N, H, W, 3)`` shown in a node. They are kept here instead of being written to the temp folder."""

    def __init__(self, image: Tensor, animated: bool = False, cls: Any = None) -> None:
        self.image = image

    def as_dict(self) -> dict[str, Any]:
        """Nothing is on disk, so nothing is listed."""
        return {"images": []}


io = SimpleNamespace(
    Schema=Schema,
    ComfyNode=ComfyNode,
    NodeOutput=NodeOutput,
    Hidden=Hidden,
    FolderType=FolderType,
    UploadType=UploadType,
    NumberDisplay=NumberDisplay,
    Custom=Custom,
    Image=Custom("IMAGE"),
    Mask=Custom("MASK"),
    Audio=Custom("AUDIO"),
    Video=Custom("VIDEO"),
    Boolean=Custom("BOOLEAN", _WIDGET | {"label_on", "label_off"}),
    Int=Custom("INT", _NUMBER),
    Float=Custom("FLOAT", _NUMBER - {"control_after_generate"} | {"round"}),
    String=Custom("STRING", _WIDGET | {"multiline", "placeholder", "dynamic_prompts"}),
    Combo=Custom("COMBO", _WIDGET - {"force_input"} | {"options", "control_after_generate", "upload", "image_folder"}),
)

ui = SimpleNamespace(PreviewImage=PreviewImage, PreviewVideo=PreviewVideo, SavedResult=SavedResult)


def _never() -> None:
    """Nobody cancels."""


def _nobody(done: int, total: int, picture: Image.Image | None) -> None:
    """Nobody watches."""


@dataclass
class Hooks:
    """What the host of a headless run may set. ``check`` raises to cancel."""

    check: Callable[[], None] = _never
    progress: Callable[[int, int, Image.Image | None], None] = _nobody


hooks = Hooks()


@dataclass
class Folders:
    """Where a headless run reads and writes; relative to the working folder unless `use` says otherwise."""

    input: Path = Path("input")
    output: Path = Path("output")
    temp: Path = Path("temp")
    weights: Path = Path("models/magplus")

    def use(self, **places: Path) -> None:
        """Set some of the folders."""
        for name, path in places.items():
            if name not in self.__dataclass_fields__:
                raise TypeError(f"there is no folder '{name}'")
            setattr(self, name, Path(path))


folders = Folders()


def save_place(prefix: str, folder: Path) -> tuple[Path, str, int, str]:
    """Folder, name, number and subfolder for the next file ``<name>_<number>_`` of a prefix such as ``clips/smile``."""
    subfolder, name = Path(prefix).parent, Path(prefix).name
    place = (folder / subfolder).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise MagPlusError(f"'{prefix}' leads out of the output folder. Give a name, or folder/name inside it.")
    place.mkdir(parents=True, exist_ok=True)
    numbers = [re.match(rf"{re.escape(name)}_(\d+)_", file.name) for file in place.iterdir()]
    taken = [int(found[1]) for found in numbers if found]
    return place, name, max(taken, default=0) + 1, "" if subfolder == Path() else subfolder.as_posix()
