"""`magplus measure` part by part: two regions that move apart in time and direction."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from magplus.pipeline.cli import main
from magplus.pipeline.face.anatomy import CANONICAL
from magplus.pipeline.face.landmarks import LEAST_POINTS, MESH
from magplus.pipeline.media import open_clip
from synth import Texture, bump, render, scaled, total

BOX = (8, 8, 80, 84)
BROW, MOUTH = bump(29, 32, 8, 0.0, -0.5), bump(30, 71, 8, 0.4, 0.0)
"""The left brow goes up, a corner of the mouth to the right, in px."""
FACTOR = 3.0
COUNT = 20


def strengths(peak):
    return np.exp(-((np.arange(COUNT) - peak) ** 2) / (2 * 2.0**2))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A clip, and one with three times the motion in the brow and twice in the mouth, which comes a frame later."""
    folder = tmp_path_factory.mktemp("clips")
    texture = Texture(1)
    for name, brow, mouth, late in (("weak", 1.0, 1.0, 0.0), ("strong", FACTOR, 2.0, 1.0)):
        times = zip(strengths(7), strengths(12 + late), strict=True)
        fields = [total(scaled(BROW, brow * float(b)), scaled(MOUTH, mouth * float(m))) for b, m in times]
        frames = [render(texture, field, 100, 96).permute(1, 2, 0).numpy() for field in fields]
        np.save(folder / f"{name}.npy", np.stack(frames).astype(np.float32))
    return folder


def box_words(side):
    return [f"--{side}-box", ",".join(map(str, BOX))]


def measured(words, capsys):
    assert main([str(word) for word in words]) == 0
    return json.loads(capsys.readouterr().out)


def test_each_region_has_its_own_direction_gain_and_lag(clips, tmp_path, capsys):
    words = ["measure", "--in", clips / "strong.npy", "--like", clips / "weak.npy", "--rate", 25, "--by-region"]
    words += [*box_words("in"), *box_words("like"), "--csv", tmp_path / "c.csv", "--plot", tmp_path / "p.png"]
    told = measured(words, capsys)
    brows, mouth = (told["original_regions"][name] for name in ("brows", "mouth"))
    assert abs(brows["direction_deg"]) == pytest.approx(90, abs=10)  # up, or down with the sign turned
    assert brows["peak_frame"] == 7 and mouth["peak_frame"] == 12
    assert min(abs(mouth["direction_deg"]), 180 - abs(mouth["direction_deg"])) < 10
    compared = told["regions_comparison"]
    assert compared["brows"]["gain"] == pytest.approx(FACTOR, rel=0.05)
    assert compared["brows"]["lag_frames"] == pytest.approx(0, abs=0.1)
    assert compared["mouth"]["peak_gain"] == pytest.approx(2, rel=0.05)
    assert compared["mouth"]["lag_frames"] == pytest.approx(1, abs=0.1)
    assert compared["brows"]["correlation"] > 0.99
    rows = list(csv.DictReader((tmp_path / "c.csv").open()))
    assert len(rows) == COUNT
    assert [float(row["strong.npy mouth px"]) for row in rows] == pytest.approx(
        told["regions"]["mouth"]["values_px"], rel=1e-4, abs=1e-6
    )
    assert not any("inter_ocular" in column for column in rows[0])
    assert open_clip(tmp_path / "p.png").info.height > 7 * 280


def test_landmarks_tell_the_parts_and_the_distance_of_the_eyes(clips, tmp_path, capsys):
    x, y, width, height = BOX
    mesh = np.full((LEAST_POINTS, 2), 48.0)
    for name, at in CANONICAL.items():
        mesh[list(MESH[name])] = (x + width * (at[0] + 0.5), y + height * (at[1] + 0.5))
    np.save(tmp_path / "mesh.npy", mesh)
    eyes_px = 0.47 * width
    words = ["measure", "--in", clips / "weak.npy", "--rate", 25, "--in-landmarks", tmp_path / "mesh.npy"]
    told = measured([*words, "--by-region", "--csv", tmp_path / "c.csv"], capsys)
    assert told["regions"]["brows"]["inter_ocular_px"] == pytest.approx(eyes_px)
    assert told["curve"]["values_pct_inter_ocular"] == pytest.approx(
        [100 / eyes_px * value for value in told["curve"]["values_px"]]
    )
    rows = list(csv.DictReader((tmp_path / "c.csv").open()))
    assert float(rows[7]["weak.npy brows pct_inter_ocular"]) == pytest.approx(
        100 / eyes_px * float(rows[7]["weak.npy brows px"]), rel=1e-4
    )
    np.save(tmp_path / "mesh.npy", np.zeros((4, 2)))
    assert main([str(word) for word in words]) == 2
    assert "468 points" in capsys.readouterr().err


def test_parts_need_a_face(clips, capsys):
    assert main(["measure", "--in", str(clips / "weak.npy"), "--by-region"]) == 2
    assert "--in-box or --in-landmarks" in capsys.readouterr().err
    words = ["measure", "--in", clips / "weak.npy", "--like", clips / "weak.npy", *box_words("in"), "--by-region"]
    assert main([str(word) for word in words]) == 2
    assert "--like-box" in capsys.readouterr().err
    whole = measured(["measure", "--in", clips / "weak.npy"], capsys)
    assert "regions" not in whole and whole["curve"]["frames"] == COUNT
