"""What the server says about the pack, and what it tells while our nodes run."""

import re
from fractions import Fraction
from urllib.parse import quote

from comfy_prompts import complete, moving_frames, node, write_clip
from comfy_server import PACK
from magplus.nodes import NODES
from magplus.pipeline.media import open_clip

IDS = {one.GET_SCHEMA().node_id for one in NODES}


def test_the_folder_loads_without_a_warning(comfy, root):
    # What is logged after the start answers prompts; some of them are meant to be refused.
    log = re.sub(r"\x1b\[[0-9;]*m", "", comfy.log.read_text()).split("Starting server")[0]
    ours = [line for line in log.splitlines() if PACK in line or "magplus" in line.lower() or str(root) in line]
    assert any(f"custom_nodes/{PACK}" in line and "seconds" in line for line in ours)
    assert not [line for line in ours if re.search(r"warn|error|fail|traceback|deprecat", line, re.IGNORECASE)]


def test_every_node_is_there_with_a_help_page(comfy):
    info = comfy.get("/object_info")
    assert {name for name in info if name.startswith("MagPlus")} == IDS
    for name in IDS:
        for kind in ("md", "jpg"):
            status, size = comfy.status_of(f"/extensions/{PACK}/docs/{name}.{kind}")
            assert (status, size > 100) == (200, True), name


def test_templates_are_listed_with_a_picture_each(comfy, root):
    names = comfy.get("/workflow_templates")[PACK]
    assert sorted(names) == sorted(path.stem for path in (root / "workflows").glob("*.json"))
    for name in names:
        status, size = comfy.status_of(f"/api/workflow_templates/{PACK}/{quote(name)}.jpg")
        assert (status, size > 5000) == (200, True), name


def test_progress_ticks_per_frame_and_shows_pictures(comfy):
    write_clip(comfy.base / "input" / "ticks.mkv", moving_frames(20, side=192), Fraction(25))
    run = comfy.run(
        complete(
            comfy,
            {
                "1": node("MagPlusLoadVideo", file="ticks.mkv"),
                "2": node("MagPlusMagnify", images=["1", 0], alpha_mode="number", alpha=4.0),
                "3": node("PreviewImage", images=["2", 0]),
            },
        )
    )
    assert run.status == "execution_success", run.error
    ticks = [(data["value"], data["max"]) for data in run.of("progress") if data["node"] == "2"]
    # The server itself leaves out what comes too fast; the frames of a chunk are done at once.
    assert ticks[-1] == (20, 20) and len(ticks) >= 5 and ticks == sorted(ticks)
    pictures = [data["bytes"] for data in run.of("preview") if data["node"] == "2"]
    assert pictures and all(picture[:2] == b"\xff\xd8" for picture in pictures)
    (said,) = [data["text"] for data in run.of("text") if data["node"] == "2"]
    assert said.startswith("alpha 4. Peak motion ") and " x noise (" in said


def test_what_a_user_did_wrong_is_told_in_our_words(comfy):
    write_clip(comfy.base / "input" / "short.mkv", moving_frames(4), Fraction(25))
    run = comfy.run(
        complete(
            comfy,
            {
                "1": node("MagPlusLoadVideo", file="short.mkv"),
                "2": node("MagPlusMagnify", images=["1", 0], alpha_mode="number", reference_index=9),
                "3": node("PreviewImage", images=["2", 0]),
            },
        )
    )
    assert run.status == "execution_error"
    assert "has no frame 9: it has 4 frames" in run.error


def test_missing_weights_are_told_with_their_source(comfy):
    write_clip(comfy.base / "input" / "weightless.mkv", moving_frames(4), Fraction(25))
    run = comfy.run(
        complete(
            comfy,
            {
                "1": node("MagPlusLoadVideo", file="weightless.mkv"),
                "2": node("MagPlusLoadMagnifier", weights="absent.safetensors"),
                "3": node("MagPlusMagnify", images=["1", 0], magnifier=["2", 0], alpha_mode="number"),
                "4": node("PreviewImage", images=["3", 0]),
            },
        )
    )
    assert run.status == "refused"
    assert "no file absent.safetensors in models/magplus" in str(run.error)
    assert "raft_chkpt_00140.pth" in str(run.error)


def test_a_magnifier_adapts_inside_the_server(comfy):
    """Training needs gradients, which ComfyUI switches off around its nodes."""
    write_clip(comfy.base / "input" / "adapt.mkv", moving_frames(6, side=64), Fraction(25))
    run = comfy.run(
        complete(
            comfy,
            {
                "1": node("MagPlusLoadVideo", file="adapt.mkv"),
                "2": node("MagPlusAdaptMagnifier", images=["1", 0], steps=2, batch=1, crop_px=128, save_as="adapted"),
                "3": node("MagPlusMagnify", images=["1", 0], magnifier=["2", 0], alpha_mode="number", alpha=4.0),
                "4": node("PreviewImage", images=["3", 0]),
            },
        )
    )
    assert run.status == "execution_success", run.error
    assert [path.name for path in (comfy.base / "models" / "magplus").glob("adapted*.safetensors")]
    assert "adapted" in str(comfy.get("/object_info/MagPlusLoadMagnifier"))
    other = {"1": node("MagPlusKeyFace"), "2": node("PreviewAny", source=["1", 0])}
    for _ in range(2):  # the first lets go of what came before, the second looks whether anything stayed
        assert comfy.run(complete(comfy, other)).status == "execution_success"
    told = "The last adaptation is kept, and so must be ComfyUI's handle on it."
    assert "memory leak" not in comfy.log.read_text(), told


def test_the_readmes_client_queues_a_job_and_fetches_its_result(comfy, root, tmp_path, monkeypatch):
    text = (root / "README.md").read_text(encoding="utf-8")
    (client,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "/prompt" in block]
    (tmp_path / "docs").symlink_to(root / "docs")
    monkeypatch.chdir(tmp_path)
    exec(compile(client.replace("http://127.0.0.1:8188", comfy.url), "README.md", "exec"), {})  # noqa: S102
    masters = sorted(tmp_path.glob("*.mkv"))
    assert masters
    for master in masters:
        assert open_clip(master).info.count == 36
