"""KeyFace with the weights that come with the pack: it follows, in its range, on faces that it was never shown."""

import hashlib

import pytest
import torch
from magplus.models import registry
from magplus.models.catalog import BACKBONES
from magplus.models.checkpoint import read_checkpoint
from magplus.models.errors import MagPlusError
from magplus.models.keyface import arch
from magplus.models.lkmag import arch as lkmag
from magplus.pipeline.proof.faces import REST, Face, State, View

SIDE = arch.FRAMING.size
VIEW = View(size=(SIDE, SIDE), centre=(47.5, 47.5), width_px=66.0)
MACRO = State(actions={"mouth": 6.0, "brows": 5.0})


@pytest.fixture(scope="module")
def driven():
    """A backbone, the portrait, the driver's reference and its expression."""
    backbone, files = registry.load_backbone("keyface", [], {})
    assert files == []
    driver, portrait = Face((0x7E57, 1)), Face((0x7E57, 2))
    return backbone, portrait, driver.render(VIEW, REST, finer=2), driver.render(VIEW, MACRO, finer=2)


def drive(driven, frames, **guides):
    backbone, portrait, reference, _ = driven
    source = backbone.encode_source(portrait.render(VIEW, REST, finer=2)[None], {})
    return backbone.drive(backbone.set_reference(source, reference, {}), frames, guides).frames


def test_the_reference_gives_the_portrait_and_strength_0_the_same(driven):
    _, portrait, reference, expression = driven
    still = drive(driven, reference[None])[0]
    assert (still - portrait.render(VIEW, REST, finer=2)).abs().mean() < 0.03
    assert torch.allclose(drive(driven, expression[None], motion_strength=0.0)[0], still, atol=1e-5)


def test_the_portrait_does_what_the_driver_does(driven):
    _, portrait, reference, expression = driven
    made = drive(driven, torch.stack([reference, expression]))
    prior = lkmag.builtin()
    found = prior.displacement(prior.prepare(made[0], 1.0), made[1:])[0]
    true = portrait.displacement(VIEW, REST, MACRO)
    cosine = (found * true).sum() / (found.norm() * true.norm())
    gain = (found * true).sum() / true.square().sum()
    assert cosine > 0.7 and 0.5 < gain < 1.3


def test_frames_are_worked_on_one_by_one(driven):
    _, _, reference, expression = driven
    both = drive(driven, torch.stack([reference, expression]))
    assert torch.allclose(both[1:], drive(driven, expression[None]), atol=1e-5)


def test_odd_sizes_and_two_portraits_are_refused(driven):
    backbone = driven[0]
    with pytest.raises(MagPlusError, match="multiples of 16"):
        backbone.encode_source(torch.rand(1, 3, 90, 96), {})
    with pytest.raises(MagPlusError, match="one source"):
        backbone.encode_source(torch.rand(2, 3, 96, 96), {})


def test_the_file_is_data_known_small_and_the_one_of_the_model_card(root):
    checkpoint = read_checkpoint(arch.WEIGHTS)
    assert registry.identify(checkpoint).name == "keyface"
    assert arch.WEIGHTS.stat().st_size < 8_000_000
    digest = hashlib.sha256(arch.WEIGHTS.read_bytes()).hexdigest()
    assert digest in (root / "docs" / "keyface.md").read_text()
    assert "of this pack" in registry.identify(checkpoint).title and "our own" in BACKBONES["keyface"].title


def test_a_file_of_ones_own_takes_its_place():
    mine, files = registry.load_backbone("keyface", [arch.WEIGHTS], {"relative": "false"})
    assert mine.name == "keyface" and len(files) == 1
