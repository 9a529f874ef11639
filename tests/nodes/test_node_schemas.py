"""What users' graphs rely on: ids, names, order; and what makes a node usable: tooltips and help."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from pathlib import Path

import pytest

SNAPSHOT = Path(__file__).with_name("schemas.json")
CATEGORIES = {"MagPlus/Video", "MagPlus/Motion", "MagPlus/Face", "MagPlus/Measure"}


def described(pack) -> dict:
    """Schemas by id, without the names of the files that happen to be there."""
    found = {}
    for node in pack.nodes.NODES:
        about = pack.host.describe(node)
        found[about["id"]] = about
    return json.loads(json.dumps(found))


def frozen(about: dict) -> dict:
    """What must not change: names in their order, types, and whether an input may be left out."""
    return {
        "inputs": [[i["id"], i["type"], "optional" if i.get("optional") else "required"] for i in about["inputs"]],
        "outputs": [[o["id"], o["type"]] for o in about["outputs"]],
        "output_node": about["output_node"],
    }


def test_ids_inputs_and_their_order_are_frozen(pack):
    """Saved graphs hold widget values by position: append new inputs at the end, and to schemas.json by hand."""
    assert {name: frozen(about) for name, about in described(pack).items()} == json.loads(SNAPSHOT.read_text())


def test_the_stand_in_and_comfyui_give_equal_schemas(pack, standalone):
    assert described(pack) == described(standalone)


def test_every_input_and_output_says_what_it_is(pack):
    silent = [
        f"{name}.{entry['id']}"
        for name, about in described(pack).items()
        for entry in [*about["inputs"], *about["outputs"]]
        if len(entry.get("tooltip") or "") < 10
    ]
    assert not silent


def test_names_follow_the_house(pack):
    for name, about in described(pack).items():
        assert name.startswith("MagPlus")
        assert about["category"] in CATEGORIES
        assert about["description"].endswith(".")
        assert about["aliases"]


def test_numbers_have_limits_around_their_default(pack):
    numbers = [i for about in described(pack).values() for i in about["inputs"] if i["type"] in ("INT", "FLOAT")]
    assert numbers
    for entry in numbers:
        assert entry["min"] <= entry["default"] <= entry["max"], entry["id"]


def test_a_bounding_box_is_a_socket_not_a_widget(pack):
    """As a widget it would send a box of 512 x 512 px that nobody gave."""
    boxes = [i for about in described(pack).values() for i in about["inputs"] if i["type"] == "BOUNDING_BOX"]
    assert boxes
    assert all(entry["forceInput"] and entry["optional"] for entry in boxes)


def test_every_node_has_a_help_page_that_names_its_inputs(standalone, root):
    for name, about in described(standalone).items():
        page = (root / "web" / "docs" / f"{name}.md").read_text()
        missing = [i["id"] for i in about["inputs"] if f"`{shown(i['id'])}`" not in page]
        assert not missing, f"{name}: {missing}"
        assert f"![The node]({name}.jpg)" in page and (root / "web" / "docs" / f"{name}.jpg").is_file(), name


def shown(name: str) -> str:
    """Box numbers are explained once for all five."""
    numbers = re.fullmatch(r"(face|source|driving)_(x|y|width|height|angle)", name)
    if numbers:
        return f"{numbers[1]}_x, y, width, height, angle"
    return f"{name[:-2]}_a, b, c, d" if name.startswith(("clip_", "label_")) else name


def test_execute_is_short(standalone):
    for node in standalone.nodes.NODES:
        source = textwrap.dedent(inspect.getsource(node.execute))
        body = source.split('"""', 2)[-1].strip().splitlines()
        assert len(body) <= 25, f"{node.__name__}.execute has {len(body)} lines"


def test_an_unknown_keyword_is_refused_as_comfyui_does(pack):
    io = pack.host.io
    for make in (io.Int.Input, io.Combo.Input, io.Image.Input, io.Custom("X").Input):
        with pytest.raises(TypeError):
            make("name", tooltipp="a typing error")
    with pytest.raises(TypeError):
        io.Schema(node_id="X", serch_aliases=[])
