"""The ten networks of the released model, and what they do together."""

from __future__ import annotations

from torch import Tensor, nn

from .decoder import Decoder
from .expression_embedder import LATENT, ExpressionEmbedder
from .identity_embedder import IdentityEmbedder
from .local_encoder import LocalEncoder
from .pose import into_canonical, sample_volume, turned_grid
from .volume_nets import ProcessVolume, SourceVolume
from .warp_generator import WarpGenerator


class Parts(nn.Module):
    """All of them, under the names of the released file. Nothing here remembers a portrait or a frame."""

    def __init__(self) -> None:
        super().__init__()
        self.local_encoder_nw = LocalEncoder()
        self.idt_embedder_nw = IdentityEmbedder()
        self.expression_embedder_nw = ExpressionEmbedder()
        self.pose_unsqueeze_nw = nn.Linear(LATENT, 512 * 4 * 4, bias=False)
        self.warp_embed_head_orig_nw = nn.Conv2d(512, 512, 1, bias=False)
        self.xy_generator_nw = WarpGenerator()
        self.uv_generator_nw = WarpGenerator()
        self.volume_source_nw = SourceVolume()
        self.volume_process_nw = ProcessVolume()
        self.decoder_nw = Decoder()

    def warp_embedding(self, identity: Tensor, expression: Tensor) -> Tensor:
        """``(N, 512, 4, 4)`` for the *portrait's* identity ``(1, 512, 4, 4)`` and anybody's latents ``(N, 128)``."""
        shown = self.pose_unsqueeze_nw(expression).unflatten(1, (512, 4, 4))
        return self.warp_embed_head_orig_nw(0.5 * (shown + identity))

    def canonical_volume(self, pictures: Tensor, theta: Tensor, embedding: Tensor) -> Tensor:
        """The portrait without its pose and expression, ``(1, 96, 16, 64, 64)``."""
        volume = self.volume_source_nw(self.local_encoder_nw(pictures))
        volume = sample_volume(volume, into_canonical(theta))
        return self.volume_process_nw(sample_volume(volume, self.xy_generator_nw(embedding)))

    def picture(self, canonical: Tensor, embedding: Tensor, theta: Tensor) -> Tensor:
        """Pictures ``(N, 3, 512, 512)``: first the expression, then the turn, read one after the other."""
        shown = sample_volume(canonical, self.uv_generator_nw(embedding))
        return self.decoder_nw(sample_volume(shown, turned_grid(theta)))
