"""Magnify, animate, de-magnify and calibrate as the pipeline runs them."""

from fractions import Fraction
from types import SimpleNamespace

import detfill
import numpy as np
import pytest
import synth
import torch
from magplus.models import registry
from magplus.models.contracts import AlphaRange, DriveResult, PerFrame
from magplus.models.errors import MagPlusError
from magplus.models.geometry import FaceBox, similarity
from magplus.models.lkmag import arch
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.measure import compare, measure_clip
from magplus.pipeline.motion.animate import animate, resolve_reference
from magplus.pipeline.motion.auto import Evidence, choose, measured_loop
from magplus.pipeline.motion.calibrate import choose_alpha
from magplus.pipeline.motion.demagnify import demagnify, demagnify_onto, factor_for
from magplus.pipeline.motion.encoded import EncodedSources
from magplus.pipeline.motion.magnify import estimator_of, magnify
from magplus.pipeline.motion.masks import grown

FIELD = synth.total(synth.bump(40, 44, 9, 0.5, -0.35), synth.bump(62, 60, 8, -0.3, 0.3))
BOX = FaceBox(cx=48, cy=48, width=64, height=72)
STRENGTHS = synth.micro_motion(9)


@pytest.fixture(scope="module")
def clip():
    return TensorClip(synth.clip(FIELD, STRENGTHS, (96, 96), seed=6), rate=Fraction(100))


def joined(chunks):
    return TensorClip(torch.cat(list(chunks)), rate=Fraction(100))


def test_the_whole_chain_keeps_size_shape_and_timing(clip):
    magnifier = arch.builtin()
    large = joined(magnify(clip, magnifier, alpha=6))
    small = joined(demagnify(large, magnifier, factor=1 / 6))
    original = measure_clip(clip, BOX)
    up, back = (compare(original, measure_clip(other, BOX, like=original)) for other in (large, small))
    assert up.gain == pytest.approx(6, rel=0.03) and back.gain == pytest.approx(1, rel=0.03)
    assert up.correlation > 0.999 and back.correlation > 0.999 and abs(back.lag_frames) < 0.05
    assert (small.frames - clip.frames).square().mean().sqrt() < 0.003


@pytest.mark.parametrize("reference", [0, 5])
def test_the_reference_frame_keeps_its_bits(clip, reference):
    out = joined(magnify(clip, arch.builtin(), alpha=4, reference=reference))
    assert torch.equal(out.frames[reference], clip.frames[reference])
    assert len(out.frames) == len(clip.frames)


def test_outside_a_mask_every_pixel_keeps_its_bits(clip):
    mask = torch.zeros(96, 96)
    mask[20:60, 20:60] = 1
    out = joined(magnify(clip, arch.builtin(), alpha=4, mask=mask))
    assert torch.equal(out.frames[..., mask == 0], clip.frames[..., mask == 0])
    assert (out.frames - clip.frames).abs().max() > 0.02


def test_a_mask_per_frame_lets_each_frame_keep_its_own_pixels(clip):
    masks = torch.zeros(9, 96, 96)
    for index in range(9):
        masks[index, 20:60, 10 * index : 10 * index + 16] = 1
    per_frame = TensorClip(masks[:, None].expand(-1, 3, -1, -1))
    out = joined(magnify(clip, arch.builtin(), alpha=4, mask=per_frame, reference=8))
    alone = [
        joined(magnify(clip, arch.builtin(), alpha=4, mask=masks[index], reference=8)).frames[index] for index in (3, 5)
    ]
    outside = (masks == 0)[:, None].expand_as(clip.frames)
    assert torch.equal(out.frames[outside], clip.frames[outside])
    assert torch.allclose(out.frames[[3, 5]], torch.stack(alone), atol=1e-5)
    with pytest.raises(MagPlusError, match="There are 8 masks for 9 frames"):
        next(magnify(clip, arch.builtin(), alpha=4, mask=TensorClip(per_frame.frames[:8])))


def test_a_mask_grows_as_the_official_code_thresholds_its_distance():
    """Its sweeps leave out parts of the border rows and columns, so that masks there do not spread as they should."""
    arrays = detfill.golden("flowmag")[0]
    mask, distance = (torch.from_numpy(arrays[name]) for name in ("dist_transform_in", "dist_transform"))
    inside = torch.nn.functional.pad(mask[1:-1, 1:-1], (1, 1, 1, 1))
    comparable = torch.zeros_like(mask)
    for px in range(60):
        fresh = (comparable == 0) & (grown(mask, px) > 0)
        comparable = torch.where(fresh, 1 + grown(inside, px), comparable)
    comparable = comparable == 2
    assert comparable.float().mean() > 0.7
    for soft_mask in range(1, 28):
        ours, theirs = grown(mask, soft_mask - 1), (distance < soft_mask).float()
        assert torch.equal(ours[comparable], theirs[comparable])
        assert (ours >= theirs).all()
    stack = torch.stack([mask, 0.5 * mask])
    assert torch.equal(grown(stack, 3)[1], 0.5 * grown(mask, 3))


class Blind:
    """lkmag without its displacement, as flowmag is."""

    name, alpha_range = "blind", AlphaRange(low=1 / 32, high=256, trained_from=1.0)

    def __init__(self):
        inner = arch.builtin()
        self.prepare, self.run = inner.prepare, inner.run


def test_a_magnifier_without_displacement_is_measured_for(clip, caplog):
    caplog.set_level("INFO", logger="magplus")
    blind, seeing = Blind(), arch.builtin()
    alpha = choose(clip, BOX, magnifier=blind, target_pct_face=3.0)
    assert alpha == choose(clip, BOX, magnifier=seeing, target_pct_face=3.0)
    assert caplog.text.count("blind tells no displacement: the built-in magnifier measures") == 1
    large = joined(magnify(clip, blind, alpha=6))
    gains = [measured_loop(large, m, Evidence(original=clip), None).face.gain for m in (blind, seeing)]
    assert gains[0] == gains[1] == pytest.approx(6, rel=0.05)


def test_below_its_training_a_magnifier_warns_and_works(clip, caplog):
    joined(magnify(clip, Blind(), alpha=1.0))
    assert "untrained" not in caplog.text
    out = joined(magnify(clip, Blind(), alpha=0.5))
    assert "blind was trained for alpha 1 and more: what it makes of 0.5 is untrained there" in caplog.text
    assert torch.equal(out.frames, joined(magnify(clip, arch.builtin(), alpha=0.5)).frames)


@pytest.mark.parametrize("alpha", [0.0, -2.0, 33.0, 0.01, float("nan"), float("inf")])
def test_an_unusable_alpha_is_refused(clip, alpha):
    with pytest.raises(MagPlusError, match="alpha"):
        next(magnify(clip, arch.builtin(), alpha=alpha))


def test_a_mask_of_another_size_and_a_missing_reference_are_refused(clip):
    with pytest.raises(MagPlusError, match="50 x 40"):
        next(magnify(clip, arch.builtin(), alpha=4, mask=torch.ones(40, 50)))
    with pytest.raises(MagPlusError, match="no frame 9"):
        next(magnify(clip, arch.builtin(), alpha=4, reference=9))


def test_every_frame_ticks_and_a_tick_can_cancel(clip):
    ticks = []

    def progress(stage, done, total, preview=None):
        ticks.append((stage, done, total, tuple(preview.shape)))
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(magnify(clip, arch.builtin(), alpha=4, progress=progress))
    assert ticks == [("magnify", k, 9, (3, 96, 96)) for k in range(1, 7)]


def test_factor_zero_repeats_the_reference(clip):
    out = joined(demagnify(clip, arch.builtin(), factor=0.0, reference=2))
    assert torch.equal(out.frames, clip.frames[2].expand_as(out.frames))


@pytest.mark.parametrize("intensity", [0.5, 1.0, 3.0])
def test_the_factor_undoes_the_measured_gain(clip, intensity):
    original = measure_clip(clip, BOX)
    louder = joined(magnify(clip, arch.builtin(), alpha=5))
    found = compare(original, measure_clip(louder, BOX, like=original))
    assert factor_for(found, intensity) == pytest.approx(intensity / 5, rel=0.03)


def test_a_still_original_gives_no_factor_and_says_why(clip):
    still = measure_clip(TensorClip(clip.frames[:1].expand(9, -1, -1, -1), rate=Fraction(100)), BOX)
    with pytest.raises(MagPlusError, match="factor cannot be measured"):
        factor_for(compare(still, measure_clip(clip, BOX)))
    with pytest.raises(MagPlusError, match="intensity"):
        factor_for(compare(still, still), 11)


def test_alpha_1_changes_no_bit_however_far_things_move():
    far = synth.render(synth.Texture(3), synth.bump(48, 48, 6, 20, 0), 96, 96)
    clip = TensorClip(torch.stack([synth.render(synth.Texture(3), synth.shift(0, 0), 96, 96), far]))
    for given in (1.0, torch.ones(96, 96)):
        assert torch.equal(joined(magnify(clip, arch.builtin(), alpha=given)).frames, clip.frames)


def test_a_factor_that_no_magnifier_takes_says_what_to_change(clip):
    original = measure_clip(clip, BOX)
    louder = compare(original, measure_clip(joined(magnify(clip, arch.builtin(), alpha=5)), BOX, like=original))
    with pytest.raises(MagPlusError, match=r"moves only 5 times .* Magnify the driving clip more"):
        factor_for(louder, 2.0, allowed=AlphaRange(low=0.1, high=0.3))
    with pytest.raises(MagPlusError, match=r"scaled by 0\.2, .* Magnify the driving clip less"):
        factor_for(louder, 1.0, allowed=AlphaRange(low=0.5, high=2.0))
    assert factor_for(louder, 0.0, allowed=AlphaRange(low=0.5, high=2.0)) == 0


def test_on_the_portrait_only_motion_is_new():
    """`pixels=source`: a 256 px backbone picture moves a portrait of 1500 px, at the portrait's own resolution."""
    texture, small = synth.Texture(8, waves=10, shortest_px=24, longest_px=400), 256
    to_portrait = similarity(4.0, 0, (127.5, 127.5), (760, 700))
    portrait = synth.render(texture, synth.shift(0, 0), 1500, 1500)
    push = synth.bump(790, 720, 60, 12.0, -8.0)

    def generated(strength):
        x, y = synth.pixel_grid(small, small)
        x, y = 4 * (x - 127.5) + 760, 4 * (y - 127.5) + 700
        qx, qy = x.copy(), y.copy()
        for _ in range(60):
            dx, dy = push(qx, qy)
            qx, qy = x - strength * dx, y - strength * dy
        return torch.from_numpy(texture(qx, qy)).float()

    clip = TensorClip(torch.stack([generated(s) for s in (0.0, 1.0)]))
    magnifier = arch.builtin()
    still = list(demagnify_onto(portrait, clip, magnifier, to_portrait=to_portrait, factor=0.0))
    assert torch.equal(torch.cat(still), portrait.expand(2, -1, -1, -1))
    moved = torch.cat(list(demagnify_onto(portrait, clip, magnifier, to_portrait=to_portrait, factor=0.25)))[1]
    truth = synth.render(texture, synth.scaled(push, 0.25), 1500, 1500)
    face = (slice(None), slice(500, 940), slice(570, 1010))
    error, signal = (moved - truth)[face].square().mean(), (portrait - truth)[face].square().mean()
    assert error < signal / 900  # the 3 px push is placed 30 times closer than not at all
    outside = torch.ones(1500, 1500, dtype=torch.bool)
    outside[180:1220, 240:1280] = False
    assert torch.equal(moved[:, outside], portrait[:, outside])


def test_animate_hands_guides_over_frame_by_frame(clip):
    seen = []

    class Spy:
        name, framing, max_sources, guide_names = "spy", None, 1, frozenset({"per_frame", "fixed"})

        def encode_source(self, sources, guides):
            return sources

        def set_reference(self, state, frame, guides):
            seen.append(("reference", guides["per_frame"].tolist(), guides["fixed"]))
            return state

        def drive(self, state, frames, guides):
            seen.append((len(frames), guides["per_frame"].tolist(), guides["fixed"]))
            return DriveResult(frames=frames)

    guides = {"per_frame": PerFrame(values=torch.arange(9)), "fixed": "x"}
    out = list(animate(Spy(), torch.rand(1, 3, 16, 16), clip, reference=3, guides=guides))
    assert sum(len(result.frames) for result in out) == 9
    assert seen[0] == ("reference", 3, "x")
    assert [entry[1] for entry in seen[1:]] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]


def test_a_guide_of_another_length_is_refused(clip):
    spy = SimpleNamespace(name="spy", max_sources=1, guide_names={"driving_theta"})
    guides = {"driving_theta": PerFrame(values=torch.arange(8))}
    with pytest.raises(MagPlusError, match="driving_theta has 8 entries for a driving clip of 9 frames"):
        next(animate(spy, torch.rand(1, 3, 16, 16), clip, guides=guides))


def test_the_portrait_is_encoded_from_guides_about_it_alone(clip):
    seen = []

    class Spy:
        name, framing, max_sources = "spy", None, 1
        guide_names = frozenset({"source_box", "driving_box", "motion_strength"})

        def encode_source(self, sources, guides):
            seen.append(set(guides))

        def set_reference(self, state, frame, guides):
            seen.append(set(guides))

        def drive(self, state, frames, guides):
            seen.append(guides["motion_strength"])
            return DriveResult(frames=frames)

    guides = {"source_box": 1, "driving_box": 2}
    next(animate(Spy(), torch.rand(1, 3, 16, 16), clip, motion_strength=0.5, guides=guides))
    assert seen == [{"source_box"}, {"source_box", "driving_box", "motion_strength"}, 0.5]


def test_best_asks_the_backbone_once_and_encodes_once(clip):
    encoded = []

    class Spy:
        name, framing, max_sources, guide_names = "spy", None, 1, frozenset()

        def encode_source(self, sources, guides):
            encoded.append(len(sources))
            return sources

        def set_reference(self, state, frame, guides):
            return frame

        def drive(self, state, frames, guides):
            return DriveResult(frames=frames - state)

        def choose_reference(self, state, frames):
            return sum(len(chunk) for chunk in frames) - 3

    backbone, sources = EncodedSources.once(Spy()), torch.rand(1, 3, 16, 16)
    index = resolve_reference("best", backbone, sources, clip)
    assert index == 6 and resolve_reference(3, backbone, sources, clip) == 3
    frames = torch.cat([result.frames for result in animate(backbone, sources, clip, reference=index)])
    assert torch.equal(frames[6], torch.zeros_like(frames[6])) and not torch.equal(frames[0], frames[6])
    assert encoded == [1]
    flow, _ = registry.load_backbone("flow", [], {})
    with pytest.raises(MagPlusError, match="flow cannot choose the reference"):
        resolve_reference("best", flow, sources, clip)


@pytest.mark.parametrize("strength", [-0.1, 11])
def test_a_strength_out_of_range_is_refused(clip, strength):
    backbone, _ = registry.load_backbone("flow", [], {})
    with pytest.raises(MagPlusError, match="0 to 10"):
        next(animate(backbone, torch.rand(1, 3, 96, 96), clip, motion_strength=strength))


def test_animate_refuses_what_the_backbone_does_not_know(clip):
    backbone, _ = registry.load_backbone("flow", [], {})
    with pytest.raises(MagPlusError, match="no guide 'landmarks'"):
        next(animate(backbone, torch.rand(1, 3, 96, 96), clip, guides={"landmarks": 1}))
    with pytest.raises(MagPlusError, match="source picture"):
        next(animate(backbone, torch.rand(2, 3, 96, 96), clip))


def test_alpha_is_chosen_from_the_peak_and_limited(clip):
    curve = measure_clip(clip, BOX)
    chosen = choose_alpha(curve, target_pct_face=2.0, allowed=AlphaRange(low=1 / 32, high=32))
    assert chosen.alpha == pytest.approx(2.0 / curve.peak_pct_face) and "guess" in chosen.reason
    limited = choose_alpha(curve, target_pct_face=500.0, allowed=AlphaRange(low=1 / 32, high=32))
    assert limited.alpha == 32 and "limited" in limited.reason
    assert choose_alpha(curve, target_pct_face=1e-6, allowed=AlphaRange(low=1 / 32, high=32)).alpha == 1


@pytest.mark.parametrize("count", [10, 24])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_alpha_is_not_chosen_from_noise(count, seed):
    noise = TensorClip(synth.clip(FIELD, np.zeros(count), (96, 96), seed=seed, noise=0.01))
    curve = measure_clip(noise, BOX, estimator=estimator_of(arch.builtin()))
    with pytest.raises(MagPlusError, match="No motion above the noise"):
        choose_alpha(curve, target_pct_face=2.0, allowed=AlphaRange(low=1 / 32, high=32))


def test_alpha_is_chosen_from_a_weak_motion_in_noise():
    frames = synth.clip(synth.scaled(FIELD, 0.4), synth.micro_motion(24), (96, 96), seed=6, noise=0.01)
    curve = measure_clip(TensorClip(frames), BOX, estimator=estimator_of(arch.builtin()))
    assert choose_alpha(curve, target_pct_face=2.0, allowed=AlphaRange(low=1 / 32, high=32)).alpha > 8
