"""The surveyor's training: what it learns from is true, kept, and turned rightly, and pieces add up to the whole."""

import pytest
import torch
from magplus.models.checkpoint import read_checkpoint
from magplus.models.lkmag import arch
from magplus.models.lkmag.surveyor import offers_of
from magplus.pipeline.cli import main
from magplus.pipeline.render.plot import PANEL_HEIGHT_PX
from magplus.pipeline.train import surveyor as training
from magplus.pipeline.train import surveys
from PIL import Image


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(surveys, "SIZE_PX", 64)
    monkeypatch.setattr(surveys, "PIECE", 2)
    monkeypatch.setattr(training, "FIRST_PIECES", 2)


@pytest.fixture
def piece(tmp_path):
    return surveys.piece(tmp_path / "scenes", 3)


def test_a_piece_is_rendered_once_and_says_what_is_true(tmp_path, piece):
    assert len(piece) == 8 and piece.cells.found.shape == (8, 2, 16, 16)
    assert piece.coded[[2, 6]].all() and (piece.floor[piece.coded] >= surveys.CODED_PX).all()
    again = surveys.piece(tmp_path / "scenes", 3)
    assert all(torch.equal(values, again.state()[name]) for name, values in piece.state().items())
    other = surveys.surveyed(arch.builtin(), surveys.APART + 2)
    assert torch.equal(other.truth, piece.truth[:4]) and torch.allclose(other.cells.found, piece.cells.found[:4])
    told = training.judged(piece.truth, piece)
    assert told.error.max() < 1e-4
    moved = piece.strength > 0
    assert torch.allclose(told.slope[moved], torch.ones(int(moved.sum())))


@pytest.mark.parametrize(("turns", "mirror"), [(1, False), (0, True), (3, True)])
def test_turned_surveys_are_those_of_turned_pictures(piece, turns, mirror):
    def turned(field):
        field = field.flip(-1) * torch.tensor([-1.0, 1.0]).view(2, 1, 1) if mirror else field
        for _ in range(turns):
            field = torch.rot90(field, 1, (-2, -1))
            field = torch.stack([field[..., 1, :, :], -field[..., 0, :, :]], -3)
        return field

    other = surveys.turned(piece, turns, mirror)
    assert torch.equal(other.truth, turned(piece.truth))
    expected, found = offers_of(piece.cells).displacement, offers_of(other.cells).displacement
    assert torch.allclose(found, turned(expected), atol=1e-3)


def test_another_noise_is_told_and_never_less_than_the_least(piece):
    draw = torch.Generator().manual_seed(0)
    other = training.jittered(piece, 0.1, draw)
    ratio = (other.cells.fine.noise / piece.cells.fine.noise).log()
    assert ratio.abs().max() > 0.02 and ratio.abs().max() < 0.5
    assert (other.cells.fine.noise >= piece.cells.least_noise).all()
    assert torch.equal(other.cells.found, piece.cells.found)


def test_losses_are_least_for_the_truth(piece, monkeypatch):
    trainer = training.SurveyorTrainer(training.SurveyorRecipe())

    def lost(found):
        monkeypatch.setattr(training, "answered", lambda *_: found)
        return float(sum(trainer.losses(piece).values()))

    assert lost(piece.truth) < lost(0.7 * piece.truth) < lost(-piece.truth)


def test_gain_and_stillness_count_less_at_first(piece):
    trainer = training.SurveyorTrainer(training.SurveyorRecipe(noise_jitter=0.0))
    first = trainer.losses(piece)
    trainer.step = trainer.recipe.steps - 1
    last = trainer.losses(piece)
    assert torch.equal(last["error"], first["error"])
    assert last["gain"].item() == pytest.approx(2 * first["gain"].item())
    assert last["worse"].item() > 2 * first["worse"].item()


def test_pieces_of_a_training_add_up(tmp_path):
    def run(state, minutes, *more):
        words = ["train", "--what", "surveyor", "--scenes", str(tmp_path / "scenes"), "--checkpoint", str(state)]
        assert main([*words, "--minutes", minutes, *more]) == 0

    recipe = training.SurveyorRecipe(steps=4, pieces=2, batch=3)
    whole, parts = (training.SurveyorTrainer(recipe) for _ in range(2))
    for trainer in (whole, parts):
        trainer.scenes = tmp_path / "scenes"
    for _ in range(4):
        whole.advance()
    for _ in range(2):
        parts.advance()
    parts.save(tmp_path / "half")
    parts = training.SurveyorTrainer.load(tmp_path / "half")
    parts.scenes = tmp_path / "scenes"
    parts.advance()
    parts.save(tmp_path / "more")
    run(tmp_path / "more", "5", "--out", str(tmp_path / "w.safetensors"), "--plot", str(tmp_path / "course.png"))
    assert Image.open(tmp_path / "course.png").height > 2 * PANEL_HEIGHT_PX, "gains, and errors below"
    file = read_checkpoint(tmp_path / "w.safetensors")
    expected = whole.average.state_dict()
    assert all(torch.allclose(file.tensors[name], expected[name], atol=1e-6) for name in expected)
    before = arch.builtin().state_dict()
    assert torch.equal(file.tensors["weigher.head.weight"], before["weigher.head.weight"]), "the others stay"
    run(tmp_path / "new", "0", "--start", str(tmp_path / "w.safetensors"), "--steps", "2")
    started = training.SurveyorTrainer.load(tmp_path / "new")
    assert torch.equal(started.network.surveyor.head.weight, file.tensors["surveyor.head.weight"])
