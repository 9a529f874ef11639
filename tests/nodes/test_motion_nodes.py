"""The chain itself, on tiny clips with known motion."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import synth
import torch
from safetensors.torch import save_file

BOX = {"x": 14.0, "y": 16.0, "width": 40.0, "height": 44.0, "angle": 0.0}
NUMBERS = {"x": 14, "y": 16, "width": 40, "height": 44}
PORTRAIT_BOX = {"x": 20.0, "y": 18.0, "width": 50.0, "height": 55.0}


def widgets(side, numbers):
    return {f"{side}_{name}": value for name, value in numbers.items()}


_CHAINS = {}


@pytest.fixture
def chain(pack, small, portrait):
    """Magnify and Animate, once for all questions to one copy of the pack."""
    if pack.name not in _CHAINS:
        _CHAINS[pack.name] = _run_chain(pack, small, portrait)
    return _CHAINS[pack.name]


def _run_chain(pack, small, portrait):
    magnified, alpha, reference, box = pack.run("MagPlusMagnify", images=small, face_box=BOX)
    (backbone,) = pack.run("MagPlusFlowTransfer")
    animated = pack.run(
        "MagPlusAnimate", backbone=backbone, source=portrait, driving=magnified, reference_index=reference,
        source_box=PORTRAIT_BOX, driving_box=box,
    )  # fmt: skip
    names = ("frames", "mask", "reference_index", "preview", "crop", "portrait_crop")
    return {"magnified": magnified, "alpha": alpha, "backbone": backbone, **dict(zip(names, animated, strict=True))}


def test_magnify_matches_a_rendering_of_the_magnified_motion(pack, small):
    images, alpha, reference, box = pack.run("MagPlusMagnify", images=small, alpha_mode="number", alpha=4.0)
    assert (alpha, reference, box) == (4.0, 0, None)
    field = synth.bump(34, 38, 12, 0.5, -0.4)
    truth = synth.clip(synth.scaled(field, 4.0), synth.micro_motion(9), (72, 64)).permute(0, 2, 3, 1)
    inner = (slice(None), slice(8, -8), slice(8, -8))
    untreated = (small - truth)[inner].abs().mean()
    assert (images - truth)[inner].abs().mean() < 0.15 * untreated
    assert torch.equal(images[0], small[0])


def test_auto_brings_the_peak_to_its_target(pack, small):
    for target in (3.0, 6.0):
        alpha = pack.run("MagPlusMagnify", images=small, face_box=BOX, target_pct_face=target)[1]
        one = pack.run("MagPlusMagnify", images=small, face_box=BOX, target_pct_face=1.5)[1]
        assert alpha == pytest.approx(one * target / 1.5, rel=1e-6)


def test_boxes_from_numbers_and_from_other_nodes_agree(pack, small):
    first = pack.run("MagPlusMagnify", images=small, face_box=BOX)
    second = pack.run("MagPlusMagnify", images=small, **widgets("face", NUMBERS))
    listed = pack.run("MagPlusMagnify", images=small, face_box=[[{**BOX, "label": "face"}]] * 9)
    assert first[1] == second[1] == listed[1]
    assert first[3] == second[3] == BOX


def test_only_a_band_of_frequencies(pack, small):
    given = {"images": small, "alpha_mode": "number", "alpha": 4.0, "fps": 50.0}
    whole = pack.run("MagPlusMagnify", **given)[0]
    fast = pack.run("MagPlusMagnify", **given, band_low_hz=20.0)[0]
    slow = pack.run("MagPlusMagnify", **given, band_high_hz=20.0)[0]
    changed = [float((images - small).abs().mean()) for images in (whole, fast, slow)]
    assert changed[1] < 0.5 * changed[0], "a push over 9 frames is slow"
    assert changed[2] > 0.7 * changed[0]
    with pytest.raises(pack.error, match="50 frames per second show frequencies up to 25 Hz"):
        pack.run("MagPlusMagnify", **given, band_low_hz=30.0)


def test_the_calmest_frame_is_found_and_told_to_the_nodes_that_follow(pack, small):
    peak, rest = small[4:5], small[:1]
    noise = 0.002 * torch.randn(7, *small.shape[1:])
    images = torch.cat([peak, rest, rest, rest, peak, rest, rest]) + noise
    given = {"alpha_mode": "number", "alpha": 4.0, "reference_index": -1}
    magnified, _, reference, _ = pack.run("MagPlusMagnify", images=images, face_box=BOX, **given)
    assert reference in (1, 2, 3, 5, 6)
    assert torch.equal(magnified[reference], images[reference])
    with pytest.raises(pack.error, match=f"reference frame {reference}, here it is frame 0"):
        pack.run("MagPlusMagnify", images=magnified, alpha_mode="number", alpha=1.0)


def test_a_mask_keeps_the_inputs_pixels(pack, small):
    mask = torch.zeros(1, 72, 64)
    mask[:, 20:50, 20:50] = 1
    images = pack.run("MagPlusMagnify", images=small, alpha_mode="number", alpha=6.0, mask=mask)[0]
    outside = mask[0] == 0
    assert torch.equal(images[:, outside], small[:, outside])
    assert not torch.equal(images, small)
    with pytest.raises(pack.error, match="mask has 10 x 10 px"):
        pack.run("MagPlusMagnify", images=small, alpha_mode="number", alpha=6.0, mask=torch.ones(1, 10, 10))


def test_an_image_with_alpha_and_half_precision_is_taken(pack, small):
    with_alpha = torch.cat([small, torch.ones_like(small[..., :1])], dim=-1).half()
    images = pack.run("MagPlusMagnify", images=with_alpha, alpha_mode="number", alpha=2.0)[0]
    assert images.shape == small.shape
    assert images.dtype == torch.float32


def test_one_reference_rules_the_chain(pack, small, portrait, chain):
    magnified = pack.run("MagPlusMagnify", images=small, alpha_mode="number", alpha=2.0, reference_index=3)[0]
    animate = {"backbone": chain["backbone"], "source": portrait, "driving": magnified}
    with pytest.raises(pack.error, match="'driving' was made against reference frame 3, here it is frame 0"):
        pack.run("MagPlusAnimate", **animate)
    frames, _, _, _, crop, _ = pack.run("MagPlusAnimate", **animate, reference_index=3)
    for wires in ({"generated": frames}, {"generated": chain["frames"].clone(), "crop": crop}):
        with pytest.raises(pack.error, match="reference frame 3"):
            pack.run("MagPlusDemagnify", **wires, factor_mode="number")
    with pytest.raises(pack.error, match="reference frame 3"):
        pack.run("MagPlusMotionReport", generated_clip=frames)


def test_animate_gives_everything_at_the_generators_size(pack, small, portrait, chain):
    assert chain["frames"].shape == (9, 256, 256, 3)
    assert chain["mask"].shape == (9, 256, 256)
    assert chain["mask"].min() == 1
    assert chain["reference_index"] == 0
    assert chain["preview"].shape[0] == 1
    drawn = (chain["preview"][0] - torch.tensor([213, 94, 0]) / 255).abs().sum(-1) < 0.02
    assert drawn.sum() > 300, "three face boxes are drawn"
    assert chain["crop"].source_size == (96, 88)
    assert chain["crop"].driving_size == (72, 64)


def test_masks_say_where_a_face_is(pack, small, portrait, chain):
    masks = {}
    for side, (height, width), box in (("driving", (72, 64), BOX), ("source", (96, 88), PORTRAIT_BOX)):
        y, x = np.mgrid[:height, :width]
        cx, cy = box["x"] + (box["width"] - 1) / 2, box["y"] + (box["height"] - 1) / 2
        ellipse = ((x - cx) / (box["width"] / 2)) ** 2 + ((y - cy) / (box["height"] / 2)) ** 2 <= 1
        masks[f"{side}_mask"] = torch.from_numpy(ellipse).float()[None]
    crop = pack.run("MagPlusAnimate", backbone=chain["backbone"], source=portrait, driving=small, **masks)[4]
    for ours, theirs in ((crop.driving.box, chain["crop"].driving.box), (crop.source.box, chain["crop"].source.box)):
        assert (ours.cx, ours.cy) == pytest.approx((theirs.cx, theirs.cy), abs=0.5)
        assert (ours.width, ours.height) == pytest.approx((theirs.width, theirs.height), rel=0.05)


def test_the_encoded_portrait_is_kept_across_alpha(pack, small, portrait, chain):
    encoded = pack.module("nodes.animate").ENCODED
    encoded.clear()
    other = portrait.flip(2)

    def animate(source, alpha):
        driving = small[:1] + alpha * (small[:3] - small[:1])
        return pack.run("MagPlusAnimate", backbone=chain["backbone"], source=source, driving=driving)[0]

    fresh = animate(portrait, 2.0)
    assert (encoded.encoded, encoded.reused) == (1, 0)
    animate(portrait.clone(), 5.0)
    animate(other, 5.0)
    assert (encoded.encoded, encoded.reused) == (2, 1)
    assert torch.equal(animate(portrait, 2.0), fresh), "two branches do not disturb each other"
    assert (encoded.encoded, encoded.reused) == (2, 2)
    animate(portrait.roll(1, 1), 5.0)
    animate(other, 5.0)
    assert (encoded.encoded, encoded.reused) == (4, 2), "the oldest of three was dropped"


def test_de_magnify_closes_the_loop(pack, small, portrait, chain):
    images, factor, gain, face_box = pack.run(
        "MagPlusDemagnify", generated=chain["frames"], original=small, magnified=chain["magnified"], crop=chain["crop"],
        portrait=portrait, pixels="source",
    )  # fmt: skip
    assert images.shape == (9, 96, 88, 3)
    assert factor * gain == pytest.approx(1)
    assert gain == pytest.approx(chain["alpha"], rel=0.1)
    assert torch.equal(images[0], portrait[0])
    assert face_box == pytest.approx(PORTRAIT_BOX | {"angle": 0.0})
    plot, report, found, *_ = pack.run(
        "MagPlusMotionReport", fps=100.0, input_clip=small, magnified_clip=chain["magnified"],
        generated_clip=chain["frames"], restored_clip=images, crop=chain["crop"], restored_box=face_box,
    )  # fmt: skip
    numbers = json.loads(report)
    assert found == pytest.approx(1, abs=0.1)
    assert numbers["rate"] == "100"
    assert list(numbers["curves"]) == ["input", "magnified", "generated", "restored"]
    assert numbers["against_input"]["restored"]["gain"] == found
    assert plot.shape[0] == 1
    assert plot.shape[-1] == 3


def test_a_linear_generator_passes_on_all_parts_alike(pack, small, portrait, chain):
    """Then a gain for each part is the whole face's, and intensity 0 is still the portrait itself."""
    given = {"generated": chain["frames"], "original": small, "magnified": chain["magnified"], "crop": chain["crop"]}
    given |= {"portrait": portrait, "pixels": "source"}
    one, factor, gain, _ = pack.run("MagPlusDemagnify", **given)
    parts, *same, _ = pack.run("MagPlusDemagnify", **given, gain="regions")
    assert same == [factor, gain]
    assert not torch.equal(parts, one), "it is measured by place"
    assert (parts - one).abs().max() < 0.1 * (one - one[:1]).abs().max()
    still = pack.run("MagPlusDemagnify", **given, gain="regions", intensity=0.0)[0]
    assert torch.equal(still, portrait.expand_as(still))


def test_intensity_nought_gives_the_portraits_own_bits(pack, portrait, chain):
    given = {"generated": chain["frames"], "factor_mode": "number", "alpha": 8.0, "intensity": 0.0}
    to_source = {"pixels": "source", "crop": chain["crop"], "portrait": portrait}
    images, factor, gain, _ = pack.run("MagPlusDemagnify", **given, **to_source)
    assert (factor, gain) == (0.0, 8.0)
    assert torch.equal(images, portrait.expand_as(images))
    still = pack.run("MagPlusDemagnify", **given)[0]
    assert torch.equal(still, chain["frames"][:1].expand_as(still))


def test_what_de_magnify_lacks_is_named(pack, small, portrait, chain):
    frames, crop = chain["frames"], chain["crop"]
    cases = [
        ({}, "Connect 'original'"),
        ({"factor_mode": "number", "pixels": "source"}, "connect 'portrait'"),
        ({"factor_mode": "number", "pixels": "source", "portrait": portrait}, "Connect 'crop'"),
        ({"factor_mode": "number", "pixels": "source", "portrait": portrait[:, :-4], "crop": crop}, "88 x 92 px"),
        ({"original": small[:, :-2], "crop": crop}, "driving clip"),
        ({"original": small, "original_box": BOX}, "One face box alone"),
    ]
    for wires, words in cases:
        with pytest.raises(pack.error, match=words):
            pack.run("MagPlusDemagnify", generated=frames, **wires)


def test_a_clip_of_another_generator_moves_the_portrait_that_it_shows_whole(pack, small):
    """Twice as large a face, moved eight times as much: what another pack pasted back into the portrait."""
    wide, size = synth.bump(68, 76, 24, 1.0, -0.8), (144, 128)
    strong, truth = (
        synth.clip(synth.scaled(wide, factor), synth.micro_motion(9), size).permute(0, 2, 3, 1) for factor in (8.0, 1.0)
    )
    boxes = {"original_box": BOX, "generated_box": {name: 2 * value for name, value in BOX.items()}}
    images, factor, gain, box = pack.run(
        "MagPlusDemagnify", generated=strong, original=small, portrait=strong[:1], pixels="source", **boxes
    )
    assert factor * gain == pytest.approx(1)
    assert gain == pytest.approx(8, rel=0.05)
    assert box["width"] == pytest.approx(80)
    assert torch.equal(images[0], strong[0])
    inner = (slice(None), slice(8, -8), slice(8, -8))
    assert (images - truth)[inner].abs().mean() < 0.1 * (strong[:1] - truth)[inner].abs().mean()


def test_a_square_portrait_is_not_taken_for_the_generators_square(pack, small, chain):
    """A portrait as large as the generated clip: only De-magnify knows which of both its result shows."""
    portrait = torch.rand(1, 256, 256, 3)
    given = {"backbone": chain["backbone"], "source": portrait, "driving": small, "driving_box": BOX}
    frames, _, _, _, crop, _ = pack.run(
        "MagPlusAnimate", **given, source_box={"x": 90, "y": 80, "width": 70, "height": 90}
    )
    clips = {"generated": frames, "factor_mode": "number", "crop": crop}
    boxes = [
        pack.run("MagPlusDemagnify", **clips, **more)[3] for more in ({}, {"pixels": "source", "portrait": portrait})
    ]
    assert boxes[1]["width"] == pytest.approx(70)
    assert boxes[0]["width"] == pytest.approx(70 * 256 / (1.6 * 90))
    widths = []
    for box in boxes:
        report = pack.run("MagPlusMotionReport", restored_clip=frames, crop=crop, restored_box=box)[1]
        widths.append(json.loads(report)["curves"]["restored"]["face_box"]["width"])
    assert widths == pytest.approx([boxes[0]["width"], 70])


def test_report_without_motion_to_compare(pack, small):
    _, report, gain, *_ = pack.run("MagPlusMotionReport", generated_clip=small)
    assert math.isnan(gain)
    assert list(json.loads(report)["curves"]) == ["generated"]
    with pytest.raises(pack.error, match="nothing to report"):
        pack.run("MagPlusMotionReport")


def test_load_magnifier_reads_a_file_by_its_content(standalone, tmp_path):
    arch = standalone.module("models.lkmag.arch")
    network = standalone.module("models.lkmag.network")
    net = network.LKMag(
        weigher=standalone.module("models.lkmag.weigher").WindowWeigher(width=8),
        refiner=standalone.module("models.lkmag.refiner").Refiner(width=8),
    )
    (tmp_path / "weights").mkdir()
    save_file(arch.freeze(net).state_dict(), tmp_path / "weights" / "mine.safetensors")
    (wire,) = standalone.run("MagPlusLoadMagnifier", weights="mine.safetensors")
    assert wire.model.name == "lkmag"
    assert len(wire.weights[0]) == 64
    assert standalone.run("MagPlusLoadMagnifier")[0].weights == ()


def test_views(pack, small):
    other = small.flip(1)
    both = {"clip_a": small, "clip_b": other, "panel_height": 72}
    (shown,) = pack.run("MagPlusCompareClips", **both)
    strip = shown.shape[1] - 72
    assert torch.allclose(shown[:, strip:, :64], small.clamp(0, 1))
    assert torch.allclose(shown[:, strip:, 68:132], other.clamp(0, 1))
    (wiped,) = pack.run("MagPlusCompareClips", **both, view="wipe", wipe_position=0.25)
    assert torch.allclose(wiped[:, strip:, :15], small[:, :, :15])
    assert torch.allclose(wiped[:, strip:, 17:64], other[:, :, 17:])
    (less,) = pack.run("MagPlusCompareClips", **both, view="signed difference", difference_gain=2.0)
    assert torch.allclose(less[:, strip:, :64], (0.5 + other - small).clamp(0, 1), atol=1e-6)
    (rows,) = pack.run("MagPlusCompareClips", **both, inspection=2.0)
    assert rows.shape[1] == 2 * shown.shape[1]
    assert torch.allclose(rows[:, : shown.shape[1]], shown)


def test_views_need_clips_that_fit(pack, small, portrait):
    with pytest.raises(pack.error, match="needs two clips"):
        pack.run("MagPlusCompareClips", clip_a=small, view="wipe")
    with pytest.raises(pack.error, match="88 x 96 px"):
        pack.run("MagPlusCompareClips", clip_a=small, clip_b=portrait, view="wipe")
    with pytest.raises(pack.error, match="ends after 1 frames"):
        pack.run("MagPlusCompareClips", clip_a=small, clip_b=portrait)


@pytest.mark.parametrize("node", ["MagPlusMagnify", "MagPlusAnimate", "MagPlusDemagnify", "MagPlusCompareClips"])
def test_cancel_stops_and_the_next_run_is_as_if_nothing_had_been(standalone, small, portrait, node):
    class Cancelled(BaseException):
        pass

    (backbone,) = standalone.run("MagPlusFlowTransfer")
    given = {
        "MagPlusMagnify": {"images": small, "alpha_mode": "number"},
        "MagPlusAnimate": {"backbone": backbone, "source": portrait, "driving": small},
        "MagPlusDemagnify": {"generated": small, "factor_mode": "number"},
        "MagPlusCompareClips": {"clip_a": small},
    }[node]
    first = standalone.run(node, **given)[0]
    hooks, ticks = standalone.module("nodes.standalone").hooks, []

    def progress(*tick):
        ticks.append(tick)
        if len(ticks) == 3:
            raise Cancelled

    hooks.progress = progress
    with pytest.raises(Cancelled):
        standalone.run(node, **given)
    hooks.progress = lambda *_: None
    assert len(ticks) == 3
    assert torch.equal(standalone.run(node, **given)[0], first)


def test_the_motion_can_be_scaled_inside_the_generator(pack, chain, small, portrait):
    def generated(strength):
        return pack.run(
            "MagPlusAnimate", backbone=chain["backbone"], source=portrait, driving=small,
            source_box=PORTRAIT_BOX, driving_box=BOX, motion_strength=strength,
        )[0]  # fmt: skip

    still, whole, half = generated(0.0), generated(1.0), generated(0.5)
    assert (still - still[:1]).abs().max() == 0
    moved = (whole - still).abs().mean()
    assert 0.4 * moved < (half - still).abs().mean() < 0.6 * moved


def test_best_is_refused_where_it_cannot_be_and_rules_the_chain_where_it_can(pack, chain, small, portrait):
    given = {"source": portrait, "source_box": PORTRAIT_BOX, "driving_box": BOX, "driving_reference": "best"}
    with pytest.raises(pack.error, match="cannot choose the reference"):
        pack.run("MagPlusAnimate", backbone=chain["backbone"], driving=small, **given)
    model = type("Choosing", (type(chain["backbone"].model),), {"choose_reference": lambda *_: 2})()
    choosing = pack.module("nodes.wires").Loaded(model=model, weights=("choosing",))
    frames, _, index, _, crop, _ = pack.run("MagPlusAnimate", backbone=choosing, driving=small, **given)
    assert index == 2 and crop.reference == 2 and frames.magplus_reference_index == 2
    with pytest.raises(pack.error, match="made against reference frame 0"):
        pack.run("MagPlusAnimate", backbone=choosing, driving=chain["magnified"], **given)
