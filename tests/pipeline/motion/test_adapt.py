"""Adaptation: what it learns, when it stops, and what it leaves alone."""

import numpy as np
import pytest
import synth
import torch
from falling import falling
from magplus.models.errors import MagPlusError
from magplus.models.flowmag import arch as flowmag
from magplus.models.lkmag import arch as lkmag
from magplus.models.lkmag.network import LKMag
from magplus.models.lkmag.refiner import Refiner
from magplus.models.lkmag.weigher import WindowWeigher
from magplus.models.registry import learner_of
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.motion import adapt
from magplus.pipeline.motion.adapt import Adaptation, AdaptSettings
from magplus.pipeline.motion.pairs import PairSource, crop_side

SIZE = 64
FAST = {"batch": 1, "alpha_low": 2.0, "alpha_high": 8.0}


@pytest.fixture(scope="module")
def clip():
    field = synth.bump(SIZE / 2, SIZE / 2, SIZE / 4, 0.5, -0.4)
    return TensorClip(synth.clip(field, np.array([0.0, 0.7, 1.0, -0.8]), (SIZE, SIZE)))


def misled():
    """lkmag whose networks have learned something wrong."""
    torch.manual_seed(1)
    network = LKMag(weigher=WindowWeigher(width=8), refiner=Refiner(width=8))
    for head in (network.weigher.head, network.refiner.head):
        torch.nn.init.normal_(head.weight, std=0.5)
    return lkmag.freeze(network)


def tiny(frames, width=4):
    """FlowMag of a few channels with random weights, whose norms know a clip."""
    torch.manual_seed(0)
    network = flowmag.Generator(width)
    with torch.no_grad():
        for _ in range(40):
            network(frames[:1].expand_as(frames), frames, torch.linspace(2, 8, len(frames)))
    return flowmag.build(flowmag.to_save(network.state_dict()))


class Unmoved:
    """A flow estimator that never sees a motion, and counts how often it was asked."""

    name = "unmoved"

    def __init__(self):
        self.asked = 0

    def flow(self, first, second, *, quick=False):
        self.asked += 1
        assert quick
        return 0 * second[:, :2]


def test_a_magnifier_that_errs_is_set_right(clip):
    """By lkmag's own flow, and seen by another estimator."""
    magnifier = misled()
    noise = 0.03 * torch.randn(clip.frames.shape, generator=torch.Generator().manual_seed(3))
    clip = TensorClip(clip.frames + noise)
    before = {name: value.clone() for name, value in magnifier.state_dict().items()}
    adaptation = Adaptation(magnifier, clip, settings=AdaptSettings(steps=40, learning_rate=3e-3, **FAST))
    adaptation.run()
    adapted = adaptation.result()
    report = adapted.report
    assert report["loss"]["after"] < 0.6 * report["loss"]["before"]
    assert report["motion_error_px"]["after"] < report["motion_error_px"]["before"]
    assert report["motion_error_px"]["estimator"] == "spline fit"
    assert all(torch.equal(value, before[name]) for name, value in magnifier.state_dict().items())
    assert report["best_step"] > 0 and not any(p.requires_grad for p in adapted.magnifier.parameters())
    again = lkmag.build(adapted.tensors)
    state = again.prepare(clip.frames[0], 4.0)
    assert torch.equal(again.run(state, clip.frames), adapted.magnifier.run(state, clip.frames))


def test_flowmag_trains_with_the_statistics_of_the_batch(clip):
    magnifier = tiny(clip.frames)
    estimator = Unmoved()
    before = magnifier.weights["down_layers.0.double_conv.1.running_mean"].clone()
    settings = AdaptSettings(steps=60, learning_rate=1e-2, **FAST | {"batch": 4})
    adaptation = Adaptation(magnifier, clip, settings=settings, estimator=estimator)
    adaptation.run()
    adapted = adaptation.result()
    assert estimator.asked > 60 and adapted.report["flow"] == "unmoved"
    assert adapted.report["loss"]["after"] < 0.9 * adapted.report["loss"]["before"], "the colours are learned at least"
    mean = "down_layers.0.double_conv.1.running_mean"
    assert torch.equal(magnifier.weights[mean], before)
    assert (adapted.tensors[f"generator.{mean}"] - before).abs().max() > 1e-3
    loaded = flowmag.build(adapted.tensors)
    made = [m.run(m.prepare(clip.frames[0], 4.0), clip.frames) for m in (loaded, adapted.magnifier)]
    assert torch.equal(*made)


def test_a_magnifier_is_judged_as_it_is_used(clip):
    """With running statistics, so that the judgement is of what `result` gives."""
    adaptation = Adaptation(tiny(clip.frames), clip, settings=AdaptSettings(steps=10, **FAST), estimator=Unmoved())
    adaptation.run()
    magnifier = adaptation.result().magnifier
    assert magnifier.name == "flowmag"
    again = Adaptation(magnifier, clip, settings=AdaptSettings(steps=1, **FAST), estimator=Unmoved())
    again.run()
    assert again.history[0].loss == pytest.approx(adaptation.best.loss, rel=1e-5)


def test_the_same_seed_gives_the_same_weights(clip):
    magnifier = tiny(clip.frames)
    state = torch.random.get_rng_state()
    found = []
    for _ in range(2):
        settings = AdaptSettings(steps=2, seed=3, **FAST)
        adaptation = Adaptation(magnifier, clip, settings=settings, estimator=Unmoved())
        adaptation.run()
        found.append(adaptation.history)
    assert found[0] == found[1]
    assert torch.equal(torch.random.get_rng_state(), state), "nobody else's random numbers are touched"


def test_cancelling_keeps_the_best_so_far(clip, monkeypatch):
    monkeypatch.setattr(adapt, "EVERY", 2)
    monkeypatch.setattr(adapt, "magnification_loss", falling())

    class Cancelled(BaseException):
        pass

    def progress(stage, done, total, preview=None):
        assert (stage, total) == ("adapt", 100) and preview.shape[0] == 3
        if done == 9:
            raise Cancelled

    settings = AdaptSettings(steps=100, learning_rate=1e-2, **FAST)
    adaptation = Adaptation(tiny(clip.frames), clip, settings=settings, estimator=Unmoved())
    assert not adaptation.has_learned
    with pytest.raises(Cancelled):
        adaptation.run(progress)
    assert adaptation.has_learned
    report = adaptation.result().report
    assert (report["stopped"], report["best_step"], report["steps"]) == ("cancelled", 8, 8)


def test_it_stops_early_where_nothing_gets_better(clip, monkeypatch):
    monkeypatch.setattr(adapt, "EVERY", 1)
    monkeypatch.setattr(adapt, "PATIENCE", 3)
    adaptation = Adaptation(
        tiny(clip.frames), clip, settings=AdaptSettings(steps=50, learning_rate=1e-12, **FAST), estimator=Unmoved()
    )
    adaptation.run()
    assert adaptation.stopped == "early stop" and adaptation.history[-1].step < 40


def test_it_stops_in_time(clip):
    adaptation = Adaptation(tiny(clip.frames), clip, settings=AdaptSettings(seconds=0.01, **FAST), estimator=Unmoved())
    adaptation.run()
    assert adaptation.stopped == "seconds" and [one.step for one in adaptation.history] == [0, 1]


def test_a_run_that_gets_worse_gives_back_what_it_started_from(clip):
    magnifier = misled()
    before = magnifier.state_dict()
    adaptation = Adaptation(magnifier, clip, settings=AdaptSettings(steps=2, learning_rate=10.0, **FAST))
    adaptation.run()
    assert not adaptation.has_learned
    tensors = adaptation.result().tensors
    assert all(torch.equal(value, tensors[name]) for name, value in before.items())
    assert adaptation.result().report["best_step"] == 0


def test_a_run_that_ends_in_no_number_keeps_the_best_so_far(clip, monkeypatch):
    monkeypatch.setattr(adapt, "EVERY", 2)
    real, asked = falling(), []

    def breaks(*given, **more):
        asked.append(0)
        loss = real(*given, **more)
        loss.total = loss.total * (float("nan") if len(asked) > limit else 1.0)
        return loss

    monkeypatch.setattr(adapt, "magnification_loss", breaks)
    settings = AdaptSettings(steps=50, **FAST)
    limit = 13
    adaptation = Adaptation(tiny(clip.frames), clip, settings=settings, estimator=Unmoved())
    adaptation.run()
    assert adaptation.stopped == "ran away" and adaptation.result().report["best_step"] == 4
    limit = 0
    with pytest.raises(MagPlusError, match="ran away"):
        Adaptation(tiny(clip.frames), clip, settings=settings, estimator=Unmoved()).run()


def test_crops_fit_the_clip_and_the_networks():
    assert [crop_side(side, 192) for side in (16, 100, 127, 128, 150, 256, 762)] == [16, 100, 127, 128, 128, 192, 192]
    assert [crop_side(762, limit) for limit in (64, 200, 512)] == [128, 192, 512]


def test_a_pair_is_cut_and_lit_alike():
    still = torch.rand(3, 140, 150)
    clip = TensorClip(torch.stack([still, still, still]))
    source = PairSource(clip, reference=1, region=None, crop_px=128, alphas=(1.0, 16.0), seed=0)
    pairs = source.draw(8)
    assert pairs.reference.shape == (8, 3, 128, 128) and torch.equal(pairs.reference, pairs.frames)
    assert len({tuple(crop[:, 0, 0].tolist()) for crop in pairs.reference}) == 8, "every crop is another one"
    assert pairs.alpha.min() >= 1 and pairs.alpha.max() <= 16 and pairs.alpha.log2().std() > 0.5
    first, second = source.fixed(4), source.fixed(4)
    assert torch.equal(first.frames, second.frames) and len(first.alpha) == 2


def test_crops_are_taken_where_the_region_is():
    frames, region = torch.rand(3, 3, 300, 300), torch.zeros(300, 300)
    region[290:300, 30:40] = 1
    frames[:] = frames[:1]
    source = PairSource(TensorClip(frames), reference=0, region=region, crop_px=128, alphas=(1.0, 1.0), seed=0)
    drawn = source.draw(20)
    assert (drawn.region.flatten(1).sum(1) > 0).all() and (drawn.region.flatten(1).sum(1) <= 100).all()
    assert (source.fixed(2).region.flatten(1).sum(1) > 0).all()


def test_a_region_is_all_that_counts(clip):
    """Outside it a picture may be anything."""
    region = torch.zeros(SIZE, SIZE)
    region[:, : SIZE // 2] = 1
    spoilt = TensorClip(clip.frames.clone())
    spoilt.frames[1:, :, :, SIZE // 2 + 8 :] = torch.rand(3, 3, SIZE, SIZE // 2 - 8)
    losses = []
    for frames in (clip, spoilt):
        adaptation = Adaptation(
            lkmag.builtin(), frames, settings=AdaptSettings(steps=1, **FAST), estimator=Unmoved(), region=region
        )
        adaptation.run()
        losses.append(adaptation.history[0].loss)
    assert losses[1] < 2 * losses[0] + 0.05


@pytest.mark.parametrize(
    ("settings", "region", "words"),
    [
        ({"steps": 0}, None, "steps must be above 0"),
        ({"learning_rate": -1.0}, None, "learning_rate"),
        ({"alpha_low": 4.0, "alpha_high": 2.0}, None, "cannot go from 4 to 2"),
        ({"reference": 9}, None, "no frame 9"),
        ({}, torch.ones(8, 8), "8 x 8 px"),
        ({}, torch.zeros(SIZE, SIZE), "black everywhere"),
    ],
)
def test_unusable_settings_are_refused(clip, settings, region, words):
    with pytest.raises(MagPlusError, match=words):
        Adaptation(lkmag.builtin(), clip, settings=AdaptSettings(**settings), region=region)


def test_other_magnifiers_and_single_frames_are_refused(clip):
    with pytest.raises(MagPlusError, match=r"fomm cannot be adapted\. Give one of: lkmag, flowmag"):
        learner_of(type("Other", (), {"name": "fomm"})())
    with pytest.raises(MagPlusError, match="single frame"):
        Adaptation(lkmag.builtin(), TensorClip(clip.frames[:1]), settings=AdaptSettings())


@pytest.mark.heavy
def test_flowmag_learns_through_lkmags_flow(clip, monkeypatch):
    """From random weights: first the colours, then the motion.

    What random weights paint shows no motion at all, which costs less than the first wrong ones: whoever waits for 100
    steps only gives up.
    """
    monkeypatch.setattr(adapt, "PATIENCE", 99)
    settings = AdaptSettings(steps=450, learning_rate=3e-3, batch=2, alpha_low=2.0, alpha_high=8.0)
    adaptation = Adaptation(tiny(clip.frames, 16), clip, settings=settings)
    adaptation.run()
    report = adaptation.result().report
    assert report["loss"]["after"] < 0.8 * report["loss"]["before"]
    assert report["motion_error_px"]["after"] < report["motion_error_px"]["before"]
