"""The page's file form gives the graph that the page itself would queue."""

import json

import pytest
from graph_toys import Page, Toys
from magplus.models.errors import MagPlusError
from magplus.pipeline.graph import Link, apply_setting, execute, read_workflow, to_graph
from magplus.pipeline.graph.graph import Muted, api_form

BYPASSED, MUTED = 4, 2


@pytest.fixture
def toys():
    return Toys()


@pytest.mark.parametrize("objects", [False, True])
def test_links_and_widgets_of_both_file_forms(toys, objects):
    page = Page(objects)
    one = page.node("Number", values=[7, "randomize", 5, "glad"])
    both = page.node("Sum", [("a", "INT", (one, 0)), ("b", "INT", (one, 0))], values=[3])
    page.node("Show", [("value", "*", (both, 0))], outputs=())
    graph = to_graph(page.data(), toys.types)
    assert graph["1"].inputs == {"seed": 7, "value": 5, "mood": "glad"}
    assert graph["2"].inputs == {"times": 3, "a": Link("1", 0), "b": Link("1", 0)}
    assert [one.shown["text"] for one in execute(graph, toys.types)] == [[30]]


def test_a_linked_widget_keeps_its_place_in_the_list(toys):
    page = Page()
    one = page.node("Number", values=[0, "fixed", 9, "calm"])
    page.node("Number", [("value", "INT", (one, 0))], values=[4, "fixed", 1, "glad"])
    assert to_graph(page.data(), toys.types)["2"].inputs == {"seed": 4, "value": Link("1", 0), "mood": "glad"}


def test_upload_buttons_take_a_place_and_older_files_get_defaults(toys):
    page = Page()
    page.node("Pick", values=["y", "image", 12])
    page.node("Pick", values=["y"])
    page.node("Pick", values={"file": "x", "start": 3, "videopreview": {}})
    page.node("Pick", values=["y", "image", 12], widgets_values_named={"file": "x", "start": 5})
    graph = to_graph(page.data(), toys.types)
    assert [graph[i].inputs for i in "1234"] == [
        {"file": "y", "start": 12}, {"file": "y", "start": 0}, {"file": "x", "start": 3}, {"file": "x", "start": 5},
    ]  # fmt: skip


def test_reroutes_primitives_and_notes_disappear(toys):
    page = Page()
    one = page.node("Number", values=[0, "fixed", 5, "calm"])
    first = page.node("Reroute", [("", "*", (one, 0))], outputs=("INT",))
    second = page.node("Reroute", [("", "*", (first, 0))], outputs=("INT",))
    number = page.node("PrimitiveNode", values=[4, "fixed"])
    page.node("Sum", [("a", "INT", (second, 0)), ("times", "INT", (number, 0))], values=[1])
    page.node("Note", outputs=(), values=["read me"])
    page.node("MarkdownNote", outputs=(), values=["read me"])
    graph = to_graph(page.data(), toys.types)
    assert set(graph) == {"1", "5"}
    assert graph["5"].inputs == {"a": Link("1", 0), "times": 4}


def test_a_bypassed_node_passes_the_input_of_the_same_type(toys):
    page = Page()
    text = page.node("Pick", outputs=("STRING", "INT"), values=["x", "image", 1])
    one = page.node("Number", values=[0, "fixed", 5, "calm"])
    middle = page.node("Sum", [("label", "STRING", (text, 0)), ("a", "INT", (one, 0))], values=[9], mode=BYPASSED)
    page.node("Sum", [("a", "INT", (middle, 0))], values=[2])
    graph = to_graph(page.data(), toys.types)
    assert set(graph) == {"1", "2", "4"}
    assert graph["4"].inputs["a"] == Link("2", 0)


def test_a_muted_node_cuts_only_the_outputs_that_need_it(toys):
    page = Page()
    gone = page.node("Number", values=[0, "fixed", 5, "calm"], mode=MUTED, title="Gone")
    there = page.node("Number", values=[0, "fixed", 6, "calm"])
    half = page.node("Sum", [("a", "INT", (there, 0)), ("b", "INT", (gone, 0))], values=[1])
    lost = page.node("Sum", [("a", "INT", (gone, 0))], values=[1])
    page.node("Show", [("value", "*", (half, 0))], outputs=())
    page.node("Show", [("value", "*", (lost, 0))], outputs=(), title="Lost")
    graph = to_graph(page.data(), toys.types)
    assert graph["3"].inputs["b"] == Muted("Gone")
    remarks = []
    assert [one.shown["text"] for one in execute(graph, toys.types, remark=remarks.append)] == [[6]]
    assert len(remarks) == 1 and '"Lost"' in remarks[0] and '"Gone", which is muted' in remarks[0]


@pytest.mark.parametrize("mode", [0, BYPASSED, MUTED])
def test_subgraphs(toys, mode):
    inner = Page(objects=True)
    inner.node("Sum", [("a", "INT", (-10, 0))], values=[10])
    inner.node("Sum", [("a", "INT", (1, 0)), ("times", "INT", (-10, 1))], values=[3])
    inner.link(2, 0, -20, 0, "INT")
    ports = [{"name": "a", "type": "INT"}, {"name": "times", "type": "INT"}]
    definition = {**inner.data(), "id": "uuid", "name": "Scale", "inputs": ports, "outputs": [{"name": "INT"}]}
    page = Page()
    one = page.node("Number", values=[0, "fixed", 2, "calm"])
    sub = page.node("uuid", [("a", "INT", (one, 0)), ("times", "INT", None)], mode=mode)
    page.node("Show", [("value", "*", (sub, 0))], outputs=())
    graph = to_graph(page.data(definitions={"subgraphs": [definition]}), toys.types)
    if mode == MUTED:
        with pytest.raises(MagPlusError, match="muted"):
            execute(graph, toys.types)
        return
    assert set(graph) == ({"1", "3"} if mode == BYPASSED else {"1", "2:1", "2:2", "3"})
    assert execute(graph, toys.types)[0].shown["text"] == [2 if mode == BYPASSED else 2 * 10 * 3]


@pytest.mark.parametrize(
    ("kept", "times"),
    [
        ({"widgets_values": [5], "widgets_values_named": {"times": 5}}, 5),
        ({"widgets_values": [5]}, 5),
        ({"widgets_values": [5], "properties": {"proxyWidgets": [["2", "times"], ["-1", "times"]]}}, 5),
        ({"widgets_values": [], "properties": {"proxyWidgets": [["2", "times"]]}}, 3),
        ({}, 3),
    ],
)
def test_widgets_shown_on_a_subgraph(toys, kept, times):
    """Each release of the page keeps their values elsewhere."""
    inner = Page(objects=True)
    inner.node("Sum", [("a", "INT", (-10, 0)), ("times", "INT", (-10, 1))], values=[3])
    inner.nodes[0]["inputs"][1]["widget"] = {"name": "times"}
    inner.link(1, 0, -20, 0, "INT")
    ports = [{"name": "a", "type": "INT"}, {"name": "times", "type": "INT"}]
    definition = {**inner.data(), "id": "uuid", "name": "Scale", "inputs": ports, "outputs": [{"name": "INT"}]}
    page = Page()
    one = page.node("Number", values=[0, "fixed", 2, "calm"])
    sub = page.node("uuid", [("a", "INT", (one, 0))])
    page.nodes[-1].update(kept)
    page.node("Show", [("value", "*", (sub, 0))], outputs=())
    graph = to_graph(page.data(definitions={"subgraphs": [definition]}), toys.types)
    assert execute(graph, toys.types)[0].shown["text"] == [2 * times]


def test_circles_of_reroutes_and_broken_files_are_explained(toys):
    page = Page()
    page.node("Reroute", [("", "*", (2, 0))], outputs=("INT",))
    page.node("Reroute", [("", "*", (1, 0))], outputs=("INT",))
    page.node("Show", [("value", "*", (1, 0))], outputs=())
    with pytest.raises(MagPlusError, match="circle"):
        to_graph(page.data(), toys.types)
    with pytest.raises(MagPlusError, match=r"x\.json.*save it again"):
        to_graph({"nodes": [{"id": 1}], "links": []}, toys.types, "x.json")


def test_api_form_and_page_form_are_one_graph(toys, tmp_path):
    page = Page()
    one = page.node("Number", values=[7, "fixed", 5, "glad"], title="Five")
    page.node("Show", [("value", "*", (one, 0))], outputs=())
    graph = to_graph(page.data(), toys.types)
    file = tmp_path / "api.json"
    file.write_text(json.dumps(api_form(graph)))
    again = to_graph(read_workflow(file), toys.types)
    assert again == graph


def test_set_by_id_and_by_title_cuts_a_link(toys):
    page = Page()
    one = page.node("Number", values=[0, "fixed", 5, "calm"], title="v1.0 number")
    page.node("Sum", [("a", "INT", (one, 0)), ("times", "INT", (one, 0))], values=[1])
    page.node("Show", [("value", "*", (2, 0))], outputs=())
    graph = to_graph(page.data(), toys.types)
    apply_setting(graph, toys.types, "v1.0 number.value=8")
    apply_setting(graph, toys.types, "2.times=-3")
    assert execute(graph, toys.types)[0].shown["text"] == [-24]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("Number.value", "NODE.INPUT=VALUE"),
        ("9.value=1", "no node '9'.*1 'Number', 2 'Number'"),
        ("Number.value=1", "2 nodes.*1, 2"),
        ("1.size=1", "no input 'size'.*seed, value, mood"),
        ("1.value=much", "whole number"),
    ],
)
def test_settings_that_cannot_be_made(toys, setting, told):
    page = Page()
    page.node("Number", values=[0, "fixed", 5, "calm"])
    page.node("Number", values=[0, "fixed", 5, "calm"])
    with pytest.raises(MagPlusError, match=told):
        apply_setting(to_graph(page.data(), toys.types), toys.types, setting)
