"""Drawing landmarks as the official code does, more finely than it does, and finding them on ordinary faces."""

import hashlib

import cv2
import detfill
import metaportrait_files as files
import numpy as np
import pytest
import torch
from magplus.models.errors import MagPlusError
from magplus.models.geometry import FaceBox
from magplus.models.metaportrait import topology
from magplus.models.metaportrait.chains import CHAINS, IRIS
from magplus.models.metaportrait.controls import HALF, IRIS_LEFT, IRIS_RIGHT, MIDLINE
from magplus.models.metaportrait.drawing import draw
from magplus.models.metaportrait.landmarks import from_box, from_layout, from_mesh

BOX = FaceBox(cx=127.5, cy=150.0, width=140.0, height=180.0)
SMALL = FaceBox(cx=128.3, cy=110.2, width=80.0, height=100.0)
"""Down to the collar inside the picture."""

SHIFT_PX = 0.1


@pytest.fixture(scope="module")
def facts():
    return detfill.golden("metaportrait")


def whole(points):
    return draw(torch.from_numpy(points)[None], subpixel=False)


def test_tables_are_the_released_ones(facts):
    drawing = facts[1]["drawing"]
    assert hashlib.sha256(topology.EDGES.tobytes()).hexdigest() == drawing["connectivity_sha256_int32_616x2"]
    assert hashlib.sha256(topology.COLOURS.tobytes()).hexdigest() == drawing["colors_sha256_uint8_616x3"]
    edges = {tuple(sorted(edge)) for edge in topology.EDGES.tolist()}
    assert {tuple(sorted(edge)) for edge in topology.MIRROR[topology.EDGES].tolist()} == edges
    assert (topology.MIRROR[topology.MIRROR] == np.arange(topology.POINTS)).all()


@pytest.mark.parametrize("which", ["src", "drv0", "drv1"])
def test_official_drawing(facts, which):
    arrays, about = facts
    made = whole(files.points(which))
    lines = (made.lines[0] * 255).round().permute(1, 2, 0).numpy()
    # Other versions of OpenCV anti-alias a little differently.
    assert (lines != arrays[f"line_{which}"]).mean() < 1e-3
    np.testing.assert_array_equal(made.gaze[0].numpy(), arrays[f"ldmk58_{which}"][29:37])
    mask, box = made.mouth[0, 0].numpy(), about["stats"][f"mouth_mask_{which}"]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert mask.sum() == box["sum"]
    assert [rows[0], rows[-1], columns[0], columns[-1]] == box["bbox"]


def test_points_far_outside_and_an_empty_mouth_do_no_harm():
    points = files.points("src")
    points[:100] = 1e6
    points[topology.MOUTH_X[0]], points[topology.MOUTH_X[1]] = (0.9, 0.5), (0.1, 0.5)
    made = whole(points)
    assert torch.isfinite(made.lines).all()
    assert made.mouth.sum() == 0


def centred(points):
    """The same landmarks in the middle of their pixels."""
    return (np.floor(points * 256) + 0.5) / 256


def test_both_drawings_look_alike_in_the_middle_of_pixels():
    points = torch.from_numpy(centred((from_box(BOX) + 0.5) / 256))[None]
    ours, official = (draw(points, subpixel=fine).lines for fine in (True, False))
    assert (ours - official).abs()[official > 0].mean() < 0.015
    assert ((ours > 0.2) != (official > 0.2)).float().mean() < 0.005


@pytest.mark.parametrize("direction", [(1.0, 0.0), (0.0, 1.0), (0.6, -0.8), (0.3, 0.3)])
def test_a_tenth_of_a_pixel_survives_only_subpixel_drawing(direction):
    points = torch.from_numpy((from_box(SMALL) + 0.5) / 256)[None]
    wanted = SHIFT_PX * np.array(direction)
    moved = points + torch.from_numpy(wanted) / 256
    fine, official = (shift_between(*(draw(p, subpixel=s).lines[0] for p in (points, moved))) for s in (True, False))
    assert np.abs(fine - wanted).max() < 0.03 * SHIFT_PX
    assert np.abs(official - wanted).max() > 0.15 * SHIFT_PX
    resting = torch.from_numpy(centred(points[0].numpy()))[None]
    assert torch.equal(*(draw(p, subpixel=False).lines for p in (resting, resting + (moved - points))))


def shift_between(before, after):
    """Shift (x, y) in px of one picture to another, by least squares on the gradients of both, blurred."""
    before, after = (cv2.GaussianBlur(p.permute(1, 2, 0).double().numpy(), (0, 0), 3) for p in (before, after))
    down, across = np.gradient((before + after) / 2, axis=(0, 1))
    slopes = np.stack([across.ravel(), down.ravel()], axis=1)
    return np.linalg.lstsq(slopes, (before - after).ravel(), rcond=None)[0]


def mesh_like(size=478, seed=3):
    """A face mesh whose named points lie on the plain face, a little off, and mirrored points mirrored."""
    rng = np.random.default_rng(seed)
    mesh = np.zeros((478, 2))
    for key, (partner, x, y) in HALF.items():
        dx, dy = rng.normal(0, 0.004, 2)
        mesh[key], mesh[partner] = (x + dx, y + dy), (-x - dx, y + dy)
    for key, y in MIDLINE.items():
        mesh[key] = (0, y)
    for rim, sign in ((IRIS_RIGHT, 1), (IRIS_LEFT, -1)):
        centre = np.array([sign * 0.2, 0.435])
        around = [(0, 0), (0.04, 0), (0, -0.04), (-0.04, 0), (0, 0.04)]
        mesh[list(rim)] = centre + around
    return (mesh * [140, 180] + [128, 60])[:size]


@pytest.mark.parametrize("size", [468, 478])
def test_a_mirrored_mesh_gives_mirrored_landmarks(size):
    mesh = mesh_like(size)
    partner = np.arange(size)
    for key, (other, *_) in HALF.items():
        partner[[key, other]] = other, key
    if size == 478:
        partner[list(IRIS_RIGHT)], partner[list(IRIS_LEFT)] = list(IRIS_LEFT), list(IRIS_RIGHT)
    tilted = mesh + 0.1 * (mesh[:, ::-1] - 128) * [1, -1]
    flipped = (tilted * [-1, 1] + [256, 0])[partner]
    found, mirrored = from_mesh(tilted), from_mesh(flipped)
    np.testing.assert_allclose(mirrored[topology.MIRROR], found * [-1, 1] + [256, 0], atol=1e-9)


def test_a_mesh_moves_its_landmarks_with_it():
    mesh = mesh_like()
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    np.testing.assert_allclose(from_mesh(1.3 * mesh @ turn.T + [5, -7]), 1.3 * from_mesh(mesh) @ turn.T + [5, -7])


def test_landmarks_lie_where_the_mesh_says():
    mesh = mesh_like()
    found = from_mesh(mesh)
    assert np.isfinite(found).all()
    # Corners of the mouth's box, the lips' middles, the corners of the eye's ring, the iris.
    for landmark, vertex in ((636, 0), (637, 13), (660, 14), (74, 17), (23, 362), (191, 263), (338, 133), (505, 33)):
        np.testing.assert_allclose(found[landmark], mesh[vertex], atol=1e-9)
    rim = np.linalg.norm(found[list(IRIS)] - mesh[473], axis=1)
    np.testing.assert_allclose(rim, rim[0])
    extremes = found[list(topology.GAZE)]
    assert extremes[0, 0] < extremes[2, 0] and extremes[1, 1] < extremes[3, 1], "left, top, right, bottom"
    eye = found[topology.SELECTED[1:5]]
    assert eye[0, 0] < eye[1, 0] and eye[2, 1] < eye[3, 1], "the eye's box as it is picked"


def test_landmarks_in_between_are_the_mean_of_their_neighbours():
    found = from_layout()
    laid = {point for chain in CHAINS for point in chain.points} | set(IRIS)
    laid |= {int(topology.MIRROR[point]) for point in laid}
    free = set(topology.EDGES.ravel().tolist()) - laid
    assert free
    for point in free:
        at = topology.EDGES[(point == topology.EDGES).any(1)]
        neighbours = at[at != point]
        np.testing.assert_allclose(found[point], found[neighbours].mean(0), atol=1e-9)


def test_a_plain_face_fills_its_box_and_turns_with_it():
    upright = from_box(BOX)
    drawn = upright[np.unique(topology.EDGES)]
    assert np.ptp(drawn[:, 0]) == pytest.approx(1.17 * BOX.width, rel=0.02), "ears stand out of the box"
    np.testing.assert_allclose(upright[643], [BOX.cx, BOX.cy + BOX.height / 2])
    np.testing.assert_allclose(upright[topology.MIRROR] * [-1, 1] + [2 * BOX.cx, 0], upright, atol=1e-9)
    turned = from_box(FaceBox(cx=BOX.cx, cy=BOX.cy, width=BOX.width, height=BOX.height, angle_deg=90))
    np.testing.assert_allclose(turned[643], [BOX.cx - BOX.height / 2, BOX.cy], atol=1e-9)


def test_what_is_no_face_mesh_is_refused():
    with pytest.raises(MagPlusError, match="468 or 478"):
        from_mesh(np.zeros((68, 2)))
