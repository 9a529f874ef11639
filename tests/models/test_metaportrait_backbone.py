"""MetaPortrait as a backbone: folded networks, landmarks from the measured motion, identities."""

import detfill
import metaportrait_files as files
import numpy as np
import pytest
import synth
import torch
from magplus.models.errors import MagPlusError
from magplus.models.geometry import FaceBox
from magplus.models.keypoints.motion import MotionOptions
from magplus.models.metaportrait.drawing import draw
from magplus.models.metaportrait.identity import IdentityFit, difference
from magplus.models.metaportrait.network import MetaPortrait
from magplus.models.precision import has_bfloat16
from magplus.nodes.host import outside_inference_mode
from magplus.pipeline.motion.fitting import fitting

PLACE, PICTURE = 1e-4, 1e-3
BOX = FaceBox(cx=127.5, cy=150.0, width=140.0, height=180.0)
BOXES = {"source_box": BOX, "driving_box": BOX}
ZEROS = {**BOXES, "source_identity": "zeros"}
PUSH = synth.total(synth.bump(110, 190, 22, 0.1, -0.06), synth.bump(150, 120, 26, -0.05, 0.08))


@pytest.fixture(scope="module")
def fast():
    return files.backbone()


def with_options(fast, *, subpixel_lines=True, identity_steps=3, **motion):
    """The same network behind other options."""
    return MetaPortrait(
        fast.network, MotionOptions(**motion), subpixel_lines=subpixel_lines, identity_steps=identity_steps
    )


def in_px(points):
    """Fractions of the crop as the backbone takes landmarks."""
    return torch.from_numpy(points.astype(np.float64)) * 256 - 0.5


def close(found, array, tolerance):
    np.testing.assert_allclose(found.detach().numpy(), array, atol=tolerance, rtol=0)


def test_the_folded_network_gives_the_same(fast):
    arrays, network = detfill.golden("metaportrait")[0], fast.network
    source, driving = files.drawing("src"), files.drawing("drv0")
    with torch.no_grad():
        warp = network.warp(files.source(), source, driving)
        modulations = network.modulations(network.encode(files.source()), warp, source, driving)
        made = [network.SPDAE_G(modulations, sign * files.identity()) for sign in (1, -1)]
    close(warp.deformation, arrays["drv0_deformation"], PLACE)
    close(warp.occlusion[..., ::4, ::4], arrays["drv0_occlusion_s4"], PLACE)
    close(made[0][..., ::2, ::2], arrays["drv0_prediction_s2"], PICTURE)
    close(made[1][..., ::4, ::4], arrays["drv0_negid_prediction_s4"], PICTURE)


@pytest.fixture(scope="module")
def upstream(fast):
    """Upstream's behaviour, with given landmarks and identity: the backbone, its state, guides of two frames."""
    backbone = with_options(fast, relative=False, subpixel_lines=False)
    guides = {"source_landmarks": in_px(files.points("src")), "source_identity": files.identity()[0]}
    state = backbone.encode_source(files.source(), guides)
    both = torch.stack([in_px(files.points(which)) for which in ("drv0", "drv1")])
    drive = backbone.set_reference(state, files.source()[0], {"driving_landmarks": both[0]})
    return backbone, drive, both


def test_given_landmarks_rule_and_frames_do_not_know_of_each_other(upstream):
    backbone, drive, both = upstream
    frames = torch.rand(2, 3, 256, 256)
    together = backbone.drive(drive, frames, {"driving_landmarks": both}).frames
    alone = backbone.drive(drive, 1 - frames[:1], {"driving_landmarks": both[1:]}).frames
    assert (together[1] - alone[0]).abs().max() < 1e-5
    # The official drawing of these landmarks is that of the goldens; only their mouth box is another.
    drawing = draw(torch.from_numpy(files.points("drv0"))[None], subpixel=False)
    network = backbone.network
    with torch.no_grad():
        warp = network.warp(files.source(), drive.source.drawing, drawing)
        made = network.refine(drive.source.taps, warp, drive.source.drawing, drawing, files.identity())
    assert (made.clamp(0, 1) - together[:1]).abs().max() < 1e-3


@pytest.fixture(scope="module")
def pushed():
    """Frames of 256 px in which the face is pushed by a tenth of a pixel; the first is at rest."""
    return synth.clip(PUSH, np.array([0.0, 1.0]), (256, 256), seed=3)


def truth(points):
    """Landmarks as fractions of the crop, after the push."""
    x, y = (points * 256 - 0.5).unbind(-1)
    dx, dy = PUSH(x.numpy(), y.numpy())
    return points + torch.from_numpy(np.stack([dx, dy], axis=-1)) / 256


@pytest.mark.parametrize("given", ["box", "mesh"])
def test_a_tenth_of_a_pixel_arrives_in_the_lines(fast, pushed, given):
    """Measured by the dense displacement, within 5 %, projected on the lines of landmarks that truly moved."""
    guides = dict(ZEROS)
    if given == "mesh":
        mesh = np.random.default_rng(0).normal(0, 45, (478, 2)) + np.array([127, 150])
        guides["driving_landmarks"] = torch.from_numpy(mesh)
    source = fast.encode_source(files.source(), ZEROS)
    state = fast.set_reference(source, pushed[0], guides)
    found = fast.driving_points(state, pushed, guides)
    assert (found[0] - state.points).abs().max() * 256 < 2e-3
    rest, moved, wanted = (
        draw(points[None], subpixel=True).lines for points in (state.points, found[1], truth(state.points))
    )
    change = wanted - rest
    gain = float(((moved - rest) * change).sum() / change.square().sum())
    assert gain == pytest.approx(1, abs=0.05)
    coarse = [draw(points[None], subpixel=False).lines for points in (state.points, found[1])]
    assert abs(float(((coarse[1] - coarse[0]) * change).sum() / change.square().sum()) - 1) > 0.15


def test_strength_and_reference(fast, pushed):
    source = fast.encode_source(files.source(), ZEROS)
    state = fast.set_reference(source, pushed[0], ZEROS)
    goals = [fast._goal(state, fast.driving_points(state, pushed[1:], ZEROS), s) for s in (0.0, 0.5, 1.0)]
    assert torch.equal(goals[0][0], source.points)
    torch.testing.assert_close(goals[1] - goals[0], (goals[2] - goals[0]) / 2)
    still = fast.drive(state, pushed[1:], {**ZEROS, "motion_strength": 0.0}).frames
    at_rest = fast.drive(state, pushed[:1], ZEROS).frames
    assert 0 < (at_rest - still).abs().mean() < 0.02


def test_another_persons_landmarks_change_by_the_drivers_difference(fast):
    other = FaceBox(cx=120.0, cy=140.0, width=110.0, height=150.0)
    guides = {**ZEROS, "source_box": other}
    driving = in_px(files.points("drv0"))
    for scaled in (False, True):
        backbone = with_options(fast, adapt_movement_scale=scaled)
        source = backbone.encode_source(files.source(), guides)
        state = backbone.set_reference(source, files.source()[0], {"driving_landmarks": in_px(files.points("src"))})
        goal = backbone._goal(state, (driving[None] + 0.5) / 256, 1.0)
        change = (driving + 0.5) / 256 - state.points
        torch.testing.assert_close(goal[0], source.points + state.scale * change)
        assert (state.scale != 1) == scaled
    absolute = with_options(fast, relative=False)
    assert torch.equal(absolute._goal(state, (driving[None] + 0.5) / 256, 1.0)[0], (driving + 0.5) / 256)


def test_a_fit_brings_the_picture_nearer(fast):
    """Inside ComfyUI's mode, as the node runs it, with weights that were loaded in it."""
    ticks = []
    with torch.inference_mode():
        backbone = with_options(fast, identity_steps=3)
        fit = backbone.fit(files.source(), BOXES)
        assert isinstance(fit, IdentityFit) and fit.guide == "source_identity"
        watched = fitting(backbone, progress=lambda *tick: ticks.append(tick[:3]), escape=outside_inference_mode)
        state = watched.encode_source(files.source(), BOXES)
        assert watched.encode_source(files.source(), ZEROS).identity.abs().max() == 0
    assert ticks == [("fit", done, 3) for done in (1, 2, 3)]
    assert not any(parameter.requires_grad for parameter in fast.network.parameters())
    modulations, portrait = fit.values
    with torch.no_grad():
        loss = [
            difference(fast.network.SPDAE_G(modulations, vector), portrait)
            for vector in (torch.zeros(1, 256), state.identity)
        ]
    assert loss[1] < 0.97 * loss[0]


def test_a_given_identity_needs_no_fit(fast):
    for value in (torch.zeros(256), "zeros"):
        assert fast.fit(files.source(), {**BOXES, "source_identity": value}) is None


@pytest.mark.heavy
@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
def test_bfloat16_stays_near_and_moves_the_same(fast):
    rough = files.backbone(precision="bfloat16")
    source, driving = files.drawing("src"), files.drawing("drv0")
    pictures = []
    with torch.no_grad():
        for network in (fast.network, rough.network):
            warp = network.warp(files.source(), source, driving)
            pictures.append(network.refine(network.encode(files.source()), warp, source, driving, files.identity()))
            close(warp.deformation, detfill.golden("metaportrait")[0]["drv0_deformation"], PLACE)
    difference = (pictures[1] - pictures[0]).abs()
    assert pictures[1].dtype == torch.float32
    assert 0 < difference.mean() < 0.02 and difference.max() < 0.4


def test_bad_input_says_what_to_do(fast):
    with pytest.raises(MagPlusError, match="256 x 256"):
        fast.encode_source(torch.rand(1, 3, 128, 128), ZEROS)
    with pytest.raises(MagPlusError, match="one source"):
        fast.encode_source(torch.rand(2, 3, 256, 256), ZEROS)
    with pytest.raises(MagPlusError, match="landmarks or a face box of the source side"):
        fast.encode_source(files.source(), {"source_identity": "zeros"})
    with pytest.raises(MagPlusError, match="468 or 478 of a face mesh"):
        fast.encode_source(files.source(), {**ZEROS, "source_landmarks": torch.zeros(68, 2)})
    with pytest.raises(MagPlusError, match="no face was found"):
        fast.encode_source(files.source(), {**ZEROS, "source_landmarks": torch.full((478, 2), torch.nan)})
    with pytest.raises(MagPlusError, match=r"ArcFace: 512"):
        fast.encode_source(files.source(), {**BOXES, "source_identity": torch.zeros(512)})
