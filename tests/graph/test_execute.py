"""Order, caching, release of results, and what is refused before anything runs."""

import gc
import weakref

import pytest
import torch
from graph_toys import Toys, wire
from magplus.models.errors import MagPlusError
from magplus.pipeline.graph import Link, NodeResult, NodeType, execute, to_graph
from magplus.pipeline.graph.execute import NodeFailedError


@pytest.fixture
def toys():
    return Toys()


def prompt(**nodes):
    return {
        name: {"class_type": kind, "inputs": inputs, "_meta": {"title": f"the {name}"}}
        for name, (kind, inputs) in nodes.items()
    }


def number(value):
    return ("Number", {"seed": 0, "value": value, "mood": "calm"})


def run(toys, **nodes):
    return execute(to_graph(prompt(**nodes), toys.types), toys.types)


def test_common_branches_run_once_and_nothing_else_runs(toys):
    shown = run(
        toys,
        last=("Show", {"value": ["sum", 0]}),
        unused=number(50),
        other=("Show", {"value": ["sum", 0]}),
        sum=("Sum", {"a": ["n", 0], "b": ["n", 0], "times": 2}),
        n=number(3),
    )
    assert [(one.node.id, one.shown["text"]) for one in shown] == [("last", [12]), ("other", [12])]
    assert toys.runs == {"Number": 1, "Sum": 1, "Show": 2}


def test_a_long_chain_needs_no_recursion(toys):
    nodes = {"0": number(1)}
    for index in range(1, 3000):
        nodes[str(index)] = ("Sum", {"a": [str(index - 1), 0], "times": 1})
    assert run(toys, **nodes, end=("Show", {"value": ["2999", 0]}))[0].shown["text"] == [1]


def test_results_are_released_when_nobody_needs_them(toys):
    alive = []

    class Clip:
        pass

    def make(_):
        clip = Clip()
        alive.append(weakref.ref(clip))
        return NodeResult(values=(clip,))

    def look(call):
        gc.collect()
        return NodeResult(values=(sum(one() is not None for one in alive),))

    types = {
        "Make": NodeType(id="Make", inputs=(wire("after", "*", required=False),), outputs=("CLIP",), run=make),
        "Look": NodeType(id="Look", inputs=(wire("clip", "CLIP"),), outputs=("INT",), run=look),
        **toys.types,
    }
    nodes = prompt(
        a=("Make", {}), x=("Look", {"clip": ["a", 0]}), b=("Make", {"after": ["x", 0]}),
        y=("Look", {"clip": ["b", 0]}), end=("Show", {"value": ["y", 0]}),
    )  # fmt: skip
    assert execute(to_graph(nodes, types), types)[0].shown["text"] == [1]


def test_nodes_run_in_inference_mode_as_on_the_server(toys):
    seen = []
    look = NodeType(
        id="Look", inputs=(), outputs=(), is_output=True,
        run=lambda _: seen.append(torch.is_inference_mode_enabled()) or NodeResult(values=()),
    )  # fmt: skip
    execute(to_graph(prompt(a=("Look", {})), {"Look": look}), {"Look": look})
    assert seen == [True]


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ({"k": ("KSampler", {}), "s": ("Show", {"value": 1})}, r'node k "the k" \(KSampler\).*in ComfyUI'),
        ({"n": number(1)}, "no node that saves or shows"),
        ({"s": ("Show", {})}, r"node s .*'value' is missing"),
        ({"s": ("Show", {"value": ["gone", 0]})}, "node gone, which is not there"),
        ({"s": ("Show", {"value": ["n", 1]}), "n": number(1)}, "output 1 of node n"),
        ({"s": ("Show", {"value": ["x", 0]}), "x": ("Sum", {"a": ["p", 0], "times": 1}),
          "p": ("Pick", {"file": "x"})}, "takes INT but node p .* gives STRING"),
        ({"s": ("Show", {"value": ["n", 0]}), "n": number(101)}, "value is 101, above its largest value 100"),
        ({"s": ("Show", {"value": ["n", 0]}), "n": number("x")}, "value is 'x', not INT"),
        ({"s": ("Show", {"value": ["n", 0]}), "n": ("Number", {"seed": 0, "value": 1, "mood": "sad"})},
         "mood is 'sad', which is not offered; there are: calm, glad"),
        ({"s": ("Show", {"value": ["a", 0]}), "a": ("Sum", {"a": ["b", 0], "times": 1}),
          "b": ("Sum", {"a": ["a", 0], "times": 1})}, "circle"),
    ],
)  # fmt: skip
def test_what_is_refused_before_anything_runs(toys, nodes, told):
    with pytest.raises(MagPlusError, match=told):
        run(toys, **nodes)
    assert not toys.runs


def test_failures_name_the_node(toys):
    with pytest.raises(MagPlusError, match=r'node f "the f" \(Fails\): There is no face'):
        run(toys, n=number(1), f=("Fails", {"value": ["n", 0]}))
    with pytest.raises(NodeFailedError, match=r'node f "the f" \(Fails\) failed: ZeroDivisionError') as caught:
        run(toys, n=number(-1), f=("Fails", {"value": ["n", 0]}))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_list_of_two_is_a_value_when_it_is_wrapped(toys):
    graph = to_graph(
        prompt(s=("Show", {"value": {"__value__": ["n", 0]}}), t=("Show", {"value": ["s", 0]})), toys.types
    )
    assert graph["s"].inputs["value"] == ["n", 0]
    assert graph["t"].inputs["value"] == Link("s", 0)
