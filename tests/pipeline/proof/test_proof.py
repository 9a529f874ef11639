"""The proof and the response, small: they run, go on where they stopped, and come out the same from their files."""

import json

import pytest
import torch
from magplus.models.registry import load_backbone, load_magnifier
from magplus.pipeline.cli import main
from magplus.pipeline.proof import run
from magplus.pipeline.proof.clips import Scenario
from magplus.pipeline.proof.response import measure_response, response_picture
from magplus.pipeline.proof.tell import proof_picture, told

ACTIONS = ("brows", "mouth left")
FEW = [
    Scenario(name="fit", part="fit", pair=8, actions=ACTIONS, peak_px=1.0, rate=8),
    Scenario(name="weak", part="score", pair=9, actions=ACTIONS, peak_px=0.5, rate=8, noise=0.003),
]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return tmp_path_factory.mktemp("parts")


def prove(parts, scenarios):
    backbone, _ = load_backbone("keyface", [], {})
    return run.prove(backbone, load_magnifier()[0], parts=parts, chosen=scenarios)


def test_a_small_proof_judges_all_arms_and_refuses_the_wrong_factor(parts, monkeypatch):
    numbers = run.report(prove(parts, FEW))
    (clip,) = numbers["clips"]
    arms = clip["arms"]
    assert arms["frozen source"]["error_px"] == pytest.approx(arms["frozen source"]["motion_px"])
    assert arms["Mag only"]["error_px"] > 2 * arms["frozen source"]["error_px"]
    assert arms["Mag, 1/alpha"]["cosine"] > 0.7
    for arm in ("direct, gain by region", "Mag + DeMag by region"):
        assert arms[arm]["error_px"] < 2 * arms["frozen source"]["error_px"]
    (point,) = numbers["curves"]["Mag + DeMag by region"]
    assert point["error"]["low"] <= point["error"]["mean"] <= point["error"]["high"]
    assert point["gain"]["mean"] == pytest.approx(sum(arms["Mag + DeMag by region"]["gains"]) / 2)
    assert not any(arms[arm] and arms[arm]["good"] for arm in ("wrong factor", "frozen source", "Mag only"))
    # A second run does nothing anew.
    monkeypatch.setattr(run, "prepare_scenario", None)
    monkeypatch.setattr(run, "drive_scenario", None)
    assert json.dumps(run.report(prove(parts, FEW))) == json.dumps(numbers)
    words = told([{**numbers, "summary": {"noise, to 0.5 px": numbers["summary"]["noise, to 0.5 px"]}}])
    assert "wrong factor" in words and "0 of 1" in words
    assert proof_picture([numbers]).width > 800


def test_flow_transfer_is_said_to_be_linear(parts):
    numbers = run.report(prove(parts, FEW))
    assert "linear" in told([{**numbers, "backbone": "flow", "summary": {}}])


def test_a_response_grows_with_the_motion_and_says_where():
    backbone, _ = load_backbone("keyface", [], {})
    encode, encoded = backbone.encode_source, []
    backbone.encode_source = lambda *given: (encoded.append(given), encode(*given))[1]
    found = measure_response(
        backbone, load_magnifier()[0], faces=1, inputs_pct=(0.2, 4.0), regions=("mouth",), target_pct=4.0
    )
    assert len(encoded) == 1, "once per portrait, however many sizes drive it"
    direct = found.curve("mouth", "direct")
    assert 0 < direct[0].output_pct < direct[1].output_pct
    through = found.curve("mouth", "magplus")
    assert through[1].output_pct == pytest.approx(direct[1].output_pct, rel=0.05), "alpha 1 is direct driving"
    report = found.report()
    assert report["recommended_target_pct_face"] in (0.2, 4.0)
    assert 0 < report["regions"]["mouth"]["noise_floor_pct_face"] < 0.5
    answer = report["regions"]["mouth"]["direct"][0]
    assert answer["output_interval_pct"] == (answer["output_pct"],) * 2, "of one face there is no spread to show"
    assert response_picture(found).size[0] > 1000


def test_results_of_other_weights_are_not_mixed(tmp_path, capfd):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "made_by.json").write_text("{}")
    assert main(["proof", "--small", "--backbone", "keyface", "--out", str(tmp_path)]) == 2
    assert "other weights" in capfd.readouterr().err


@pytest.mark.heavy
def test_the_small_proof_from_the_command_line(tmp_path):
    torch.manual_seed(0)
    assert main(["proof", "--small", "--backbone", "keyface", "--out", str(tmp_path / "proof")]) == 0
    for name in ("proof.json", "proof.md", "proof.png"):
        assert (tmp_path / "proof" / name).is_file()
