"""lkmag's prior as a flow estimator: its values are the magnifier's, its gradients those of its values."""

import pytest
import synth
import torch
from magplus.models.lkmag import arch
from magplus.models.lkmag.flow import LucasKanadeFlow

SIZE = 96
TEXTURE = synth.Texture(3)


def picture(push):
    return synth.render(TEXTURE, synth.bump(46, 50, 12, push, -0.4), SIZE, SIZE)[None]


def test_its_values_are_the_magnifiers():
    first, second = torch.cat([picture(0), picture(1)]), torch.cat([picture(0.5), picture(-2)])
    magnifier = arch.prior()
    expected = [magnifier.displacement(magnifier.prepare(a), b[None]) for a, b in zip(first, second, strict=True)]
    flow = LucasKanadeFlow().flow(first, second.requires_grad_())
    assert torch.allclose(flow, torch.cat(expected), atol=1e-6)


@pytest.mark.parametrize("push", [0.3, 1.0, 4.0])
def test_its_gradient_is_that_of_the_motion(push):
    """Along the change of the picture that a little more motion brings: what is measured of it, less some blur."""
    estimator, still, step = LucasKanadeFlow(), picture(0), 0.02
    inside = torch.zeros(1, 2, SIZE, SIZE)
    inside[:, 0, 34:66, 30:62] = 1 / 32**2
    moved = picture(push).requires_grad_()
    (estimator.flow(still, moved) * inside).sum().backward()
    more, less = picture(push + step), picture(push - step)
    measured = ((estimator.flow(still, more) - estimator.flow(still, less)) * inside).sum() / (2 * step)
    along = (moved.grad * (more - less)).sum() / (2 * step)
    assert 0.55 * measured < along < 1.05 * measured


def test_what_shows_nothing_of_the_reference_pulls_little():
    estimator, still = LucasKanadeFlow(), picture(0)
    sizes = []
    for other in (picture(0.5), synth.render(synth.Texture(9), synth.shift(0, 0), SIZE, SIZE)[None]):
        other.requires_grad_()
        estimator.flow(still, other).abs().sum().backward()
        sizes.append(other.grad.abs().mean())
    assert sizes[1] < 0.5 * sizes[0]
