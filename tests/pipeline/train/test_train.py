"""The training: scenes keep their promises, pieces add up to the whole, and something is learned."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from magplus.models.checkpoint import read_checkpoint
from magplus.models.errors import MagPlusError
from magplus.models.lkmag import arch
from magplus.pipeline.cli import main
from magplus.pipeline.train import Condition, Recipe, Trainer, losses, render_batch, train
from magplus.pipeline.train.cameras import predicted
from magplus.pipeline.train.loop import turned
from magplus.pipeline.train.motion import MAX_STRAIN, grid, random_motion, strain
from magplus.pipeline.train.textures import KINDS, random_texture

SMALL = Recipe(
    steps=6, size_px=48, batch=2, chapter=2, reuse=2, weigher_width=8, refiner_width=8, flow_part=0.3, validate_every=99
)


@pytest.mark.parametrize("kind", KINDS)
def test_textures_are_smooth_functions_of_the_place(kind):
    texture = random_texture(np.random.default_rng(4), 48, kind)
    places = grid(48)
    here, there = texture(places), texture(places + torch.tensor([0.002, -0.001]))
    assert here.shape == (48 * 48, 3) and here.std() > 0.01
    assert 0 < (here - there).abs().max() < 0.02
    assert torch.allclose(texture(places[100:200]), here[100:200], atol=1e-5)


def test_the_inverse_of_a_motion_brings_every_point_to_its_pixel():
    motion = random_motion(np.random.default_rng(2), 64)
    motion = motion.times(MAX_STRAIN / strain(motion, 64))
    origin = motion.origin(grid(64))
    assert (origin + motion(origin) - grid(64)).abs().max() < 1e-3


def test_the_prior_finds_the_displacement_that_a_batch_claims():
    batch = render_batch((9,), 3, 64, Condition(alpha=4.0, noise=0.0, eight_bit=False, output_px=4.0, plain=True))
    prior = arch.prior()
    state = prior.prepare_pairs(batch.reference, batch.alpha)
    found = prior.displacement(state, batch.frame)
    error = (found - batch.displacement).square().sum(1).sqrt()
    assert error.median() < 0.15 * batch.displacement.square().sum(1).sqrt().mean()
    before = (batch.frame - batch.truth).square().mean()
    assert (prior.render(state, batch.frame, found) - batch.truth).square().mean() < 0.1 * before


def test_a_predicted_frame_loses_what_is_small_and_keeps_the_rest():
    still = 0.5 + 0.1 * torch.rand(3, 20, 27, generator=torch.Generator().manual_seed(0))
    small, large = still.clone(), still.clone()
    small[:, 4:10, 5:9] += 0.004
    large[:, 4:10, 5:9] += 0.2
    assert (predicted(still, small, 0.05) - still).abs().max() <= 0.5 / 255 + 1e-6
    kept = predicted(still, large, 0.05) - still
    assert kept[:, 5:9, 6:8].mean() == pytest.approx(0.2, abs=0.02) and kept[:, 16:].abs().max() <= 0.5 / 255 + 1e-6
    assert (predicted(still, large, 1e-4) - large).abs().max() < 1 / 255


@pytest.mark.parametrize(("turns", "mirror"), [(0, True), (1, False), (3, True)])
def test_turned_scenes_keep_their_truth(turns, mirror):
    batch = render_batch((3,), 2, 48, Condition(alpha=2.0, noise=0.0, eight_bit=False, output_px=3.0, plain=True))
    other = turned(batch, torch.tensor([1, 0]), turns, mirror)
    prior = arch.prior()

    def error(b):
        found = prior.displacement(prior.prepare_pairs(b.reference, b.alpha), b.frame)
        return float((found - b.displacement).square().sum(1).sqrt().median())

    assert error(other) == pytest.approx(error(batch), rel=0.2)


def test_the_losses_are_least_for_the_truth():
    batch = render_batch((5,), 2, 64, Condition(alpha=4.0, noise=0.0, eight_bit=False, output_px=4.0, plain=True))
    truth = batch.displacement
    for loss in (lambda d: losses.flow_loss([d], truth), lambda d: losses.gain_loss(d, truth, 0.9 * truth)):
        assert loss(truth) < loss(0.95 * truth) < loss(0.5 * truth)
    assert losses.picture_loss(batch.truth, batch.truth) < losses.picture_loss(batch.frame, batch.truth)
    assert losses.motion_loss(batch.truth, batch) < losses.motion_loss(batch.frame, batch) - 0.5


def test_two_pieces_are_the_whole(tmp_path):
    whole, first = Trainer(SMALL), Trainer(SMALL)
    for trainer, steps in ((whole, 4), (first, 2)):
        for _ in range(steps):
            trainer.advance()
    first.save(tmp_path / "state")
    second = Trainer.load(tmp_path / "state")
    for _ in range(2):
        second.advance()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
    assert second.step == 4


def test_a_batch_can_be_learned_by_heart():
    trainer = Trainer(Recipe(**{**vars(SMALL), "flow_part": 0.0, "steps": 400, "learning_rate": 1e-2}))
    batch = render_batch((8,), 2, 48, Condition(alpha=8.0, noise=0.05, eight_bit=False, output_px=3.0))
    trainer.batch = lambda: batch
    course = [trainer.advance()["picture"] for _ in range(50)]
    assert np.mean(course[-5:]) < course[0] - 0.1


def test_the_command_trains_in_pieces_and_writes_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("magplus.pipeline.cli.train.Recipe", lambda **given: Recipe(**{**vars(SMALL), **given}))
    monkeypatch.setattr("magplus.pipeline.train.validate.SCENES", 1)
    out, plot = tmp_path / "w.safetensors", tmp_path / "w.png"
    words = ["train", "--checkpoint", str(tmp_path / "state"), "--out", str(out), "--plot", str(plot)]
    assert main([*words, "--steps", "2", "--minutes", "1"]) == 0
    assert main([*words, "--steps", "3", "--minutes", "1"]) == 2, "the files exist"
    assert main([*words, "--steps", "3", "--minutes", "1", "--overwrite"]) == 0
    assert main(["inspect", str(out)]) == 0
    assert plot.stat().st_size > 1000
    assert main([*words, "--minutes", "1", "--steps", "3", "--overwrite"]) == 2, "all steps are done"


def test_a_training_may_begin_with_weights(tmp_path):
    """One step at a rate of nearly nothing leaves them as they are, and the new file names where it began."""
    out, begun = tmp_path / "w.safetensors", read_checkpoint(arch.WEIGHTS)
    words = ["train", "--checkpoint", str(tmp_path / "state"), "--out", str(out), "--minutes", "1", "--steps", "1"]
    slow = ["--start", str(arch.WEIGHTS), "--learning-rate", "1e-12"]
    assert main([*words, *slow]) == 0
    made = read_checkpoint(out)
    assert made.metadata["recipe.start"] == begun.sha256
    assert all(torch.allclose(value, begun.tensors[name], atol=1e-9) for name, value in made.tensors.items())
    assert main([*words, *slow, "--overwrite"]) == 2, "the checkpoint has begun already"


@pytest.mark.parametrize("rate", ["0", "-0.5"])
def test_a_rate_that_teaches_nothing_is_refused(tmp_path, rate):
    assert main(["train", "--checkpoint", str(tmp_path / "state"), "--learning-rate", rate]) == 2
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("rate", [1e-3, 1e-6])
def test_the_rate_never_rises_after_the_start(rate):
    trainer = Trainer(replace(SMALL, steps=100, learning_rate=rate))
    course = []
    for trainer.step in range(Trainer.warm_up, 101):
        course.append(trainer._rate())
    assert course[0] == rate and course == sorted(course, reverse=True)


def test_a_training_that_is_done_says_so(tmp_path):
    trainer = Trainer(SMALL)
    trainer.step = SMALL.steps
    with pytest.raises(MagPlusError, match="--steps"):
        train(trainer, minutes=1, checkpoint=tmp_path / "state", tick=lambda *_: None)


def test_the_learning_rate_falls_at_the_end():
    trainer = Trainer(Recipe())
    rates = {}
    for step in (60, 900, Recipe().steps - 1):
        trainer.step = step
        rates[step] = trainer._rate()
    assert rates[60] == rates[900] == Recipe().learning_rate
    assert math.isclose(rates[Recipe().steps - 1], Recipe().least_rate, rel_tol=0.02)


def test_pictures_that_agree_to_the_last_bit_leave_the_weights_finite():
    trainer = Trainer(Recipe(**{**vars(SMALL), "flow_part": 0.0}))
    scene = render_batch((6,), 2, 48, Condition(noise=0.0))
    still = torch.zeros_like(scene.displacement)
    batch = replace(scene, frame=scene.reference, truth=scene.reference, displacement=still)
    trainer.batch = lambda: batch
    trainer.advance()
    assert all(parameter.isfinite().all() for parameter in trainer.network.parameters())
