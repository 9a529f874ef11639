"""What of a displacement is taken for noise."""

import pytest
import torch
from magplus.models.lkmag import arch
from magplus.models.lkmag.blocks import noise_in_blocks
from magplus.models.lkmag.doubt import judged, weak_beside_codec
from magplus.models.lkmag.network import LKMag

SIZE = 128
WINDOWS = (1.2, 2.4, 4.8, 9.6)


def noise(block_px=1, sigma=0.01, seed=0):
    """Noise ``(1, 3, SIZE, SIZE)`` that is constant over blocks."""
    sides = SIZE // block_px
    grain = sigma * torch.randn(1, 3, sides, sides, generator=torch.Generator().manual_seed(seed))
    return grain.repeat_interleave(block_px, 2).repeat_interleave(block_px, 3)


def surely_a_codecs(left):
    return float(noise_in_blocks(left, WINDOWS, halvings=0, settled=True).sure)


def test_a_codecs_noise_is_told_from_all_other():
    assert surely_a_codecs(noise(4)) == 1
    assert surely_a_codecs(noise(8, 0.005) + noise(1, 0.01)) == 1
    assert surely_a_codecs(noise(1)) == 0, "white"
    assert surely_a_codecs(0 * noise()) == 0, "nothing at all"
    uncovered = torch.zeros(1, 3, SIZE, SIZE)
    uncovered[..., 30:60, 40:80] = 0.2
    assert surely_a_codecs(uncovered + noise(1, 1e-3)) == 0, "a place that was hidden"
    assert surely_a_codecs(uncovered + noise(4, 2e-3)) == 0
    assert surely_a_codecs(noise(8)) == 0, "an enlarged picture's rounding"
    blocks = noise_in_blocks(noise(4), WINDOWS, halvings=0, settled=False)
    assert float(blocks.sure) == 0, "a motion may still be to be found"


def test_beside_a_codec_weak_texture_is_not_believed():
    found = torch.full((1, 2, SIZE, SIZE), 0.2)
    texture = torch.full((1, 1, SIZE, SIZE), 1e-2)
    texture[..., :64, :] = 1e-5
    taken = weak_beside_codec(found, texture)[0, 0]
    assert taken[:40].min() > 0.99 and taken[90:].max() < 0.01
    assert weak_beside_codec(50 * found, texture)[0, 0, :40].max() < 0.5, "a long motion is seen in weaker texture"
    nothing = weak_beside_codec(0 * found, texture)
    assert nothing.isfinite().all()


@pytest.mark.parametrize("codec", [0.0, 1.0])
def test_only_a_codec_is_judged_by_texture(codec):
    """With a network that changes nothing."""
    still = 0.4 + 0.1 * noise(1, 0.3)
    proposals = []

    class Noted(type(arch.builtin().weigher)):
        def forward(self, evidence, displacement):
            proposals.append(super().forward(evidence, displacement))
            return proposals[-1]

    magnifier = LKMag(weigher=Noted())
    with torch.no_grad():
        magnifier.displacement(magnifier.prepare(still[0]), torch.roll(still, 1, 3))
        weak, strong = (torch.full((1, 1, SIZE, SIZE), value) for value in (1e-6, 1e-1))
        out = [judged(proposals[-1], 0, texture, torch.full((1, 1, 1, 1), codec)) for texture in (weak, strong)]
    length = [float(found.norm(dim=1)[0, 20:-20, 20:-20].median()) for found in out]
    assert length[1] == pytest.approx(1, abs=0.05)
    assert length[0] == pytest.approx(1 - codec, abs=0.05)
