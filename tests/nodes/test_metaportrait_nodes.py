"""MetaPortrait's nodes: guides from wires and files, fitting inside ComfyUI's mode, super-resolution."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from magplus.models.contracts import DriveResult, Framing

BOX = {"x": 20.0, "y": 18.0, "width": 30.0, "height": 36.0}


class Spy:
    """Takes MetaPortrait's guides, and a fit of one number that only gradients can find."""

    name, max_sources = "spy", 1
    framing = Framing(scale=1.3, shift_y=-0.2 / 1.3, size=32)
    guide_names = frozenset(
        {"source_box", "driving_box", "source_landmarks", "driving_landmarks", "source_identity", "motion_strength"}
    )

    def __init__(self):
        self.seen = {}
        self.network = torch.nn.Linear(1, 1)
        self.steps = []

    def fit(self, sources, guides):
        return None if guides["source_identity"] != "fit" else SimpleNamespace(
            guide="source_identity", network=self.network, values=[sources], solve=self.solve
        )  # fmt: skip

    def solve(self, network, values, tick):
        value = torch.zeros(1, requires_grad=True)
        (network(value) * values[0].mean() - 1).square().backward()
        for step in (1, 2, 3):
            self.steps.append(step)
            tick(step, 3)
        return value.grad

    def encode_source(self, sources, guides):
        self.seen["source"] = guides
        return sources

    def set_reference(self, state, frame, guides):
        self.seen["reference"] = guides
        return state

    def drive(self, state, frames, guides):
        self.seen["driving"] = guides
        return DriveResult(frames=frames)


def animate(pack, guides, count=3):
    pack.module("nodes.animate").ENCODED.clear()
    spy = Spy()
    drive(pack, spy, guides, torch.rand(1, 64, 48, 3), count)
    return spy.seen


def drive(pack, spy, guides, portrait, count=3):
    """Drive a portrait by another clip each time, keeping what is known of portraits."""
    wire = pack.module("nodes.wires").Loaded(model=spy, weights=("spy",))
    return pack.run(
        "MagPlusAnimate", backbone=wire, source=portrait, driving=torch.rand(count, 80, 60, 3),
        source_box=BOX, driving_box=BOX, reference_index=1, guides=guides,
    )  # fmt: skip


def landmarks(count=3, points=478, size=(80, 60), faces=1):
    """FACE_LANDMARKS as ComfyUI's own node gives them; a second, larger face shifted by 10 px."""
    frames = []
    for t in range(count):
        base = np.random.default_rng(t).uniform(10, 40, (points, 2)).astype(np.float32)
        found = [{"landmarks_xy": base}, {"landmarks_xy": 1.2 * base + 10}]
        frames.append(found[:faces])
    return {"frames": frames, "image_size": size, "connection_sets": {}}


def test_a_mesh_reaches_the_backbone_in_px_of_its_crop(pack):
    mesh = landmarks(faces=2)
    (guides,) = pack.run("MagPlusMetaPortraitGuides", identity="zeros", driving_landmarks=mesh)
    seen = animate(pack, guides)
    given = seen["reference"]["driving_landmarks"]
    assert given.shape == (478, 2) and torch.equal(seen["driving"]["driving_landmarks"], given)
    side = 1.3 * 36
    centre = np.array([20 + 29 / 2, 18 + 35 / 2 - 0.2 * 36])
    px = (mesh["frames"][1][1]["landmarks_xy"] - 0.5 - centre) * 32 / side + 15.5
    np.testing.assert_allclose(given.numpy(), px, atol=1e-4)
    assert seen["source"]["source_identity"] == "zeros" and "driving_landmarks" not in seen["source"]


def test_files_of_every_frame(standalone):
    points = np.random.default_rng(0).random((3, 669, 2))
    np.save(standalone.places.input / "faces.npy", points)
    np.save(standalone.places.input / "one.npy", points[:1])
    np.save(standalone.places.input / "id.npy", np.arange(256.0))
    files = {"driving_file": "faces.npy", "source_file": "one.npy", "identity": "file", "identity_file": "id.npy"}
    for frames, dimensions in (("all", 3), ("reference", 2)):
        (guides,) = standalone.run("MagPlusMetaPortraitGuides", **files, driving_frames=frames)
        seen = animate(standalone, guides)
        assert seen["driving"]["driving_landmarks"].ndim == dimensions
        assert seen["reference"]["driving_landmarks"].shape == (669, 2)
        assert seen["source"]["source_landmarks"].shape == (669, 2)
        assert torch.equal(seen["source"]["source_identity"], torch.arange(256.0))
    with pytest.raises(standalone.error, match="3 entries for a driving clip of 4 frames"):
        (guides,) = standalone.run("MagPlusMetaPortraitGuides", **files, driving_frames="all")
        animate(standalone, guides, count=4)
    with pytest.raises(standalone.error, match="needs identity_file"):
        standalone.run("MagPlusMetaPortraitGuides", identity="file")


def test_a_fit_gets_its_gradients_inside_a_node(pack):
    (guides,) = pack.run("MagPlusMetaPortraitGuides")
    found = animate(pack, guides)["source"]["source_identity"]
    assert found.shape == (1,) and found.abs().item() > 0


def test_an_identity_is_fitted_once_per_portrait(pack):
    pack.module("nodes.animate").ENCODED.clear()
    spy, (guides,) = Spy(), pack.run("MagPlusMetaPortraitGuides")
    portraits = torch.rand(2, 1, 64, 48, 3)
    for portrait, fits in ((portraits[0], 1), (portraits[0].clone(), 1), (portraits[1], 2), (portraits[0], 2)):
        drive(pack, spy, guides, portrait)
        assert spy.steps == [1, 2, 3] * fits, "another clip drives the same portrait without a second fit"


def test_a_fit_that_was_cancelled_leaves_nothing_behind(standalone):
    class Cancelled(BaseException):
        pass

    def cancel(*_):
        if len(spy.steps) == 2:
            raise Cancelled

    standalone.module("nodes.animate").ENCODED.clear()
    spy, (guides,) = Spy(), standalone.run("MagPlusMetaPortraitGuides")
    hooks, portrait = standalone.module("nodes.standalone").hooks, torch.rand(1, 64, 48, 3)
    hooks.progress = cancel
    with pytest.raises(Cancelled):
        drive(standalone, spy, guides, portrait)
    assert spy.steps == [1, 2], "stopped in the step after which Cancel was pressed"
    hooks.progress = lambda *_: None
    drive(standalone, spy, guides, portrait)
    assert spy.steps == [1, 2, 1, 2, 3]
    assert spy.seen["source"]["source_identity"].abs().item() > 0


def test_meshes_without_a_face(pack):
    mesh = landmarks()
    mesh["frames"][0] = []
    (guides,) = pack.run("MagPlusMetaPortraitGuides", driving_landmarks=mesh)
    assert torch.isfinite(animate(pack, guides)["reference"]["driving_landmarks"]).all(), "the reference is frame 1"
    mesh["frames"] = [[], []]
    with pytest.raises(pack.error, match="no face was found in any of 2 frames"):
        pack.run("MagPlusMetaPortraitGuides", driving_landmarks=mesh)
    with pytest.raises(pack.error, match="Connect MediaPipe Face Landmarker"):
        pack.run("MagPlusMetaPortraitGuides", source_landmarks={"nothing": 1})


def test_guides_of_another_generator_are_refused(pack):
    (guides,) = pack.run("MagPlusMetaPortraitGuides", identity="zeros")
    (flow,) = pack.run("MagPlusFlowTransfer")
    with pytest.raises(pack.error, match="takes no guide 'source_identity'"):
        pack.run(
            "MagPlusAnimate", backbone=flow, source=torch.rand(1, 64, 48, 3), driving=torch.rand(2, 64, 48, 3),
            guides=guides,
        )  # fmt: skip


class Doubling:
    """Enlarges by repeating pixels, and notes how many frames it saw together."""

    def __init__(self):
        self.seen = []

    def __call__(self, frames):
        self.seen.append(len(frames))
        for frame in frames:
            yield frame[None].repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_super_resolve_enlarges_and_keeps_the_reference(pack, monkeypatch):
    model = Doubling()
    loaded = pack.module("nodes.wires").Loaded(model=model)
    module = pack.module("nodes.superresolve")
    monkeypatch.setattr(module, "_network", lambda *_: loaded)
    monkeypatch.setattr(module.SuperResolve, "fingerprint_inputs", classmethod(lambda *_, **__: ""))
    images = pack.module("nodes.wires").with_reference(torch.rand(5, 16, 16, 3), 3)
    (made,) = pack.run("MagPlusSuperResolve", images=images, window=4, overlap=1)
    assert made.shape == (5, 32, 32, 3) and model.seen == [4, 2]
    assert torch.equal(made[:, ::2, ::2], images)
    assert made.magplus_reference_index == 3


@pytest.mark.parametrize("node", ["MagPlusMetaPortrait", "MagPlusSuperResolve"])
def test_a_missing_file_is_told_with_its_folder_and_source(standalone, node):
    answer = standalone.by_id[node].validate_inputs(weights="absent.safetensors")
    assert "absent.safetensors in models/magplus" in answer
    assert "https://github.com/Meta-Portrait/MetaPortrait" in answer
