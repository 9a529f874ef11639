"""EMOPortraits' nodes: guides reach the model in its crop, the portrait is encoded once, files that are missing."""

import emoportraits_files as files
import emoportraits_small as small
import numpy as np
import pytest
import torch
from magplus.models.emoportraits.arch import HEAD_POSE
from magplus.nodes.wires import Loaded

ORIGIN = "https://github.com/neeek2303/EMOPortraits"
BOX = {"source_x": 150, "source_y": 110, "source_width": 180, "source_height": 200}


@pytest.fixture(scope="module")
def backbone():
    return small.backbone(files.network(HEAD_POSE), head_pose="driver", face_crop="follow")


@pytest.fixture
def seen(standalone, backbone, monkeypatch):
    """Guides that the model was given for the portrait, once for each time that it was encoded."""
    standalone.module("nodes.animate").ENCODED.clear()
    found, encode = [], backbone.encode_source
    monkeypatch.setattr(backbone, "encode_source", lambda *given: (found.append(given[1]), encode(*given))[1])
    return found


def portrait_and_mask():
    """An IMAGE that is not square, and a MASK that reaches its lower edge."""
    mask = torch.zeros(1, 400, 480)
    mask[:, 60:, 130:350] = 1
    return torch.rand(1, 400, 480, 3), mask


def animate(pack, backbone, guides, count=2, **more):
    driving = torch.rand(count, 512, 512, 3)
    wire = Loaded(model=backbone, weights=("light",))
    given = {"backbone": wire, "source": portrait_and_mask()[0], "driving": driving, "guides": guides, **BOX, **more}
    return pack.run("MagPlusAnimate", **given)


def test_mask_and_poses_reach_the_model_and_a_mask_comes_out(standalone, backbone, seen):
    np.save(standalone.places.input / "one.npy", np.eye(4))
    np.save(standalone.places.input / "two.npy", np.stack([np.eye(4)] * 2))
    given = {"source_theta": "one.npy", "driving_theta": "two.npy", "source_mask": portrait_and_mask()[1]}
    (guides,) = standalone.run("MagPlusEMOPortraitsGuides", **given)
    frames, mask = animate(standalone, backbone, guides)[:2]
    assert frames.shape == (2, 512, 512, 3) and mask.shape == (2, 512, 512)
    assert 0 <= mask.min() < mask.max() <= 1
    (about,) = seen
    assert torch.equal(about["source_theta"], torch.eye(4)) and "driving_theta" not in about
    cropped, scale = about["source_mask"], 512 / 300
    assert cropped.shape == (512, 512) and cropped[256, 256] == 1
    # The crop of 300 px round the face's middle (239.5, 209.5) begins at y = 60 and ends before the picture does.
    assert (cropped[:, 256] > 0.5).sum().item() == pytest.approx(300 * scale, abs=3)
    assert (cropped[256] > 0.5).sum().item() == pytest.approx(220 * scale, abs=3)


def test_beyond_the_picture_nothing_is_kept(standalone, backbone, seen):
    (guides,) = standalone.run("MagPlusEMOPortraitsGuides", source_mask=portrait_and_mask()[1])
    animate(standalone, backbone, guides, source_y=260)
    rows = seen[0]["source_mask"][:, 256]
    assert rows[0] == 1 and rows[-1] == 0
    assert (rows > 0.5).sum().item() == pytest.approx((400 - 209.5) * 512 / 300, abs=4)


def test_the_head_lies_over_the_portraits_own_background(standalone, backbone):
    picture, given = portrait_and_mask()
    (guides,) = standalone.run("MagPlusEMOPortraitsGuides", source_mask=given)
    frames, mask, *_, crop = animate(standalone, backbone, guides, source=picture)
    # Untrained, the network paints no green anywhere; the left of its picture stands for it.
    mask = mask * (torch.arange(512) >= 170)
    pasted = standalone.run(
        "MagPlusPasteBack", images=picture, processed=frames, crop=crop, mode="replace", mask=mask, feather_pct=0.0
    )[0]
    assert pasted.shape == (2, 400, 480, 3)
    changed = ((pasted - picture).abs() > 1 / 255).any(-1).any(0)
    rows, columns = changed.nonzero().unbind(1)
    # The square of 300 px lies at x 90..390 and y 60..360; of it the green left third is the portrait's own again.
    assert (rows.min().item(), rows.max().item()) == pytest.approx((60, 359), abs=2)
    assert (columns.min().item(), columns.max().item()) == pytest.approx((90 + 170 * 300 / 512, 389), abs=4)


def test_the_portrait_is_encoded_once_whatever_drives_it(standalone, backbone, seen):
    picture, mask = portrait_and_mask()
    (guides,) = standalone.run("MagPlusEMOPortraitsGuides", source_mask=mask)
    for strength in (1.0, 0.5):
        animate(standalone, backbone, guides, source=picture, motion_strength=strength)
    assert len(seen) == 1
    (guides,) = standalone.run("MagPlusEMOPortraitsGuides", source_mask=1 - mask)
    animate(standalone, backbone, guides, source=picture)
    assert len(seen) == 2, "with another mask it is another portrait"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("theta", np.eye(3), r"an array of shape \(3, 3\) is no head pose of the portrait"),
        ("theta", np.stack([np.eye(4)] * 2), r"Give an array \(4, 4\)\."),
        ("theta", np.zeros((4, 4)), "last row is 0 0 0 1"),
        ("theta", np.diag([1.0, 1, 0, 1]), "must be invertible"),
        ("mask", torch.ones(2, 8, 8), "is no mask"),
        ("mask", 2 * torch.ones(1, 8, 8), "from 0"),
    ],
)
def test_guides_that_are_none(standalone, name, value, message):
    given = {"source_mask": value}
    if name == "theta":
        np.save(standalone.places.input / "bad.npy", value)
        given = {"source_theta": "bad.npy"}
    with pytest.raises(standalone.error, match=message):
        standalone.run("MagPlusEMOPortraitsGuides", **given)


def test_a_mask_of_another_size_is_refused(standalone, backbone):
    (guides,) = standalone.run("MagPlusEMOPortraitsGuides", source_mask=torch.ones(1, 100, 120))
    with pytest.raises(standalone.error, match="source_mask has 120 x 100 px, the picture 480 x 400"):
        animate(standalone, backbone, guides)


def test_a_missing_file_is_told_with_its_folder_and_source(pack):
    node = pack.by_id["MagPlusEMOPortraits"]
    for weights in ("(in the same file)", "(none)", "absent.safetensors"):
        answer = node.validate_inputs(weights="absent.safetensors", weights_pose=weights)
        assert "absent.safetensors" in answer and "models/magplus" in answer and ORIGIN in answer
        assert "328_model.pth (from logs.zip) and head_pose_regressor.pth (from repos.zip)" in answer
