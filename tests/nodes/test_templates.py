"""The shipped templates are graphs that can run: nodes, wires and values fit, and nothing covers anything."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from magplus.pipeline.graph import read_workflow, to_graph
from magplus.pipeline.graph.check import check_node, check_types, outputs_to_run

TEMPLATES = sorted((Path(__file__).resolve().parents[2] / "workflows").glob("*.json"))
TITLE_PX = 30


@pytest.fixture
def types(standalone):
    return standalone.module("nodes.headless").registry(
        [*standalone.nodes.NODES, *standalone.module("nodes.core_standins").STANDINS]
    )


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_would_run(types, path):
    graph = to_graph(read_workflow(path), types, path.name)
    check_types(graph, types)
    for node in graph.values():
        check_node(graph, types, node)
    outputs, remarks = outputs_to_run(graph, types)
    assert outputs and not remarks


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_shows_every_input_and_its_links_agree(standalone, path):
    about = {node.GET_SCHEMA().node_id: standalone.host.describe(node) for node in standalone.nodes.NODES}
    data = read_workflow(path)
    nodes = {node["id"]: node for node in data["nodes"]}
    for node in nodes.values():
        if node["type"] in about:
            ids = [entry["id"] for entry in about[node["type"]]["inputs"]]
            assert [entry["name"] for entry in node["inputs"]] == ids, node["title"]
            assert [o["type"] for o in node["outputs"]] == [o["type"] for o in about[node["type"]]["outputs"]]
    for link, origin, slot, target, place, wire in data["links"]:
        output, entry = nodes[origin]["outputs"][slot], nodes[target]["inputs"][place]
        assert link in output["links"] and entry["link"] == link
        assert wire == output["type"] == entry["type"]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_no_node_of_a_template_covers_another(path):
    boxes = [(n["title"], *n["pos"], *n["size"]) for n in read_workflow(path)["nodes"]]
    for (first, x, y, w, h), (second, x2, y2, w2, h2) in itertools.combinations(boxes, 2):
        apart = x + w <= x2 or x2 + w2 <= x or y + h + TITLE_PX <= y2 or y2 + h2 + TITLE_PX <= y
        assert apart, f"{first} and {second}"
