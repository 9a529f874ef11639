"""The shipped samples are what samples.json says, and the pack recovers their known motion."""

import importlib.util
import json
import sys
from contextlib import closing

import pytest
import torch
from magplus.models.geometry import FaceBox
from magplus.models.lkmag import arch
from magplus.models.registry import load_backbone, load_magnifier
from magplus.pipeline.clip import TensorClip
from magplus.pipeline.measure import compare, measure_clip, measure_fields
from magplus.pipeline.media import open_clip, read_image
from magplus.pipeline.motion.magnify import estimator_of
from magplus.pipeline.run import RunSettings, run


@pytest.fixture(scope="module")
def maker(root):
    spec = importlib.util.spec_from_file_location("magplus_samples_make", root / "samples" / "make.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def about(root):
    return json.loads((root / "samples" / "samples.json").read_text())


def test_the_clip_has_the_size_and_rate_that_it_should(root, about):
    clip = open_clip(root / "samples" / about["driver"]["file"])
    size = about["driver"]["size_px"]
    assert (clip.info.height, clip.info.width, clip.info.count) == (size, size, about["driver"]["frames"])
    assert str(clip.info.rate) == about["driver"]["rate"]
    assert read_image(root / "samples" / about["portrait"]["file"]).shape == (3, 600, 512)


def test_the_motion_stays_under_half_a_pixel(maker, about):
    assert maker.displacement(about["driver"]["size_px"]).norm(dim=1).max() < 0.5


def test_the_known_motion_is_recovered(root, maker, about):
    clip = open_clip(root / "samples" / about["driver"]["file"])
    peak, strengths = maker.displacement(clip.info.width).float(), maker.strengths(clip.info.count)
    box = FaceBox.from_corner(*about["driver"]["face_box"])
    truth = measure_fields((float(s) * peak for s in strengths), box=box, rate=clip.info.rate)
    for keywords in ({}, {"estimator": estimator_of(arch.builtin())}):
        found = compare(truth, measure_clip(clip, box, along=truth, **keywords))
        assert found.gain == pytest.approx(1, abs=0.08)
        assert found.correlation > 0.999 and abs(found.lag_frames) < 0.05


def test_the_displacement_of_the_apex_is_that_of_samples_json(root, maker, about):
    clip = open_clip(root / "samples" / about["driver"]["file"])
    magnifier = arch.builtin()
    apex = clip.frame(about["driver"]["strength"]["apex"])[None]
    with torch.no_grad():
        found = magnifier.displacement(magnifier.prepare(clip.frame(0)), apex)
    truth = maker.displacement(clip.info.width).float()
    x, y, width, height, _ = about["driver"]["face_box"]
    face = (..., slice(y, y + height), slice(x, x + width))
    assert (found - truth)[face].norm(dim=1).mean() < 0.03
    assert (found * truth)[face].sum() / truth[face].square().sum() == pytest.approx(1, abs=0.08)


def test_the_main_job_on_the_samples_gives_the_motion_back(root, about, tmp_path):
    """Reference, half way and apex: most of the portrait stands perfectly still, a mouth moves by 6 px."""
    clip = open_clip(root / "samples" / about["driver"]["file"])
    frames = torch.stack([clip.frame(index) for index in (0, 9, about["driver"]["strength"]["apex"])])
    driver, portrait = (FaceBox.from_corner(*about[name]["face_box"]) for name in ("driver", "portrait"))
    settings = RunSettings(target_pct_face=3.0, alpha=15.5, driver_box=driver, source_box=portrait)
    backbone, magnifier = load_backbone("flow", [], {})[0], load_magnifier()[0]
    source = read_image(root / "samples" / about["portrait"]["file"])
    models = {"backbone": backbone, "magnifier": magnifier, "settings": settings}
    with closing(run(TensorClip(frames), [source], scratch=tmp_path, **models)) as result:
        assert result.comparisons["generated"].gain == pytest.approx(1 / result.factor, rel=0.02)
        assert result.comparisons["restored"].gain == pytest.approx(1, abs=0.03)
