"""`magplus spot`: an array in, events out."""

from __future__ import annotations

import json

import flow_files
import numpy as np
from magplus.pipeline.cli import main
from synth import Texture, bump, render, scaled


def test_spot_writes_events_and_takes_annotations(tmp_path, capsys):
    at = np.clip((np.arange(26) - 8) / 10, 0, 1)
    texture, field = Texture(1), bump(29, 32, 9, 0.1, -0.6)
    frames = [render(texture, scaled(field, float(s)), 96, 96) for s in 0.5 - 0.5 * np.cos(2 * np.pi * at)]
    clip, csv, png = (tmp_path / name for name in ("clip.npy", "events.csv", "plot.png"))
    np.save(clip, np.stack([frame.permute(1, 2, 0).numpy() for frame in frames]).astype(np.float32))
    truth = tmp_path / "truth.csv"
    truth.write_text("onset,apex,offset\n8,13,18\n")
    words = ["spot", "--in", str(clip), "--rate", "50", "--in-box", "8,8,80,84", "--csv", str(csv), "--plot", str(png)]
    assert main([*words, "--annotations", str(truth)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["agreement"]["f1"] == 1.0
    assert abs(told["events"][0]["apex_ms"] - 260) < 10
    assert csv.read_text().splitlines()[1].split(",")[7] == "expression"
    assert png.stat().st_size > 2000
    network = flow_files.published("arflow", tmp_path / "pwclite_ar.tar")
    few = ["spot", "--in", str(clip), "--stop", "9", "--rate", "50", "--estimator", str(network)]
    assert main(few) == 0
    assert json.loads(capsys.readouterr().out)["estimator"] == "arflow"
    assert main(words) == 2  # the files exist
    assert main(["spot", "--in", str(clip), "--annotations", str(tmp_path / "none.csv")]) == 2
    assert "cannot be read as a table" in capsys.readouterr().err
