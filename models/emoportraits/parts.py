# SPDX-License-Identifier: Apache-2.0
"""The ten networks of the released model, and what they do together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from .decoder import Decoder
from .expression_embedder import LATENT, ExpressionEmbedder
from .identity_embedder import IdentityEmbedder
from .local_encoder import LocalEncoder
from .pose import into_canonical, sample_volume, turned_grid
from .volume_nets import ProcessVolume, SourceVolume
from .warp_generator import WarpGenerator

MAKERS: dict[str, Callable[[], nn.Module]] = {
    "local_encoder_nw": LocalEncoder,
    "idt_embedder_nw": IdentityEmbedder,
    "expression_embedder_nw": ExpressionEmbedder,
    "pose_unsqueeze_nw": lambda: nn.Linear(LATENT, 512 * 4 * 4, bias=False),
    "warp_embed_head_orig_nw": lambda: nn.Conv2d(512, 512, 1, bias=False),
    "xy_generator_nw": WarpGenerator,
    "uv_generator_nw": WarpGenerator,
    "volume_source_nw": SourceVolume,
    "volume_process_nw": ProcessVolume,
    "decoder_nw": Decoder,
}
"""Each of them, by its name in the released file."""


class Parts(nn.Module):
    """All of them together. Nothing here remembers a portrait or a frame."""

    local_encoder_nw: LocalEncoder
    idt_embedder_nw: IdentityEmbedder
    expression_embedder_nw: ExpressionEmbedder
    pose_unsqueeze_nw: nn.Linear
    warp_embed_head_orig_nw: nn.Conv2d
    xy_generator_nw: WarpGenerator
    uv_generator_nw: WarpGenerator
    volume_source_nw: SourceVolume
    volume_process_nw: ProcessVolume
    decoder_nw: Decoder

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name in MAKERS:
            self.add_module(name, networks[name])

    def warp_embedding(self, identity: Tensor, expression: Tensor) -> Tensor:
        """``(N, 512, 4, 4)`` for the *portrait's* identity ``(1, 512, 4, 4)`` and anybody's latents ``(N, 128)``."""
        shown = self.pose_unsqueeze_nw(expression).unflatten(1, (512, 4, 4))
        return self.warp_embed_head_orig_nw(0.5 * (shown + identity))

    def canonical_volume(self, pictures: Tensor, theta: Tensor, embedding: Tensor) -> Tensor:
        """The portrait without its pose and expression, ``(1, 96, 16, 64, 64)``."""
        volume = self.volume_source_nw(self.local_encoder_nw(pictures.to(self.precision)))
        volume = sample_volume(volume.float(), into_canonical(theta))
        volume = sample_volume(volume, self.xy_generator_nw(embedding))
        return self.volume_process_nw(volume.to(self.precision)).float()

    def source_blocks(self) -> list[nn.Module]:
        """The blocks that nearly all of the time for a portrait goes to, plain or folded."""
        networks = (self.local_encoder_nw, self.volume_source_nw, self.volume_process_nw)
        return [part for network in networks for part in network.modules() if hasattr(part, "skip")]

    def picture(self, canonical: Tensor, embedding: Tensor, theta: Tensor) -> Tensor:
        """Pictures ``(N, 3, 512, 512)``: first the expression, then the turn, read one after the other."""
        shown = sample_volume(canonical, self.uv_generator_nw(embedding))
        return self.decoder_nw(sample_volume(shown, turned_grid(theta)).to(self.precision))

    @property
    def precision(self) -> torch.dtype:
        """What is painted with. Places and latents always are float32."""
        return next(self.decoder_nw.parameters()).dtype
