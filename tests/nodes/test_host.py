"""Cancel, progress, inference mode and folders."""

from __future__ import annotations

import time

import pytest
import torch
from PIL import Image
from torch import nn


class Cancelled(BaseException):
    """As ComfyUI's, no Exception."""


def test_cancel_is_seen_between_two_operations_of_a_layer(standalone):
    started = time.monotonic()
    hooks = standalone.module("nodes.standalone").hooks

    def check():
        if time.monotonic() - started > 0.3:
            raise Cancelled

    hooks.check = check
    x = torch.rand(64, 64)
    with pytest.raises(Cancelled), standalone.host.cancellable():
        for _ in range(10_000_000):
            x = torch.nn.functional.linear(x, x).tanh()
    assert time.monotonic() - started < 2


def test_watching_changes_no_value(standalone):
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 3, 3))
    x = torch.rand(2, 3, 16, 16)
    plain = net(x)
    with standalone.host.cancellable():
        watched = net(x)
    assert torch.equal(plain, watched)


def test_comfyuis_own_cancel_button_stops_a_node(pack, small):
    if not pack.host.IN_COMFYUI:
        pytest.skip("needs ComfyUI's interrupt flag")
    import comfy.model_management as management  # noqa: PLC0415

    given = {"images": small, "alpha_mode": "number"}
    first = pack.run("MagPlusMagnify", **given)[0]
    management.interrupt_current_processing(True)
    with pytest.raises(management.InterruptProcessingException):
        pack.run("MagPlusMagnify", **given)
    assert torch.equal(pack.run("MagPlusMagnify", **given)[0], first)


def test_progress_ticks_once_a_frame_with_a_small_picture(standalone):
    ticks = []
    standalone.module("nodes.standalone").hooks.progress = lambda *tick: ticks.append(tick)
    with standalone.host.running() as progress:
        for done in range(1, 6):
            progress("magnify", done, 5, torch.full((3, 700, 1400), done / 5))
        progress.show(Image.new("RGB", (900, 300)))
    assert ticks.pop()[2].size == (900, 300), "what a node shows at its end is not reduced"
    assert [tick[:2] for tick in ticks] == [(k, 5) for k in range(1, 6)]
    last = ticks[-1][2]
    assert max(last.size) <= standalone.host.PREVIEW_PX
    assert last.getpixel((0, 0)) == (255, 255, 255)


def test_a_node_that_shows_its_result_runs_without_pictures(standalone, small):
    """The page would keep showing the last running picture in its place."""
    ticks = []
    standalone.module("nodes.standalone").hooks.progress = lambda *tick: ticks.append(tick)
    standalone.run("MagPlusSaveVideo", images=small, fps=25.0)
    standalone.run("MagPlusMotionReport", input_clip=small)
    assert len(ticks) > 18
    assert not any(picture for _, _, picture in ticks)


def test_a_network_can_be_trained_inside_inference_mode(pack):
    inference = pack.module("nodes.inference")
    with torch.inference_mode():
        net, x = nn.Linear(3, 1), torch.rand(4, 3)
        with inference.leave_inference_mode():
            learner, data = inference.usable(net), inference.usable({"x": [x]})
            learner(data["x"][0]).sum().backward()
            assert learner.weight.grad is not None
            assert torch.equal(learner.weight, net.weight)
    assert net.weight.is_inference()


def test_weights_of_every_kind_are_offered(pack, tmp_path, monkeypatch):
    weights = tmp_path / "weights"
    weights.mkdir()
    for name in ("a.safetensors", "b.tar", "c.txt"):
        (weights / name).write_bytes(b"x")
    if pack.host.IN_COMFYUI:
        import folder_paths  # noqa: PLC0415

        # as extra_model_paths.yaml does it: a kind without any extension, before the pack is loaded
        monkeypatch.setitem(folder_paths.folder_names_and_paths, "magplus", ([str(weights)], set()))
        monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path / "models"))
        folder_paths.filename_list_cache.clear()
    pack.host.register_folders()
    pack.host.register_folders()
    assert pack.host.weight_files() == ["a.safetensors", "b.tar"]
    assert pack.host.weight_path("b.tar") == weights / "b.tar"
    with pytest.raises(pack.error, match=r"There is no file d\.pth"):
        pack.host.weight_path("d.pth")


def test_input_names_stay_in_their_folder(pack):
    (pack.places.input.parent / "secret.mkv").write_bytes(b"x")
    (pack.places.input / "own.mkv").write_bytes(b"x")
    assert pack.host.input_path("own.mkv").is_file()
    for name in ("../secret.mkv", "sample: ../README.md", str(pack.places.input.parent / "secret.mkv")):
        with pytest.raises(pack.error, match="leads out"):
            pack.host.input_path(name)


def test_output_numbers_go_on(pack):
    first = pack.host.output_place("sub/clip", width=8, height=8)
    assert (first.stem, first.subfolder) == ("clip_00001_", "sub")
    (first.folder / f"{first.stem}.mkv").write_bytes(b"")
    (first.folder / f"{first.stem}preview.mp4").write_bytes(b"")
    assert pack.host.output_place("sub/clip", width=8, height=8).stem == "clip_00002_"


def test_output_stays_in_its_folder(pack):
    with pytest.raises(Exception, match=r"(?i)outside|out of"):
        pack.host.output_place("../../elsewhere/clip", width=8, height=8)
