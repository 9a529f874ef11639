"""Crops and the way back, as nodes."""

from __future__ import annotations

import json

import pytest
import synth
import torch

BOX = {"x": 14.0, "y": 16.0, "width": 40.0, "height": 44.0, "angle": 0.0}
PORTRAIT_BOX = {"x": 20.0, "y": 18.0, "width": 50.0, "height": 55.0}


@pytest.mark.parametrize(
    "how", [{}, {"size": 100, "upright": True}, {"track": "follow", "size": 50}, {"track": "follow", "upright": True}]
)
def test_crop_and_paste_back_are_an_identity(pack, small, how):
    boxes = [[{**BOX, "x": 14.0 + k, "angle": 3.0 * k}] for k in range(9)]
    images, crop, box, preview = pack.run("MagPlusCropFace", images=small, face_box=boxes, **how)
    assert images.shape[0] == 9 and images.shape[1] == images.shape[2] == crop.size
    assert len(box) == len(boxes)
    assert preview.shape[0] == 1
    assert torch.equal(pack.run("MagPlusPasteBack", images=small, processed=images, crop=crop)[0], small)
    brighter = pack.run("MagPlusPasteBack", images=small, processed=images + 0.1, crop=crop, feather_pct=0.0)[0]
    assert 0.05 < (brighter - small).max() < 0.11


def test_the_box_in_the_crop_serves_the_nodes_that_follow(pack, small):
    images, _, box, _ = pack.run("MagPlusCropFace", images=small, face_box=BOX, size=120, scale=1.5)
    assert box[0][0]["height"] == pytest.approx(80)
    assert pack.run("MagPlusMagnify", images=images, face_box=box)[3] == box[0][0]


def test_the_crop_takes_over_a_generators_framing(pack, small):
    (backbone,) = pack.run("MagPlusFlowTransfer")
    images, crop, _, _ = pack.run("MagPlusCropFace", images=small, face_box=BOX, scale=3.0, backbone=backbone)
    assert images.shape[1] == round(backbone.model.framing.scale * 44)
    assert crop.picture == (72, 64)


def test_a_generated_clip_goes_back_into_the_portrait(pack, small, portrait):
    (backbone,) = pack.run("MagPlusFlowTransfer")
    out = pack.run(
        "MagPlusAnimate", backbone=backbone, source=portrait, driving=small, source_box=PORTRAIT_BOX, driving_box=BOX
    )
    given = {"images": portrait, "processed": out[0], "crop": out[5]}
    for mode in ("difference", "replace"):
        images = pack.run("MagPlusPasteBack", **given, mode=mode)[0]
        assert images.shape == (9, 96, 88, 3)
        assert (images[4] - portrait[0]).abs().max() > 0.02
        assert images.magplus_reference_index == 0
        if mode == "difference":
            assert torch.allclose(images[0], portrait[0], atol=1e-5)


def test_the_reference_is_remembered_across_crops(pack, small):
    magnified = pack.run("MagPlusMagnify", images=small, alpha_mode="number", alpha=2.0, reference_index=3)[0]
    images = pack.run("MagPlusCropFace", images=magnified, face_box=BOX, reference_index=3)[0]
    with pytest.raises(pack.error, match="reference frame 3"):
        pack.run("MagPlusMagnify", images=images, alpha_mode="number")


def test_a_crop_needs_a_face(pack, small):
    with pytest.raises(pack.error, match="connect Track Face"):
        pack.run("MagPlusCropFace", images=small)


def test_a_track_of_given_boxes_goes_through_crop_to_paste(pack, small):
    boxes = [[{**BOX, "x": 14.0 + k}, {**BOX, "x": 2.0, "width": 10.0}] for k in range(9)]
    boxes[4] = []
    track, preview, report = pack.run("MagPlusTrackFace", images=small, face_box=boxes, missing_face="pass")
    assert [len(faces) for faces in track] == [1, 1, 1, 1, 0, 1, 1, 1, 1]
    assert report == "bounding box: face in 8 of 9 frames; pass in frame 4"
    assert preview.shape[0] == 1
    images, crop, _, _ = pack.run("MagPlusCropFace", images=small, face_box=track, track="follow", fps=50.0)
    pasted = pack.run("MagPlusPasteBack", images=small, processed=images + 0.1, crop=crop)[0]
    assert torch.equal(pasted[4], small[4]) and not torch.equal(pasted[5], small[5])
    left = pack.run("MagPlusTrackFace", images=small, face_box=boxes, which_face="from left")[0]
    assert [faces[0]["x"] for faces in left] == [2.0] * 9


def test_numbers_masks_and_landmarks_are_tracks_too(pack, small):
    numbers = {f"face_{name}": int(value) for name, value in BOX.items() if name != "angle"}
    assert pack.run("MagPlusTrackFace", images=small, **numbers)[0] == [[BOX]] * 9
    mask = torch.zeros(9, 72, 64)
    mask[:5, 20:50, 20:45] = 1
    held = pack.run("MagPlusTrackFace", images=small, face_mask=mask)[0]
    assert held[8] == held[0]
    mesh = torch.rand(478, 2).numpy() * 10 + 20
    landmarks = {"frames": [[{"landmarks_xy": mesh}]] * 9, "image_size": (72, 64)}
    assert pack.run("MagPlusTrackFace", images=small, landmarks=landmarks)[2].startswith("landmarks: face in 9 of 9")


def test_without_anything_the_way_out_is_told(pack, small, monkeypatch):
    detect = pack.module("pipeline.face.detect")
    for name in ("CascadeClassifier", "FaceDetectorYN"):
        monkeypatch.delattr(detect.cv2, name, raising=False)
    monkeypatch.setattr(detect.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(pack.error, match=r"No face detector is available .* give x, y, width and height"):
        pack.run("MagPlusTrackFace", images=small)


def test_a_detectors_file_is_offered_to_opencv_and_not_as_weights(standalone):
    folder = standalone.module("nodes.standalone").folders.weights
    folder.mkdir()
    for name in ("net.safetensors", "face_detection_yunet_2023mar.onnx"):
        (folder / name).write_bytes(b"x")
    assert standalone.host.weight_files() == ["net.safetensors"]
    assert [path.name for path in standalone.host.detector_paths()] == ["face_detection_yunet_2023mar.onnx"]


def swaying(count=7, size=(110, 100)):
    """A clip whose head sways, and the box of its face."""
    frames = [synth.render(synth.Texture(4), synth.shift(0.6 * k, -0.3 * k), *size) for k in range(count)]
    images = torch.stack(frames).clamp(0, 1).permute(0, 2, 3, 1).contiguous()
    return images, {"x": 20.0, "y": 18.0, "width": 60.0, "height": 76.0}


def test_a_head_is_held_still_and_moves_again_as_it_did(pack):
    images, box = swaying()
    still, head, reference, out_box, report = pack.run(
        "MagPlusStabiliseHead", images=images, face_box=box, reference_index=2
    )
    assert (reference, out_box["x"], still.magplus_reference_index) == (2, 20.0, 2)
    assert torch.equal(still[2], images[2])
    inner = (slice(None), slice(12, -12), slice(12, -12))
    assert (still - still[2])[inner].abs().mean() < 0.02 * (images - images[2])[inner].abs().mean()
    assert json.loads(report)["removed_peak_px"] == pytest.approx((2.4**2 + 1.2**2) ** 0.5, abs=0.02)
    given = {"images": still, "head": head}
    assert torch.equal(pack.run("MagPlusRestoreHeadMotion", **given, original=images)[0], images)
    assert torch.allclose(pack.run("MagPlusRestoreHeadMotion", **given)[0][inner], images[inner], atol=0.02)
    other = pack.run("MagPlusRestoreHeadMotion", images=still[:, :80, :90], head=head, face_box=box)[0]
    assert other.shape == (7, 80, 90, 3)


def test_stabilise_takes_a_mask_of_what_is_rigid_and_needs_a_face(pack):
    images, box = swaying(3)
    mask = torch.zeros(1, 110, 100)
    mask[:, 20:60, 25:75] = 1
    report = pack.run("MagPlusStabiliseHead", images=images, face_box=box, rigid_mask=mask)[4]
    assert json.loads(report)["removed_peak_px"] == pytest.approx((1.2**2 + 0.6**2) ** 0.5, abs=0.02)
    with pytest.raises(pack.error, match="where the face is"):
        pack.run("MagPlusStabiliseHead", images=images)
    with pytest.raises(pack.error, match="Connect the same frames"):
        still, head, *_ = pack.run("MagPlusStabiliseHead", images=images, face_box=box)
        pack.run("MagPlusRestoreHeadMotion", images=still[:2], head=head)


def test_regions_magnify_each_with_its_own_factor(pack, small):
    given = {"images": small, "face_box": {"x": 8.0, "y": 10.0, "width": 50.0, "height": 58.0}}
    alphas, mask, preview = pack.run("MagPlusRegionMask", **given, brows=1, eyes=1, nose=6, cheeks=1, mouth=3, chin=1)
    assert alphas.shape == (72, 64) and mask.shape == (1, 72, 64) and preview.shape[0] == 1
    assert alphas.max() == pytest.approx(6, abs=0.05)
    assert torch.equal(mask[0] > 0, alphas != 1)
    images, alpha, _, _ = pack.run("MagPlusMagnify", images=small, alpha_map=alphas)
    assert alpha == pytest.approx(6, abs=0.05)
    still = alphas == 1
    assert torch.equal(images[:, still], small[:, still]) and not torch.equal(images, small)
    (text,) = pack.last.ui["text"]
    assert text.startswith("alpha 6") and "px (" in text and "of the width of what is magnified" in text
    pack.run("MagPlusMagnify", images=small, alpha_mode="number", alpha=2.0, face_box=BOX)
    assert "% of the face width), " in (told := pack.last.ui["text"][0]) and " x noise (" in told
    with pytest.raises(pack.error, match="other than 'outside'"):
        pack.run(
            "MagPlusRegionMask", **given, **dict.fromkeys(("brows", "eyes", "nose", "cheeks", "mouth", "chin"), 1.0)
        )


def test_regions_of_a_crop_need_no_box(pack, small):
    images, crop, box, _ = pack.run("MagPlusCropFace", images=small, face_box=BOX)
    first = pack.run("MagPlusRegionMask", images=images, crop=crop)[0]
    assert torch.equal(first, pack.run("MagPlusRegionMask", images=images, face_box=box)[0])


def test_both_faces_may_come_as_crops(pack, small, portrait):
    """Each side through its own crop gives what boxes on whole pictures give, and the result stands in the whole."""
    (backbone,) = pack.run("MagPlusFlowTransfer")
    driving, driving_crop, _, _ = pack.run("MagPlusCropFace", images=small, face_box=BOX, scale=2.5, backbone=None)
    source, source_crop, _, _ = pack.run("MagPlusCropFace", images=portrait, face_box=PORTRAIT_BOX, scale=2.5)
    direct = pack.run(
        "MagPlusAnimate", backbone=backbone, source=portrait, driving=small, source_box=PORTRAIT_BOX, driving_box=BOX
    )
    cropped = pack.run(
        "MagPlusAnimate", backbone=backbone, source=source, driving=driving, source_crop=source_crop,
        driving_crop=driving_crop,
    )  # fmt: skip
    inner = (slice(None), slice(40, -40), slice(40, -40))
    assert (cropped[0] - direct[0])[inner].abs().mean() < 1e-3
    whole = {"generated": cropped[0], "original": small, "pixels": "source", "crop": cropped[4]}
    images, _, gain, face = pack.run("MagPlusDemagnify", **whole, portrait=portrait)
    assert images.shape == (9, 96, 88, 3) and gain == pytest.approx(1, abs=0.1)
    assert face == pytest.approx({**PORTRAIT_BOX, "angle": 0.0})
    expected = pack.run("MagPlusDemagnify", **whole | {"generated": direct[0], "crop": direct[4]}, portrait=portrait)[0]
    assert (images - expected).abs().mean() < 2e-4 < (expected - portrait).abs().mean()
    part = pack.run("MagPlusDemagnify", **whole | {"original": driving}, portrait=source)[0]
    assert torch.equal(pack.run("MagPlusPasteBack", images=portrait, processed=source, crop=source_crop)[0], portrait)
    back = pack.run("MagPlusPasteBack", images=portrait, processed=part, crop=source_crop)[0]
    assert (back - images).abs().mean() < 2e-4
    still = pack.run("MagPlusDemagnify", **whole | {"intensity": 0.0}, portrait=portrait)[0]
    assert torch.equal(still, portrait.expand_as(still))
    assert cropped[5].picture == (96, 88)
    report = pack.run("MagPlusMotionReport", input_clip=small, restored_clip=images, crop=cropped[4])[2]
    assert report == pytest.approx(1, abs=0.15)
    with pytest.raises(pack.error, match="cut out of 88 x 96 px"):
        pack.run("MagPlusDemagnify", **whole, portrait=portrait[:, :-4])
    with pytest.raises(pack.error, match="together with that crop"):
        pack.run("MagPlusAnimate", backbone=backbone, source=portrait, driving=small, source_crop=source_crop)
