"""The frozen generators: weights and options of the model, for Animate Portrait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..models.errors import MagPlusError
from ..models.options import Option
from ..models.registry import BACKBONES, FileSpec, load_backbone
from . import convert, host
from .host import io
from .wires import Backbone, Loaded

NOTHING_YET = f"(no file in models/{host.KIND})"


class FlowTransfer(io.ComfyNode):  # type: ignore[misc]
    """The built-in generator."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return _schema(
            "MagPlusFlowTransfer",
            "Flow Transfer (MagPlus)",
            "The built-in generator: moves the portrait's own pixels as the driving face moves. It needs "
            "no weights and shows no teeth or eyes that the portrait does not show.",
            inputs=[],
        )

    @classmethod
    def execute(cls) -> Any:
        """Build it."""
        model, _ = load_backbone("flow", [], {})
        return io.NodeOutput(Loaded(model=model, weights=("flow",), handles=host.managed(model)))


class FOMM(io.ComfyNode):  # type: ignore[misc]
    """First Order Motion Model."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return _schema(
            "MagPlusFOMM",
            "FOMM (MagPlus)",
            "First Order Motion Model: ten keypoints of the driving face move the portrait, 256 px. The quickest "
            "generator with weights, and the one to start with.",
            inputs=[file_input("weights", "vox-cpk or vox-adv-cpk, converted to safetensors or as published."),
                    *option_inputs(BACKBONES["fomm"].options)],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, weights: str | None) -> bool | str:
        """A file that is not there is refused before anything runs, with where to get it."""
        return missing(BACKBONES["fomm"], weights)

    @classmethod
    def fingerprint_inputs(cls, weights: str, **_: Any) -> str:
        """Changes when the file is replaced by another one of the same name."""
        return convert.fingerprint(host.weight_path(weights))

    @classmethod
    def execute(cls, *, weights: str, **options: Any) -> Any:
        """Read, recognise, build."""
        return _loaded("fomm", [weights], options)


class MetaPortrait(io.ComfyNode):  # type: ignore[misc]
    """MetaPortrait's base model."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return _schema(
            "MagPlusMetaPortrait",
            "MetaPortrait (MagPlus)",
            "MetaPortrait: 669 landmarks, drawn as lines, warp the portrait and refine it, 256 px. MetaPortrait Guides "
            "brings landmarks and identity to Animate Portrait; without them both are approximated.",
            inputs=[
                file_input("weights", "ckpt_base, converted to safetensors or as published."),
                *option_inputs(BACKBONES["metaportrait"].options),
            ],
        )

    @classmethod
    def validate_inputs(cls, weights: str | None) -> bool | str:
        """A file that is not there is refused before anything runs, with where to get it."""
        return missing(BACKBONES["metaportrait"], weights)

    @classmethod
    def fingerprint_inputs(cls, weights: str, **_: Any) -> str:
        """Changes when the file is replaced by another one of the same name."""
        return convert.fingerprint(host.weight_path(weights))

    @classmethod
    def execute(cls, *, weights: str, **options: Any) -> Any:
        """Read, recognise, build."""
        return _loaded("metaportrait", [weights], options)


def _schema(node_id: str, name: str, description: str, *, inputs: list[Any]) -> Any:
    return io.Schema(
        node_id=node_id,
        display_name=name,
        category="MagPlus/Face",
        description=description,
        search_aliases=["face animation backbone", "generator", "reenactment", "live portrait"],
        inputs=inputs,
        outputs=[Backbone.Output("backbone", tooltip="For Animate Portrait.")],
    )


def file_input(id: str, what: str) -> Any:
    """A choice of a weights file."""
    return io.Combo.Input(
        id, options=host.weight_files() or [NOTHING_YET], tooltip=f"{what} Files lie in models/{host.KIND}."
    )


def option_inputs(options: Sequence[Option]) -> list[Any]:
    """A widget for every option of a model."""
    return [_option_input(option) for option in options]


def _option_input(option: Option) -> Any:
    about: dict[str, Any] = {"default": option.default, "tooltip": f"{option.help[:1].upper()}{option.help[1:]}."}
    if option.choices:
        return io.Combo.Input(option.name, options=list(option.choices), **about)
    if isinstance(option.default, bool):
        return io.Boolean.Input(option.name, **about)
    return io.Int.Input(option.name, min=option.low, max=option.high, **about)


def missing(spec: FileSpec, name: str | None) -> bool | str:
    """What ComfyUI takes for "fine" (True), or the complaint. A name of None comes from another node later."""
    try:
        if name is not None:
            host.weight_path(name)
    except MagPlusError as error:
        return f"{error} {_origin(spec)}"
    return True


def _origin(spec: FileSpec) -> str:
    return f"{spec.name} needs {' and '.join(spec.files)}, from {spec.origin}. See the help page of this node."


def _loaded(backbone: str, names: list[str], options: dict[str, Any]) -> Any:
    model, checkpoints = load_backbone(backbone, [host.weight_path(name) for name in names], options)
    # What an encoded portrait depends on: the files, and the options that change the numbers in it.
    sums = (*(checkpoint.sha256 for checkpoint in checkpoints), *(f"{k}={v}" for k, v in sorted(options.items())))
    return io.NodeOutput(Loaded(model=model, weights=sums, handles=host.managed(model)))
