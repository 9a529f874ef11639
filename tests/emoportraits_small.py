"""EMOPortraits with light networks in the place of its heavy ones: everything else is the real thing."""

import emoportraits_files as files
import torch
import torch.nn.functional as F
from magplus.models.emoportraits.network import EmoOptions, EmoPortraits
from magplus.models.emoportraits.parts import MAKERS, Parts
from magplus.models.emoportraits.pose import volume_grid
from torch import nn

REAL = ("expression_embedder_nw", "pose_unsqueeze_nw", "warp_embed_head_orig_nw")


class Repeated(nn.Module):
    """The picture itself, smaller, on every depth and in every third channel."""

    def forward(self, pictures):
        return F.avg_pool2d(pictures, 8).repeat(1, 32, 1, 1)[:, :, None].expand(-1, -1, 16, -1, -1)


class Colours(nn.Module):
    """An identity: mean colours."""

    def forward(self, pictures):
        return F.adaptive_avg_pool2d(pictures, 4).repeat(1, 171, 1, 1)[:, :512]


class Shift(nn.Module):
    """A warp that moves everything by three numbers of the embedding."""

    def forward(self, embedding):
        moved = 0.05 * torch.tanh(embedding.flatten(2).mean(2)[:, :3])
        return volume_grid(embedding).view(1, 16, 64, 64, 4)[..., :3] + moved[:, None, None, None]


class Flat(nn.Module):
    """The picture back again."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, volume):
        return self.scale * F.interpolate(volume[:, :3].mean(2), scale_factor=8, mode="bilinear", align_corners=False)


def backbone(regressor=None, *, volume_source_nw=None, **options):
    """The backbone with options by name."""
    light = {
        "local_encoder_nw": Repeated(),
        "idt_embedder_nw": Colours(),
        "xy_generator_nw": Shift(),
        "uv_generator_nw": Shift(),
        "volume_source_nw": volume_source_nw or nn.Identity(),
        "volume_process_nw": nn.Identity(),
        "decoder_nw": Flat(),
    }
    return EmoPortraits(
        Parts({name: files.network(name) if name in REAL else light[name] for name in MAKERS}),
        regressor,
        EmoOptions(**options),
    )
