# SPDX-License-Identifier: Apache-2.0
"""The frozen generators: weights and options of the model, for Animate Portrait."""

from __future__ import annotations

from typing import Any

from ..models.catalog import BACKBONES
from ..models.registry import load_backbone
from . import convert, host
from .host import io
from .wires import Backbone, Loaded, option_input

NOTHING_YET = f"(no file in models/{host.KIND})"
SAME_FILE = "(in the same file)"
NO_FILE = "(none)"


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


class KeyFace(io.ComfyNode):  # type: ignore[misc]
    """The small generator of the pack."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return _schema(
            "MagPlusKeyFace",
            "KeyFace (MagPlus)",
            "The small generator that comes with the pack: ten keypoints, 96 px, trained on drawn faces alone. It is "
            "for trying the chain with a learned response, not for portraits of people.",
            inputs=_option_inputs("keyface"),
        )

    @classmethod
    def execute(cls, **options: Any) -> Any:
        """Build it with the pack's own weights."""
        return _loaded("keyface", [], options)


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
                    *_option_inputs("fomm")],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, weights: str | None) -> bool | str:
        """A file that is not there is refused before anything runs, with where to get it."""
        return _missing("fomm", weights)

    @classmethod
    def fingerprint_inputs(cls, weights: str, **_: Any) -> str:
        """Changes when the file is replaced by another one of the same name."""
        return convert.fingerprint(host.weight_path(weights))

    @classmethod
    def execute(cls, *, weights: str, **options: Any) -> Any:
        """Read, recognise, build."""
        return _loaded("fomm", [weights], options)


class FSRT(io.ComfyNode):  # type: ignore[misc]
    """Facial Scene Representation Transformer."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return _schema(
            "MagPlusFSRT",
            "FSRT (MagPlus)",
            "Facial Scene Representation Transformer: keypoints and an expression vector of the driving face, every "
            "pixel decoded on its own, 256 px. Takes several pictures of one person. Made for a GPU: half a minute a "
            "frame on a processor.",
            inputs=[
                file_input("weights", "vox256 or vox256_2Source, converted to safetensors or as published."),
                file_input("detector", "kp_detector, or the choice that it is in the same file.", SAME_FILE),
                *_option_inputs("fsrt"),
            ],
        )

    @classmethod
    def validate_inputs(cls, weights: str | None, detector: str | None) -> bool | str:
        """Files that are not there are refused before anything runs, with where to get them."""
        return _missing("fsrt", weights, detector)

    @classmethod
    def fingerprint_inputs(cls, weights: str, detector: str, **_: Any) -> str:
        """Changes when a file is replaced by another one of the same name."""
        return " ".join(convert.fingerprint(host.weight_path(name)) for name in _given(weights, detector))

    @classmethod
    def execute(cls, *, weights: str, detector: str, **options: Any) -> Any:
        """Read, recognise, build."""
        return _loaded("fsrt", _given(weights, detector), options)


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
                *_option_inputs("metaportrait"),
            ],
        )

    @classmethod
    def validate_inputs(cls, weights: str | None) -> bool | str:
        """A file that is not there is refused before anything runs, with where to get it."""
        return _missing("metaportrait", weights)

    @classmethod
    def fingerprint_inputs(cls, weights: str, **_: Any) -> str:
        """Changes when the file is replaced by another one of the same name."""
        return convert.fingerprint(host.weight_path(weights))

    @classmethod
    def execute(cls, *, weights: str, **options: Any) -> Any:
        """Read, recognise, build."""
        return _loaded("metaportrait", [weights], options)


class EMOPortraits(io.ComfyNode):  # type: ignore[misc]
    """EMOPortraits, stage 1."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return _schema(
            "MagPlusEMOPortraits",
            "EMOPortraits (MagPlus)",
            "A head made anew in 512 px, in front of green that is taken out: an expression of 128 numbers and a head "
            "pose move it. Wants a mask of the head (EMOPortraits Guides). Made for a GPU.",
            inputs=[
                file_input("weights", "328_model, converted to safetensors or as published."),
                file_input("weights_pose", "head_pose_regressor, or the choice that it is in the same file, or that "
                            "there is none: then head poses come from EMOPortraits Guides.", SAME_FILE, NO_FILE),
                *_option_inputs("emoportraits"),
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, weights: str | None, weights_pose: str | None) -> bool | str:
        """Files that are not there are refused before anything runs, with where to get them."""
        return _missing("emoportraits", weights, weights_pose)

    @classmethod
    def fingerprint_inputs(cls, weights: str, weights_pose: str, **_: Any) -> str:
        """Changes when a file is replaced by another one of the same name."""
        return " ".join(convert.fingerprint(host.weight_path(name)) for name in _given(weights, weights_pose))

    @classmethod
    def execute(cls, *, weights: str, weights_pose: str, **options: Any) -> Any:
        """Read, recognise, build."""
        return _loaded("emoportraits", _given(weights, weights_pose), options)


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


def file_input(id: str, what: str, *more: str) -> Any:
    """A choice of a file, with what may stand for one in front."""
    options = [*more, *host.weight_files()] or [NOTHING_YET]
    return io.Combo.Input(id, options=options, tooltip=f"{what} Files lie in models/{host.KIND}.")


def _given(*names: str) -> list[str]:
    """Names of files, without what stands for none."""
    return [name for name in names if name not in (SAME_FILE, NO_FILE)]


def _option_inputs(backbone: str) -> list[Any]:
    """A widget for every option of a model."""
    return [option_input(option) for option in BACKBONES[backbone].options]


def _missing(backbone: str, *names: str | None) -> bool | str:
    needs = f"{BACKBONES[backbone].needs} See the help page of this node."
    answers = (convert.missing_file(name, needs) for name in names if name not in (SAME_FILE, NO_FILE))
    return next((answer for answer in answers if answer is not True), True)


def _loaded(backbone: str, names: list[str], options: dict[str, Any]) -> Any:
    model, checkpoints = load_backbone(backbone, [host.weight_path(name) for name in names], options)
    # What an encoded portrait depends on: the files, and the options that change the numbers in it.
    files = [checkpoint.sha256 for checkpoint in checkpoints] or [backbone]
    sums = (*files, *(f"{k}={v}" for k, v in sorted(options.items())))
    return io.NodeOutput(Loaded(model=model, weights=sums, handles=host.managed(model)))
