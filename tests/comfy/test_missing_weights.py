"""The templates whose weights are not there: what the page says on opening them, and the server on queueing them."""

import json

import pytest
from comfy_server import PACK, ROOT

WANTED = {
    name: sorted(
        model["name"]
        for node in json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))["nodes"]
        for model in node["properties"].get("models", ())
    )
    for name in ("FOMM", "FSRT", "MetaPortrait", "EMOPortraits", "Magnify with FlowMag")
}


@pytest.fixture
def bare(comfy):
    """The server's folder for weights, emptied meanwhile."""
    folder = comfy.base / "models" / "magplus"
    aside = folder.with_name("magplus aside")
    folder.rename(aside)
    folder.mkdir()
    yield folder
    folder.rmdir()
    aside.rename(folder)


@pytest.mark.parametrize("page", ["nodes 2.0"], indirect=True)
@pytest.mark.parametrize("name", WANTED)
def test_page_and_server_say_what_is_missing(bare, page, shots, name):
    """The page file and folder on opening, the server also where to get it, its licence, and how to convert it."""
    page.open_template(PACK, name)
    page.details()
    page.shot(shots / f"{name}, without weights.png")
    said = "\n".join(page.says())
    assert all(file in said for file in WANTED[name]), said
    assert "magplus" in said.replace(PACK, ""), said
    refused = page.run()
    assert refused["status"] == "refused", refused
    said = json.dumps(refused["detail"])
    assert any(file in said for file in WANTED[name]), said
    for part in ("models/magplus", "http", "icence", "convert"):
        assert part in said, (part, said)
