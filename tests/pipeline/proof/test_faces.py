"""Drawn faces: the truth they claim is what their pictures show."""

import pytest
import torch
from magplus.pipeline.proof.faces import ACTIONS, REST, Face, Pose, State, View
from magplus.pipeline.train.face_pairs import LEAST_PCT_FACE, render_pairs

VIEW = View(size=(96, 96), centre=(47.0, 48.0), width_px=66.0)
SMILE = State(actions={"mouth": 4.0, "brows": 3.0}, pose=Pose(yaw_deg=6, roll_deg=2, shift=(0.01, 0.0)))


def test_the_inverse_finds_the_point_that_is_shown():
    face, grid = Face(3), VIEW.grid()
    points = face.origin(grid, SMILE)
    assert (face.moved(points, SMILE) - grid).abs().max() < 1e-6


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_an_action_moves_by_what_its_strength_says(action):
    found = Face(5).displacement(VIEW, REST, State(actions={action: 2.0})).norm(dim=0).max()
    assert float(found) == pytest.approx(0.02 * VIEW.width_px, rel=0.25)


def test_a_moved_face_shows_each_point_where_the_displacement_takes_it():
    """The colours along the true displacement stay, those at the same place do not."""
    face = Face(7)
    view = View(size=(256, 256), centre=(127.0, 128.0), width_px=180.0)
    first, second = face.render(view, REST), face.render(view, SMILE)
    at = face.displacement(view, REST, SMILE).permute(1, 2, 0) + torch.stack(
        torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="xy"), -1
    )
    followed = torch.nn.functional.grid_sample(second[None], (at / 127.5 - 1)[None], mode="bicubic", align_corners=True)
    inside = face.matte(view) > 0.99
    assert (followed[0] - first)[:, inside].abs().mean() < 0.1 * (second - first)[:, inside].abs().mean()


def test_two_seeds_are_two_faces_and_one_seed_is_one():
    first, again, other = (Face(seed).render(VIEW, REST) for seed in (1, 1, 2))
    assert torch.equal(first, again) and (first - other).abs().mean() > 0.05


def test_training_sees_macro_motion_alone_and_its_truth_holds():
    pairs = render_pairs((4,), 2, 64, framing_scale=1.15)
    still = torch.stack(torch.meshgrid(*(2 * [torch.linspace(-1, 1, 64)]), indexing="xy"))
    face_width = 64 / (1.15 * 1.25)
    peaks = 100 * (pairs.arrival - still).norm(dim=1).flatten(1).amax(1) * 63 / 2 / face_width
    assert peaks.min() > 0.9 * LEAST_PCT_FACE
    grid = pairs.origin.permute(0, 2, 3, 1)
    brought = torch.nn.functional.grid_sample(pairs.source, grid, mode="bicubic", align_corners=True)
    known = pairs.known.expand_as(brought) > 0.5
    assert (brought - pairs.driving)[known].abs().mean() < 0.4 * (pairs.source - pairs.driving)[known].abs().mean()
