"""Flow Transfer: the motion lands where the faces say, as large and as turned as they say."""

import math

import numpy as np
import pytest
import synth
import torch
from magplus.models import registry
from magplus.models.errors import MagPlusError
from magplus.models.geometry import FaceBox, between, inverse
from magplus.models.lkmag import arch as lkmag

DRIVER, PORTRAIT = 128, 256
DRIVER_BOX = FaceBox(cx=64, cy=62, width=70, height=80)
PUSH = synth.total(synth.bump(52, 70, 7, 0.9, -0.6), synth.bump(80, 48, 8, -0.4, 0.7))


def turned(scale, angle, centre=(120.0, 130.0)):
    return FaceBox(
        cx=centre[0],
        cy=centre[1],
        width=DRIVER_BOX.width * scale,
        height=DRIVER_BOX.height * scale,
        angle_deg=angle,
    )


def drive(field, source_box, size=PORTRAIT, strength=1.0):
    texture = synth.Texture(4)
    frames = torch.stack([synth.render(texture, synth.scaled(field, s), DRIVER, DRIVER) for s in (0.0, 1.0)])
    portrait = synth.render(synth.Texture(9), synth.shift(0, 0), size, size)
    backbone, _ = registry.load_backbone("flow", [], {})
    guides = {"source_box": source_box, "driving_box": DRIVER_BOX, "motion_strength": strength}
    state = backbone.set_reference(backbone.encode_source(portrait[None], guides), frames[0], guides)
    return portrait, backbone.drive(state, frames, guides).frames


@pytest.mark.parametrize(("scale", "angle"), [(1.0, 0.0), (2.0, 20.0), (0.7, -30.0)])
def test_a_larger_and_turned_portrait_moves_further_along_the_turned_axis(scale, angle):
    box = turned(scale, angle)
    portrait, frames = drive(PUSH, box)
    magnifier = lkmag.builtin()
    measured = magnifier.displacement(magnifier.prepare(portrait), frames[1:])
    truth = rendered_on_portrait(PUSH, between(DRIVER_BOX, box))
    # One complex number: how far the face moved (its size) and along which axis (its angle), against the truth.
    ratio = (as_complex(truth).conj() * as_complex(measured)).sum() / as_complex(truth).abs().square().sum()
    assert float(ratio.abs()) == pytest.approx(1, abs=0.03)
    assert abs(math.degrees(float(ratio.angle()))) < 1


def as_complex(field):
    return torch.complex(field[:, 0], field[:, 1])


def rendered_on_portrait(field, to_source):
    """Closed form of the driver's field on the portrait: looked up at the driver's place, scaled and turned."""
    x, y = synth.pixel_grid(PORTRAIT, PORTRAIT)
    back = inverse(to_source)
    moved = field(back[0, 0] * x + back[0, 1] * y + back[0, 2], back[1, 0] * x + back[1, 1] * y + back[1, 2])
    return torch.from_numpy(np.einsum("ij,jhw->ihw", to_source[:, :2], np.stack(moved))).float()[None]


@pytest.mark.parametrize("strength", [0.0, 0.5, 2.0])
def test_motion_strength_scales_the_motion(strength):
    box = turned(1.0, 0.0)
    portrait, frames = drive(PUSH, box, strength=strength)
    magnifier = lkmag.builtin()
    measured = magnifier.displacement(magnifier.prepare(portrait), frames[1:])
    truth = rendered_on_portrait(PUSH, between(DRIVER_BOX, box))
    gain = (truth * measured).sum() / truth.square().sum()
    assert float(gain) == pytest.approx(strength, abs=0.04)


def test_nothing_moves_where_the_driver_does_not():
    portrait, frames = drive(PUSH, turned(2.0, 20.0))
    assert (frames[0] - portrait).abs().max() < 1e-5
    far = (frames[1] - portrait)[:, :40, :40]
    assert torch.equal(far, torch.zeros_like(far))


def test_the_face_border_is_smooth():
    portrait, frames = drive(synth.shift(1.2, 0.5), turned(1.0, 0.0, centre=(128.0, 128.0)))
    magnifier = lkmag.builtin()
    field = magnifier.displacement(magnifier.prepare(portrait), frames[1:])[0, 0]
    assert field[128, 128] == pytest.approx(1.2, rel=0.03)
    assert field[10:20, 10:20].abs().max() < 0.01
    steps = (field[:, 1:] - field[:, :-1]).abs()
    assert steps.max() < 0.25  # no tear: 1.2 px fall over some 12 px


def test_a_missing_box_and_too_many_sources_are_refused():
    backbone, _ = registry.load_backbone("flow", [], {})
    with pytest.raises(MagPlusError, match="source_box"):
        backbone.encode_source(torch.rand(1, 3, 32, 32), {})
    with pytest.raises(MagPlusError, match="one source"):
        backbone.encode_source(torch.rand(2, 3, 32, 32), {"source_box": turned(1, 0)})
