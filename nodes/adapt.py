# SPDX-License-Identifier: Apache-2.0
"""Adapt Magnifier: test-time adaptation to the clip at hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..models.checkpoint import write_safetensors
from ..models.registry import load_magnifier
from ..pipeline.motion.adapt import Adaptation, Adapted, AdaptSettings
from ..pipeline.motion.encoded import content_key
from . import convert, host
from .host import io
from .inference import leave_inference_mode, usable
from .wires import FlowEstimator, Loaded, Magnifier, magnifier_input, reference_input

USUAL = AdaptSettings()


@dataclass(frozen=True)
class _Kept:
    """An adaptation, and the wire with ComfyUI's handles on it: a model that outlives its handles counts as leaked."""

    adapted: Adapted
    wire: Loaded


class _Last:
    """The last adaptation, by all it depends on: a cancelled one is not lost, and saving one needs no second run."""

    def __init__(self) -> None:
        self._key = ""
        self._kept: _Kept | None = None

    def get(self, key: str) -> _Kept | None:
        """That one, if it is the last."""
        return self._kept if key == self._key else None

    def keep(self, key: str, adapted: Adapted) -> _Kept:
        """In place of the one before."""
        model = adapted.magnifier
        self._key = key
        self._kept = _Kept(adapted, Loaded(model=model, weights=(key,), handles=host.managed(model)))
        return self._kept


LAST = _Last()


class AdaptMagnifier(io.ComfyNode):  # type: ignore[misc]
    """Clip and magnifier to a magnifier that knows the clip."""

    @classmethod
    def define_schema(cls) -> Any:
        """Inputs and outputs."""
        return io.Schema(
            node_id="MagPlusAdaptMagnifier",
            display_name="Adapt Magnifier (MagPlus)",
            category="MagPlus/Motion",
            description="Trains a magnifier further on the clip it is to magnify, without any truth: the motion of "
            "the result is measured and shall be alpha times that of the clip. Needs minutes on a GPU, longer without.",
            search_aliases=["test-time adaptation", "fine-tune magnifier", "train", "tta", "flowmag adaptation"],
            is_output_node=True,
            inputs=[
                io.Image.Input("images", tooltip="The clip to adapt to: the one that will be magnified."),
                *_limits(),
                reference_input(),
                io.String.Input(
                    "save_as",
                    default="",
                    tooltip=f"Name of a safetensors file to write to models/{host.KIND}, for Load Magnifier. Empty: "
                    "none is written; the result can be used at once all the same.",
                ),
                *_choices(),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="What the loss counts (white), such as the face: crops are taken there. Of one that "
                    "changes that of the reference frame is used; not connected, the whole picture.",
                ),
                magnifier_input(),
                FlowEstimator.Input(
                    "estimator",
                    optional=True,
                    tooltip="Optical flow of the loss, from Load Flow Estimator. Not connected: lkmag's own, which "
                    "needs no file.",
                ),
            ],
            outputs=[
                Magnifier.Output("magnifier", tooltip="The adapted magnifier, for Magnify Motion."),
                io.Image.Output("plot", tooltip="The course of loss and motion error; a frame before and after."),
                io.String.Output("report", tooltip="All numbers as JSON."),
            ],
        )

    @classmethod
    def execute(
        cls,
        *,
        images: Tensor,
        reference_index: int = 0,
        save_as: str = "",
        mask: Tensor | None = None,
        magnifier: Loaded | None = None,
        estimator: Loaded | None = None,
        **chosen: Any,
    ) -> Any:
        """Adapt, or take what was kept; save if asked to; show."""
        place = host.new_weights(save_as) if save_as.strip() else None
        settings = _settings(reference_index, **chosen)
        wires = _Wires(images, mask, magnifier, estimator)
        key = wires.key(settings)
        kept = LAST.get(key) or _adapt(key, wires, settings)
        adapted = kept.adapted
        if place is not None:
            write_safetensors(adapted.tensors, place, adapted.metadata("".join(_sums(magnifier))))
        plot, report = convert.to_picture(adapted.picture), json.dumps(adapted.report, indent=2)
        with host.running() as progress:
            progress.show(adapted.picture)  # it stays in the node, in place of the last running one
        return io.NodeOutput(kept.wire, plot, report)


@dataclass(frozen=True)
class _Wires:
    """What is connected."""

    images: Tensor
    mask: Tensor | None
    magnifier: Loaded | None
    estimator: Loaded | None

    def key(self, settings: AdaptSettings) -> str:
        """Of everything that the result depends on."""
        names = [str(settings), "of", *_sums(self.magnifier), "by", *_sums(self.estimator)]
        return content_key(names, self.images, {} if self.mask is None else {"mask": self.mask})

    def adaptation(self, settings: AdaptSettings) -> Adaptation:
        """Ready to run, outside inference mode."""
        clip = convert.to_clip(self.images, name="images", device=host.device())
        estimator = None
        if self.estimator is not None:
            estimator = usable(self.estimator.ready()).requires_grad_(False)
        return Adaptation(
            self.magnifier.model if self.magnifier else load_magnifier()[0],
            clip,
            settings=settings,
            estimator=estimator,
            region=convert.to_mask(self.mask, clip.device),
        )


def _adapt(key: str, wires: _Wires, settings: AdaptSettings) -> _Kept:
    """Train, and keep what came of it, after Cancel too."""
    with leave_inference_mode():
        adaptation = wires.adaptation(settings)
        try:
            with host.running() as progress:
                adaptation.run(progress)
        except BaseException:
            if adaptation.has_learned:
                LAST.keep(key, adaptation.result())
            raise
        return LAST.keep(key, adaptation.result())


def _sums(wire: Loaded | None) -> tuple[str, ...]:
    return () if wire is None else wire.weights


def _limits() -> list[Any]:
    return [
        io.Int.Input(
            "steps",
            default=USUAL.steps,
            min=1,
            max=100_000,
            tooltip="At most so many steps. It ends earlier where nothing gets better any more.",
        ),
        io.Float.Input(
            "seconds",
            default=0.0,
            min=0.0,
            max=86_400.0,
            step=1.0,
            tooltip="At most so many seconds; 0 sets no limit. Cancel ends it too and keeps the best so far: run "
            "again to go on with that.",
        ),
        io.Float.Input(
            "learning_rate",
            default=0.0,
            min=0.0,
            max=0.1,
            step=0.00001,
            round=0.000001,
            tooltip="Size of the steps. More learns faster and runs away sooner. 0: what suits the magnifier, 0.0001 "
            "for flowmag and 0.001 for lkmag.",
        ),
    ]


def _choices() -> list[Any]:
    return [
        io.Int.Input(
            "batch",
            default=USUAL.batch,
            min=1,
            max=64,
            advanced=True,
            tooltip="Pairs of frames in a step. More is steadier, slower, and needs more memory.",
        ),
        io.Int.Input(
            "crop_px",
            default=USUAL.crop_px,
            min=128,
            max=1024,
            step=64,
            advanced=True,
            tooltip="Largest side of the crops, in px; a smaller clip is taken whole. More shows larger motions and "
            "costs time with its square.",
        ),
        io.Float.Input(
            "alpha_low",
            default=USUAL.alpha_low,
            min=0.03125,
            max=32.0,
            step=0.05,
            advanced=True,
            tooltip="Smallest factor to learn. Below 1 it learns to calm motion, which flowmag's authors did not.",
        ),
        io.Float.Input(
            "alpha_high",
            default=USUAL.alpha_high,
            min=0.03125,
            max=32.0,
            step=0.05,
            advanced=True,
            tooltip="Largest factor to learn; near the one to be used is enough.",
        ),
    ]


def _settings(reference: int, *, seconds: float, learning_rate: float, **chosen: Any) -> AdaptSettings:
    """0 on the widgets stands for none."""
    return AdaptSettings(reference=reference, seconds=seconds or None, learning_rate=learning_rate or None, **chosen)
