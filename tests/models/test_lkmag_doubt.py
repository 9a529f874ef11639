"""What of a displacement is taken for noise."""

import pytest
import torch
from magplus.models.filters import gaussian_blur
from magplus.models.lkmag import arch
from magplus.models.lkmag.blocks import noise_in_blocks
from magplus.models.lkmag.doubt import Proposal, judged, weak_beside_codec
from magplus.models.lkmag.levels import reference_level

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
    assert surely_a_codecs(noise(4, 1e-3)) == 1
    assert surely_a_codecs(noise(4, 5e-4)) == 0, "a magnified clip, enlarged: weaker than any codec's"
    assert surely_a_codecs(noise(1)) == 0, "white"
    assert surely_a_codecs(0 * noise()) == 0, "nothing at all"
    uncovered = torch.zeros(1, 3, SIZE, SIZE)
    uncovered[..., 30:60, 40:80] = 0.2
    assert surely_a_codecs(uncovered + noise(1, 1e-3)) == 0, "a place that was hidden"
    assert surely_a_codecs(uncovered + noise(4, 2e-3)) == 0
    assert surely_a_codecs(noise(8)) == 0, "an enlarged picture's rounding"
    blocks = noise_in_blocks(noise(4), WINDOWS, halvings=0, settled=False)
    assert float(blocks.sure) == 0, "a motion may still be to be found"


def textured(*strengths):
    """A level whose parts from left to right differ in texture."""
    parts = [s * part for s, part in zip(strengths, noise(1, 1.0).chunk(len(strengths), 3), strict=True)]
    return reference_level(torch.cat(parts, 3), damping=1e-6, least_noise=torch.full((1, 1, 1, 1), 1e-4))


def test_beside_a_codec_weak_texture_is_not_believed():
    level = textured(1e-3, 0.1)
    taken = weak_beside_codec(torch.full((1, 1, SIZE, SIZE), 0.2**2), level)[0, 0]
    assert taken[:, :40].min() > 0.98 and taken[:, 90:].max() < 0.01
    long = weak_beside_codec(torch.full((1, 1, SIZE, SIZE), 30.0**2), level)
    assert long[0, 0, :, :40].max() < 0.5, "a long motion is seen in weaker texture"
    assert weak_beside_codec(torch.zeros(1, 1, SIZE, SIZE), level).isfinite().all()


@pytest.mark.parametrize("codec", [0.0, 1.0])
def test_only_a_codec_is_judged_by_texture(codec):
    """A displacement that is far above the noise that its windows expect."""
    small, moved = torch.full((1, 1, SIZE, SIZE), 1e-6), torch.full((1, 2, SIZE, SIZE), 0.2)
    nothing = Proposal(displacement=moved, variance=small, error=small, wish=0 * small, correction=0 * moved)
    weak, strong = (judged(nothing, textured(s), torch.full((1, 1, 1, 1), codec)).mean() for s in (1e-3, 0.1))
    assert strong == pytest.approx(0.2, rel=0.01)
    assert weak == pytest.approx(0.2 * (1 - codec), abs=0.005)


def test_a_still_picture_with_a_codecs_noise_stays_still():
    still = (0.4 + 0.01 * gaussian_blur(noise(1, 1.0), 3.0))[0]
    coded = 0.7 * noise(8, 0.002, seed=1) + noise(1, 0.002, seed=2)
    magnifier = arch.builtin()
    with torch.no_grad():
        found = magnifier.displacement(magnifier.prepare(still), still + coded)[0].norm(dim=0)
    assert found.mean() < 0.02
