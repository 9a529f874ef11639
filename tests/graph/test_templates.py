"""The templates name nodes that are there, set every widget, and say where missing weights come from."""

import json
from pathlib import Path

import pytest
from magplus.models.registry import BACKBONES
from magplus.nodes import NODES
from magplus.nodes.core_standins import STANDINS
from magplus.nodes.headless import registry
from magplus.pipeline.graph import to_graph
from magplus.pipeline.graph.graph import Link

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
WITH_WEIGHTS = {"FOMM": "fomm", "FSRT": "fsrt"}


def read(name):
    return json.loads((ROOT / "workflows" / f"{name}.json").read_text())


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_node_is_known_and_every_input_set(name):
    types = registry([*NODES, *STANDINS])
    for node in to_graph(read(name), types, name).values():
        for one in types[node.type].inputs:
            assert one.name in node.inputs or not one.required, f"{node}: {one.name}"
            value = node.inputs.get(one.name)
            if one.low is not None and not isinstance(value, Link):
                assert one.low <= value <= one.high


@pytest.mark.parametrize("name", TEMPLATES)
def test_node_sizes_leave_no_overlap(name):
    boxes = {node["id"]: (*node["pos"], *node["size"]) for node in read(name)["nodes"]}
    for a, (ax, ay, aw, ah) in boxes.items():
        for b, (bx, by, bw, bh) in boxes.items():
            assert a == b or ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay, (a, b)


@pytest.mark.parametrize(("name", "backbone"), WITH_WEIGHTS.items())
def test_a_missing_file_has_a_source_and_the_note_says_how_to_make_it(name, backbone):
    nodes = {node["type"]: node for node in read(name)["nodes"]}
    node = nodes[f"MagPlus{name}"]
    (model,) = node["properties"]["models"]
    assert model["name"] == node["widgets_values"][0] and model["name"].endswith(".safetensors")
    assert (model["directory"], model["url"]) == ("magplus", BACKBONES[backbone].origin)
    note = next(node for node in read(name)["nodes"] if node.get("title") == "Read me")["widgets_values"][0]
    assert f"{model['name']}`" in note and "magplus convert" in note and BACKBONES[backbone].origin in note
