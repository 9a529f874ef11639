"""Weight files: data only, strict, and errors that say what to do."""

import os
import pickle

import pytest
import torch
from magplus.models import checkpoint, registry
from magplus.models.errors import MagPlusError
from magplus.models.lkmag.network import LKMag
from magplus.models.lkmag.refiner import Refiner
from magplus.models.lkmag.weigher import WindowWeigher


class Bomb:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def network(weigher=12, refiner=20):
    net = LKMag(weigher=WindowWeigher(width=weigher), refiner=Refiner(width=refiner))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return net


@pytest.mark.parametrize(("weigher", "refiner"), [(8, 8), (12, 20), (32, 32)])
@pytest.mark.parametrize("kind", ["safetensors", "pth", "wrapped", "parallel"])
def test_detection_round_trip(tmp_path, kind, weigher, refiner):
    net = network(weigher, refiner)
    state = net.state_dict()
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth.tar")
    if kind == "safetensors":
        checkpoint.write_safetensors(state, path, {"alpha": "32"})
    elif kind == "pth":
        torch.save(state, path)
    elif kind == "wrapped":
        torch.save({"state_dict": state, "epoch": 3, "optimizer": {"state": {0: {"step": 1}}}}, path)
    else:
        torch.save({f"module.{name}": value for name, value in state.items()}, path)
    loaded, origin = registry.load_magnifier(path)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in state.items())
    assert origin.sha256 == checkpoint.sha256_of(path)
    assert not any(p.requires_grad for p in loaded.parameters())


def test_a_malicious_pickle_is_refused_and_not_run(tmp_path):
    proof = tmp_path / "ran"
    for name, content in (("bare.pth", Bomb(f"touch {proof}")), ("inside.ckpt", {"w": Bomb(f"touch {proof}")})):
        path = tmp_path / name
        torch.save(content, path)
        with pytest.raises(MagPlusError, match="could run code"):
            checkpoint.read_checkpoint(path)
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(MagPlusError):
            checkpoint.read_checkpoint(path)
    assert not proof.exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.98])
def test_a_truncated_file_is_refused(tmp_path, suffix, part):
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save(network().state_dict(), path)
    else:
        checkpoint.write_safetensors(network().state_dict(), path, {})
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(MagPlusError, match=str(path)):
        checkpoint.read_checkpoint(path)


def test_a_file_that_is_no_weights_file_is_refused(tmp_path):
    for name in ("notes.pth", "notes.safetensors"):
        (tmp_path / name).write_text("hello, this is no tensor at all\n" * 20)
        with pytest.raises(MagPlusError):
            checkpoint.read_checkpoint(tmp_path / name)
    with pytest.raises(MagPlusError, match="no weights file"):
        checkpoint.read_checkpoint(tmp_path / "absent.pth")


def test_the_weights_of_another_network_are_named(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"encoder.0.weight": torch.zeros(3)}, path)
    with pytest.raises(MagPlusError, match=r"encoder\.0\.weight"):
        registry.load_magnifier(path)


def test_an_incomplete_file_says_what_it_looks_like(tmp_path):
    state = network().state_dict()
    del state["refiner.head.bias"]
    path = tmp_path / "part.pth"
    torch.save(state, path)
    with pytest.raises(MagPlusError, match=r"looks like lkmag.*refiner\.head\.bias"):
        registry.load_magnifier(path)


def test_strict_loading_names_missing_unexpected_and_misshapen_keys():
    net = network()
    state = net.state_dict()
    state["extra"] = torch.zeros(1)
    state["weigher.body.0.bias"] = torch.zeros(5)
    del state["weigher.body.2.bias"]
    with pytest.raises(MagPlusError, match=r"missing.*body\.2\.bias.*unexpected.*extra.*shape.*body\.0\.bias"):
        checkpoint.load_strictly(net, state, what="lkmag")


def test_unknown_backbones_options_and_needless_weights_are_refused(tmp_path):
    path = tmp_path / "w.pth"
    torch.save(network().state_dict(), path)
    with pytest.raises(MagPlusError, match="Known: flow"):
        registry.load_backbone("fomn", [], {})
    with pytest.raises(MagPlusError, match="no option 'colour'"):
        registry.load_backbone("flow", [], {"colour": "1"})
    with pytest.raises(MagPlusError, match="has no weights"):
        registry.load_backbone("flow", [path], {})


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(MagPlusError, match="No space left"):
        checkpoint.write_safetensors({"a": torch.zeros(2)}, tmp_path / "w.safetensors", {})
    assert list(tmp_path.iterdir()) == []
