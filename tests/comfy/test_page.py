"""The templates in ComfyUI's own page: opened, run, looked at, and restored from a saved video."""

import itertools
import json
import time
from urllib.parse import urlsplit

import pytest
from comfy_server import PACK, ROOT
from magplus.nodes import NODES
from magplus.nodes.headless import registry
from magplus.pipeline.graph import to_graph
from magplus.pipeline.graph.graph import api_form

GROUP = """() => { app.canvas.deselectAll()
  for (const node of app.graph.nodes) if (node.type === 'MagPlusMagnify') app.canvas.select(node) }"""

SHOW_ALPHA = """value => {
  const group = app.graph.nodes.find(n => n.isSubgraphNode?.()), inner = group.subgraph.nodes[0]
  const slot = inner.inputs.find(i => i.widget?.name === 'alpha')
  group.subgraph.addInput('alpha', slot.type).connect(slot, inner)
  group.widgets.find(w => w.name === 'alpha').value = value }"""

ONE_NODE = """type => { const node = LiteGraph.createNode(type); node.pos = [200, 150]; app.graph.add(node)
  app.canvas.ds.scale = 0.6; app.canvas.ds.offset = [100, 100]
  app.canvas.selectNode(node); app.canvas.setDirty(true, true) }"""
PICTURE = "name => [...document.querySelectorAll('img')].some(i => i.src.endsWith('/' + name) && i.naturalWidth > 0)"

GENERATORS = {"FOMM", "FSRT", "MetaPortrait", "EMOPortraits"}
"""Templates that need weights: see test_generators.py."""
OTHER_MODELS = {"De-magnify another model's output"}
"""Templates that need another pack's weights: see test_other_model.py."""
TEMPLATES = sorted({path.stem for path in (ROOT / "workflows").glob("*.json")} - GENERATORS - OTHER_MODELS)
LINE_PX = 4


def _overlapping(nodes):
    """Pairs of nodes of which one covers the other."""
    return [
        (a["title"], b["title"])
        for a, b in itertools.combinations(nodes, 2)
        if all(a["box"][i] + a["box"][i + 2] > b["box"][i] + LINE_PX for i in (0, 1))
        and all(b["box"][i] + b["box"][i + 2] > a["box"][i] + LINE_PX for i in (0, 1))
    ]


def _values(nodes):
    """What a user sees in the widgets, but for buttons and what the page adds while it shows something."""
    added = {"upload", "video-preview", "videopreview", ""}  # and names that begin with $$: pictures on the canvas
    return {
        n["id"]: (n["type"], {k: v for k, v in n["values"].items() if k not in added and k[:2] != "$$"}) for n in nodes
    }


def check(page):
    """Nothing is missing, wrong or covered."""
    nodes = page.nodes()
    assert not [n["type"] for n in nodes if not n["known"]]
    assert not [(n["title"], n["bad"]) for n in nodes if n["bad"] or n["error"]]
    assert _overlapping(nodes) == []
    assert page.says() == []
    assert page.problems == []
    return nodes


def _playing(page, count, wait_s=60):
    """Videos that nodes show, once they all play."""
    ends = time.monotonic() + wait_s
    while time.monotonic() < ends:
        page.tab.evaluate("() => document.querySelectorAll('video').forEach(v => { v.muted = true; v.play() })")
        time.sleep(1)
        videos = [one for one in page.media() if one["kind"] == "VIDEO" and one["ready"] >= 2 and one["width"] > 0]
        if len(videos) >= count:
            return videos
    raise AssertionError(f"{count} playing videos were expected; the page shows {page.media()}")


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_opens_runs_and_comes_back_from_its_video(comfy, page, shots, name):
    file = json.loads((ROOT / "workflows" / f"{name}.json").read_text())
    absent = {n["type"] for n in file["nodes"]} - set(comfy.get("/object_info")) - {"MarkdownNote"}
    if absent:
        pytest.skip(f"another pack is not there: {', '.join(sorted(absent))}")
    page.open_template(PACK, name)
    before = check(page)
    page.shot(shots / f"{name}, opened, {'nodes 2.0' if page.vue else 'canvas'}.png")
    assert {str(n["id"]): n["type"] for n in file["nodes"]} == {n["id"]: n["type"] for n in before}
    prompt = page.queued_form()[1]
    # Another prefix each time, so that nothing comes from the cache and the page shows a run from its beginning.
    page.tab.evaluate(
        """prefix => { for (const n of app.graph.nodes) for (const w of n.widgets ?? [])
             if (w.name === 'filename_prefix') w.value = prefix + w.value }""",
        f"{'vue' if page.vue else 'canvas'}/",
    )
    files = comfy.files()
    run = page.run()
    assert run["status"] == "execution_success", run
    saves = [n for n in prompt.values() if n["class_type"] == "MagPlusSaveVideo"]
    new = comfy.files() - files
    assert len([path for path in new if path.name.endswith("_preview.mp4")]) == len(saves)
    assert len([path for path in new if path.suffix == ".mkv"]) == len(saves)
    videos = _playing(page, len(saves))
    after = check(page)
    page.command("Comfy.Canvas.FitView")
    page.shot(shots / f"{name}, ran, {'nodes 2.0' if page.vue else 'canvas'}.png")
    _comes_back(page, videos[0]["source"], after)


@pytest.mark.parametrize("page", ["nodes 2.0"], indirect=True)
def test_a_help_page_opens_beside_its_node_with_its_picture(page, shots):
    page.clear()
    page.tab.evaluate(ONE_NODE, "MagPlusMotionReport")
    page.tab.get_by_label("Node Info", exact=True).click()
    page.tab.wait_for_function(PICTURE, arg="MagPlusMotionReport.jpg")
    page.shot(shots / "Help page.png")
    assert page.says() == [] and page.problems == []


def test_the_runner_reads_a_subgraph_as_the_page_queues_it(page):
    """Magnify Motion grouped, its alpha shown on the group and changed there."""
    page.open_template(PACK, "Magnify a clip and see the motion")
    page.tab.evaluate(GROUP)
    page.command("Comfy.Graph.ConvertToSubgraph")
    page.tab.evaluate(SHOW_ALPHA, 3.5)
    saved, queued = page.queued_form()
    ours = api_form(to_graph(saved, registry(NODES)))
    assert {name: one["inputs"] for name, one in ours.items()} == {name: one["inputs"] for name, one in queued.items()}
    assert [one["inputs"]["alpha"] for one in ours.values() if "alpha" in one["inputs"]] == [3.5]


def _comes_back(page, source, after):
    """Dropping the saved video on an empty page restores the graph."""
    page.clear()
    assert page.nodes() == []
    page.drop(urlsplit(source)._replace(scheme="", netloc="").geturl(), "saved.mp4")
    restored = page.nodes()
    assert _values(restored) == _values(after)
    assert page.says() == []
