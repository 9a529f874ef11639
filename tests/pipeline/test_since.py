"""To begin at frame k gives the rest of what a run from frame 0 gives, bit by bit."""

from __future__ import annotations

from fractions import Fraction

import pytest
import synth
import torch
from magplus.models.contracts import DriveResult
from magplus.models.errors import MagPlusError
from magplus.models.geometry import similarity
from magplus.models.registry import load_magnifier
from magplus.pipeline.clip import TensorClip, since
from magplus.pipeline.media import ClipWriter, open_clip
from magplus.pipeline.motion.animate import animate
from magplus.pipeline.motion.band import Band
from magplus.pipeline.motion.demagnify import demagnify, demagnify_onto
from magplus.pipeline.motion.magnify import magnify

FRAMES = synth.clip(synth.bump(20, 18, 7, 0.4, 0.2), synth.micro_motion(12), (40, 36)).clamp(0, 1)
CLIP = TensorClip(FRAMES)
MAGNIFIER = load_magnifier()[0]


def rest(chunks_from, first):
    """Frames from ``first`` on: of a run that begins there, and of one that begins at 0."""
    return torch.cat(list(chunks_from(first))), torch.cat(list(chunks_from(0)))[first:]


@pytest.mark.parametrize("first", [4, 8])
@pytest.mark.parametrize("reference", [0, 5, 9])
def test_magnification(first, reference):
    masks = TensorClip(torch.rand(12, 1, 40, 36, generator=torch.Generator().manual_seed(1)).expand(-1, 3, -1, -1))
    for mask in (None, masks):
        about = {"alpha": 5.0, "reference": reference, "mask": mask}
        assert torch.equal(*rest(lambda k, about=about: magnify(CLIP, MAGNIFIER, first=k, **about), first))


@pytest.mark.parametrize("factor", [0, 0.25])
def test_the_way_back(factor):
    about = {"factor": factor, "reference": 6}
    assert torch.equal(*rest(lambda k: demagnify(CLIP, MAGNIFIER, first=k, **about), 4))
    portrait = torch.rand(3, 90, 80, generator=torch.Generator().manual_seed(2))
    onto = {"to_portrait": similarity(1.5, 5, (17.5, 19.5), (40, 44))}
    assert torch.equal(*rest(lambda k: demagnify_onto(portrait, CLIP, MAGNIFIER, first=k, **about, **onto), 4))


class Summing:
    """Each picture holds how many frames its backbone has seen and how bright they were: a running sum."""

    name, max_sources, guide_names = "summing", 1, frozenset()

    def __init__(self, in_order):
        self.in_order = in_order

    def encode_source(self, sources, guides):
        return sources

    def set_reference(self, source_state, frame, guides):
        return [0.0]

    def drive(self, drive_state, frames, guides):
        made = []
        for frame in frames:
            drive_state[0] = float(frame.mean()) + (drive_state[0] if self.in_order else 0.0)
            made.append(torch.full((1, 3, 8, 8), drive_state[0]))
        return DriveResult(frames=torch.cat(made))


@pytest.mark.parametrize("in_order", [True, False])
def test_a_backbone_with_a_memory_is_driven_from_the_beginning(in_order):
    def chunks(first):
        found = animate(Summing(in_order), torch.zeros(1, 3, 8, 8), CLIP, first=first)
        return (result.frames for result in found)

    assert torch.equal(*rest(chunks, 8))


def test_a_file_is_entered_where_it_is_asked_to(tmp_path):
    with ClipWriter(tmp_path / "a.mkv", rate=Fraction(25)) as writer:
        writer.write(FRAMES)
    clip = open_clip(tmp_path / "a.mkv")
    for first in (3, 4, 12):
        found = list(since(clip, first).chunks())
        assert sum(map(len, found)) == 12 - first
        for chunk, frame in zip(found, range(first, 12, 4), strict=True):
            assert torch.equal(chunk[0], clip.frame(frame))
    assert since(clip, 4).frame(2).equal(clip.frame(2)) and since(clip, 4).info == clip.info


def test_a_band_needs_the_whole_clip():
    with pytest.raises(MagPlusError, match="needs the whole clip"):
        next(magnify(CLIP, MAGNIFIER, alpha=4.0, band=Band(low_hz=1, high_hz=4), first=4))
