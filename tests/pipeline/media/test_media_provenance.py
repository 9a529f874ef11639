import hashlib
import json
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from magplus.models.errors import MagPlusError
from magplus.pipeline.media import provenance, sha256, write_sidecar


def test_a_record_names_what_went_in(tmp_path):
    clip, weights = tmp_path / "clip.mkv", tmp_path / "w.safetensors"
    clip.write_bytes(b"x" * 3_000_000)
    weights.write_bytes(b"weights")
    record = provenance(inputs=[clip], weights=[weights], settings={"alpha": 8, "rate": Fraction(30000, 1001)})
    assert record["inputs"] == {str(clip): hashlib.sha256(b"x" * 3_000_000).hexdigest()}
    assert record["weights"] == {str(weights): hashlib.sha256(b"weights").hexdigest()}
    assert record["synthetic"] is True
    assert record["versions"].keys() == {"magplus", "torch", "numpy", "av"}
    assert record["created_utc"].endswith("+00:00")


def test_the_hash_of_a_folder_knows_names_and_contents(tmp_path):
    def folder(name, files):
        for file, content in files.items():
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / file).write_text(content)
        return sha256(tmp_path / name)

    base = folder("a", {"1.png": "one", "2.png": "two"})
    assert folder("b", {"2.png": "two", "1.png": "one"}) == base
    assert folder("c", {"1.png": "two", "2.png": "one"}) != base
    assert folder("d", {"1.png": "one", "3.png": "two"}) != base
    assert folder("e", {"1.png": "onetwo", "2.png": ""}) != base


def test_a_sidecar_is_plain_sorted_json(tmp_path):
    record = {"rate": Fraction(30000, 1001), "b": float("nan"), "a": [Path("x"), torch.tensor([1.5])], "c": True}
    path = write_sidecar(tmp_path / "clip.mkv", record)
    assert path == tmp_path / "clip.mkv.json"
    assert json.loads(path.read_text()) == {"a": ["x", [1.5]], "b": None, "c": True, "rate": "30000/1001"}
    assert path.read_text().index('"a"') < path.read_text().index('"rate"')
    write_sidecar(tmp_path / "clip.mkv", {"new": 1})
    assert json.loads(path.read_text()) == {"new": 1}
    assert [f.name for f in tmp_path.iterdir()] == ["clip.mkv.json"]


def test_missing_inputs_and_folders_are_named(tmp_path):
    with pytest.raises(MagPlusError, match=r"none.mkv cannot be read for its checksum"):
        provenance(inputs=[tmp_path / "none.mkv"], weights=[], settings={})
    with pytest.raises(MagPlusError, match="There is no folder"):
        write_sidecar(tmp_path / "none" / "clip.mkv", {})
