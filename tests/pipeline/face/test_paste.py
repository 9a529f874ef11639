"""What was not touched comes back bit for bit; what was, comes back in its place."""

import numpy as np
import pytest
import synth
import torch
from magplus.models.contracts import Framing
from magplus.models.errors import MagPlusError
from magplus.models.geometry import FaceBox
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.face.clip_crop import ClipCrop, Following, crop_track
from magplus.pipeline.face.paste import paste_back

RATE = 25


def pasted(original, processed, crop, **how):
    return torch.cat(list(paste_back(TensorClip(original), TensorClip(processed), crop, **how)))


def cropped(frames, crop):
    return torch.cat(list(crop.of(TensorClip(frames)).chunks()))


def random_case(seed):
    """A picture of any shape, a face anywhere in it (the square may reach beyond it), any size, roll and track."""
    rng = np.random.default_rng(seed)
    height, width, count = int(rng.integers(40, 130)), int(rng.integers(40, 130)), int(rng.integers(1, 4))
    frames = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))
    boxes = [
        FaceBox(
            cx=float(rng.uniform(0.2, 0.8) * width), cy=float(rng.uniform(0.2, 0.8) * height),
            width=float(rng.uniform(12, 70)), height=float(rng.uniform(14, 80)),
            angle_deg=float(rng.uniform(-180, 180)),
        )
        for _ in range(count)
    ]  # fmt: skip
    size = 0 if seed % 3 == 0 else int(rng.integers(16, 200))
    framing = Framing(scale=float(rng.uniform(1.2, 2.5)), shift_y=float(rng.uniform(-0.3, 0.3)), size=size)
    following = Following(position_hz=3, size_hz=1, rate=RATE) if seed % 2 else None
    return frames, crop_track(boxes, TensorClip(frames).info, framing, following=following, upright=seed % 4 > 1)


@pytest.mark.parametrize("feather", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("seed", range(12))
def test_an_untouched_crop_is_bit_exact_everywhere(seed, feather):
    frames, crop = random_case(seed)
    assert torch.equal(pasted(frames, cropped(frames, crop), crop, feather=feather), frames)


@pytest.mark.parametrize("seed", range(6))
def test_where_the_crop_was_not_touched_nothing_changes(seed):
    """A change of one corner reaches no further than a spline does."""
    frames, crop = random_case(seed)
    processed = cropped(frames, crop)
    half = crop.size // 2
    processed[:, :, :half, :half] += 0.2
    out = pasted(frames, processed, crop, feather=0.0)
    for index, (before, after) in enumerate(zip(frames, out, strict=True)):
        x, y = synth.pixel_grid(*before.shape[1:])
        transform = crop.crop(index).to_crop
        at = np.einsum("ij,jhw->ihw", transform[:, :2], np.stack([x, y])) + transform[:, 2].reshape(2, 1, 1)
        reach = half + 18 * max(1, 2 * np.hypot(*transform[:, 0]))
        far = torch.from_numpy((at.max(0) > reach) | (at.min(0) < -0.5) | (at.max(0) > crop.size - 0.5))
        assert torch.equal(before[:, far], after[:, far])
        touched = torch.from_numpy((at.max(0) < half - 1) & (at.min(0) > 0))
        assert (before != after)[:, touched].any(0).all()


def face_clip(count=1, size=(150, 130), seed=3):
    return synth.clip(synth.shift(0, 0), np.zeros(count), size, seed=seed)


def crop_of(frames, *, size=0, upright=False, angle=0.0, scale=1.6):
    box = FaceBox(cx=64, cy=77, width=36, height=44, angle_deg=angle)
    return crop_track([box], TensorClip(frames).info, Framing(scale=scale, shift_y=0, size=size), upright=upright)


def test_a_change_comes_back_where_it_was_made():
    """A spot drawn on a turned and resampled crop stands at its place in the picture, at its size."""
    frames = face_clip()
    crop = crop_of(frames, size=120, upright=True, angle=25)
    x, y = synth.pixel_grid(120, 120)
    spot = torch.from_numpy(0.3 * np.exp(-((x - 70) ** 2 + (y - 45) ** 2) / (2 * 6**2))).float()
    out = pasted(frames, cropped(frames, crop) + spot, crop)
    px, py = crop.crop(0).to_picture @ np.array([70, 45, 1])
    scale = 120 / (1.6 * 44)
    x, y = synth.pixel_grid(150, 130)
    truth = 0.3 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * (6 / scale) ** 2))
    inside = (frames > 0.05) & (frames < 0.65)
    error = ((out - frames) - torch.from_numpy(truth).float())[inside]
    assert error.abs().max() < 0.004


def test_at_its_own_pixels_the_processed_crop_is_put_in_exactly():
    frames = face_clip(2)
    crop = crop_of(frames)
    processed = torch.rand(2, 3, crop.size, crop.size)
    top, left = (-int(v) for v in crop.crop(0).to_crop[[1, 0], 2])
    window = (slice(None), slice(None), slice(top, top + crop.size), slice(left, left + crop.size))
    replaced = pasted(frames, processed, crop, mode="replace", feather=0.0)
    assert torch.equal(replaced[window], processed)
    added = pasted(frames, processed, crop, mode="difference", feather=0.0)
    assert torch.allclose(added[window], processed, atol=1e-6)
    replaced[window] = frames[window]
    assert torch.equal(replaced, frames)


def test_the_feather_has_no_step_at_the_edge():
    frames = torch.full((1, 3, 120, 120), 0.2)
    crop = crop_track(
        [FaceBox(cx=60, cy=60, width=30, height=40)], TensorClip(frames).info, Framing(scale=1.5, shift_y=0, size=0)
    )
    bright = torch.full((1, 3, crop.size, crop.size), 0.8)
    for mode in ("difference", "replace"):
        out = pasted(frames, bright, crop, mode=mode, feather=0.25)[0, 0]
        assert out[60, 60] == pytest.approx(0.8)
        assert (out[:, 1:] - out[:, :-1]).abs().max() < 2.5 * 0.6 / (0.25 * crop.size)
        assert out[0, 0] == frames[0, 0, 0, 0]


def test_one_frame_serves_many():
    still, moving = face_clip(), face_clip(3)
    crop = crop_of(still, size=64)
    changes = cropped(still, crop) + torch.tensor([0.0, 0.05, 0.1]).view(3, 1, 1, 1)
    out = pasted(still, changes, crop)
    assert out.shape == (3, 3, 150, 130)
    assert torch.equal(out[0], still[0])
    assert torch.equal(out[2], pasted(still, changes[2:], crop)[0])
    assert torch.equal(out, pasted(moving, changes, crop)), "the same picture three times"
    assert torch.equal(pasted(moving, changes[2:], crop)[1], out[2])


def test_a_larger_result_is_pasted_at_its_place():
    """Super-resolved crops: the same square, more pixels."""
    frames = face_clip()
    crop = crop_of(frames, size=48)
    large = ClipCrop(crops=(crop.crop(0).resized(144),), boxes=crop.boxes, picture=crop.picture)
    assert torch.equal(pasted(frames, cropped(frames, large), crop), frames)


def test_a_mask_says_where():
    frames = face_clip()
    crop = crop_of(frames)
    mask = torch.zeros(1, crop.size, crop.size)
    mask[:, 20:40, 20:40] = 1
    out = pasted(frames, cropped(frames, crop) + 0.1, crop, feather=0.0, mask=mask)
    changed = (out != frames).any(1)[0]
    top, left = (-int(v) for v in crop.crop(0).to_crop[[1, 0], 2])
    assert changed[top + 20 : top + 40, left + 20 : left + 40].all() and changed.sum() == 400


def test_frames_without_a_face_stay_as_they_are():
    frames = face_clip(3)
    box = FaceBox(cx=64, cy=77, width=36, height=44)
    crop = crop_track([box, None, box], TensorClip(frames).info, Framing(scale=1.6, shift_y=0, size=0))
    out = pasted(frames, cropped(frames, crop) + 0.1, crop)
    assert torch.equal(out[1], frames[1]) and not torch.equal(out[0], frames[0])


def test_what_does_not_fit_is_named():
    frames = face_clip(3)
    crop = crop_of(frames)
    square = cropped(frames, crop)
    cases = [
        ((frames[:, :, 1:], square, crop), {}, "Crop Face was given"),
        ((frames, square[:2], crop), {}, "original 3, processed 2"),
        ((frames, square[..., 1:], crop), {}, "a crop is square"),
        ((frames, square, crop), {"feather": 0.7}, "70 %"),
        ((frames, square, crop), {"mask": torch.ones(1, 4, 4)}, "mask has 1 frames of 4 x 4"),
    ]
    for clips, how, words in cases:
        with pytest.raises(MagPlusError, match=words):
            pasted(*clips, **how)
