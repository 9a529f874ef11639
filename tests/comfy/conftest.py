"""A real ComfyUI around this checkout. Everything here is skipped, with the reason, where there is none.

    make comfy COMFYUI_DIR=<checkout> [COMFY_PYTHON=<its python>] [COMFY_PYTHONPATH=<older page>]

VHS_DIR and LPKJ_DIR name checkouts of VideoHelperSuite and LivePortraitKJ (its needs installed), CHROMIUM
names the browser for the page; COMFY_SHOTS a folder for screenshots.
"""

import importlib.util
import os
import shutil
from pathlib import Path

import flowmag_files
import pytest
from comfy_page import Page
from comfy_server import PACK, ROOT, Server

OTHER_PACKS = {"VHS_DIR": "ComfyUI-VideoHelperSuite", "LPKJ_DIR": "ComfyUI-LivePortraitKJ"}


def _chromium():
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def _missing(item):
    """Why a test cannot run, or None."""
    if not os.environ.get("COMFYUI_DIR"):
        return "COMFYUI_DIR is not set: it names a checkout of ComfyUI (see tests/comfy/conftest.py)"
    if "page" in item.fixturenames and importlib.util.find_spec("playwright") is None:
        return "playwright is not installed: pip install playwright"
    if "page" in item.fixturenames and _chromium() is None:
        return "no Chromium was found: install it, or name it with CHROMIUM"
    return None


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents and (reason := _missing(item)):
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter):
    """Numbers that tests recorded, e.g. how long a cancel took."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties if report.when == "call" else ():
            terminalreporter.write_line(f"{report.nodeid.rpartition('/')[2]}: {name} {value}")


@pytest.fixture(scope="session")
def comfy(tmp_path_factory):
    """The running server, with this checkout as a pack and beside it the other packs that are named."""
    packs = {PACK: ROOT}
    packs |= {name: Path(os.environ[variable]) for variable, name in OTHER_PACKS.items() if os.environ.get(variable)}
    server = Server(
        checkout=Path(os.environ["COMFYUI_DIR"]).resolve(),
        base=tmp_path_factory.mktemp("comfy"),
        packs=packs,
        python=os.environ.get("COMFY_PYTHON"),
        pythonpath=os.environ.get("COMFY_PYTHONPATH"),
    )
    _put_weights(server.base / "models" / "magplus")
    server.start()
    yield server
    server.stop()


def _put_weights(folder):
    """What the template for FlowMag asks for: not the released weights, but some that magnify four times."""
    folder.mkdir()
    flowmag_files.saved(folder / "flowmag_raft.safetensors", flowmag_files.linear(4.0))


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not everybody has it

    flags = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    flags.append("--autoplay-policy=no-user-gesture-required")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=_chromium(), args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(params=["canvas", "nodes 2.0"])
def page(request, comfy, browser):
    """The page, once per way of drawing nodes."""
    opened = Page(comfy, browser, vue=request.param == "nodes 2.0")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def shots(tmp_path_factory):
    """Folder for screenshots."""
    named = os.environ.get("COMFY_SHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def root():
    return ROOT
