"""Training of the generator: pieces add up to the whole, and the losses know the truth."""

from dataclasses import replace

import torch
from magplus.pipeline.cli import main
from magplus.pipeline.train import generator
from magplus.pipeline.train.face_pairs import render_pairs
from magplus.pipeline.train.generator import GeneratorRecipe, GeneratorTrainer

SMALL = GeneratorRecipe(steps=4, batch=2, chapter=2, identities=1, validate_every=99)


def test_a_training_in_two_pieces_is_the_same_as_in_one(tmp_path):
    whole = GeneratorTrainer(SMALL)
    for _ in range(4):
        whole.advance()
    first = GeneratorTrainer(SMALL)
    first.advance(), first.advance()
    first.save(tmp_path / "state")
    second = GeneratorTrainer.load(tmp_path / "state")
    second.advance(), second.advance()
    assert second.finished and second.step == whole.step
    for name, value in whole.average.state_dict().items():
        assert torch.allclose(value, second.average.state_dict()[name], atol=1e-5), name


def test_the_losses_are_least_for_the_truth():
    pairs = render_pairs((3,), 1, 64, framing_scale=1.15)
    small = torch.nn.functional.avg_pool2d(pairs.origin, 2).permute(0, 2, 3, 1) * 63 / 62
    line = torch.linspace(-1, 1, 32)
    still = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).expand_as(small)
    assert generator.flow_loss(small, pairs) < 0.02 * generator.flow_loss(still, pairs)
    places = pairs.anchors[:, 0]
    there = generator.arrivals(places, pairs)
    assert (there - pairs.anchors[:, 1]).norm(dim=-1).mean() < 0.2 * (places - pairs.anchors[:, 1]).norm(dim=-1).mean()


def test_the_command_trains_and_writes_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(
        generator, "validate", lambda _: generator.GeneratorScore(psnr_db=1, error_pct=1, keypoint_px=1)
    )
    monkeypatch.setattr(generator, "render_pairs", lambda seed, n, size, **k: render_pairs(seed, 1, size, **k))
    words = [
        "train",
        "--what",
        "generator",
        "--checkpoint",
        tmp_path / "c",
        "--steps",
        1,
        "--out",
        tmp_path / "w.safetensors",
    ]
    generator._chapter.cache_clear()
    assert main([str(w) for w in [*words, "--plot", tmp_path / "p.png"]]) == 0
    assert (tmp_path / "w.safetensors").is_file() and (tmp_path / "p.png").is_file()
    assert GeneratorTrainer.load(tmp_path / "c").recipe == replace(GeneratorRecipe(), steps=1)
