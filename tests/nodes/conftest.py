"""Every node test runs on the stand-in API and, where COMFYUI_DIR names a checkout, on ComfyUI's own."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from synth import bump, clip, micro_motion

SIZE = (72, 64)
FIELD = bump(34, 38, 12, 0.5, -0.4)


class Pack:
    """One copy of the pack: its nodes, and how ComfyUI would call them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes = self.module("nodes")
        self.host = self.module("nodes.host")
        self.error = self.module("models.errors").MagPlusError
        self.by_id = {node.GET_SCHEMA().node_id: node for node in self.nodes.NODES}

    def module(self, path: str) -> ModuleType:
        """A module of this copy."""
        return importlib.import_module(f"{self.name}.{path}")

    def run(self, node_id: str, hidden: object = None, **given: object) -> tuple:
        """Execute with the schema's defaults, in inference mode as ComfyUI does; the whole NodeOutput is `last`."""
        node = self.by_id[node_id]
        values = {}
        for entry in node.GET_SCHEMA().inputs:
            options = getattr(entry, "options", None) or [None]
            default = getattr(entry, "default", None)
            values[entry.id] = default if default is not None else options[0]
        unknown = set(given) - set(values)
        assert not unknown, f"{node_id} has no input {unknown}"
        values = {name: value for name, value in (values | given).items() if value is not None}
        if hidden is not None:
            node = type(node.__name__, (node,), {"hidden": hidden})
        with torch.inference_mode():
            self.last = node.execute(**values)
        return self.last.args

    def folders(self, folder: Path) -> SimpleNamespace:
        """Empty input, output and temp folders."""
        places = {name: folder / name for name in ("input", "output", "temp")}
        for place in places.values():
            place.mkdir(exist_ok=True)
        if self.host.IN_COMFYUI:
            paths = importlib.import_module("folder_paths")
            for name, place in places.items():
                getattr(paths, f"set_{name}_directory")(str(place))
        else:
            self.module("nodes.standalone").folders.use(**places, weights=folder / "weights")
        return SimpleNamespace(**places)


def _in_comfyui(root: Path) -> Pack:
    """A second copy of the pack, loaded while ComfyUI's API is there."""
    checkout = os.environ.get("COMFYUI_DIR")
    if not checkout:
        pytest.skip("COMFYUI_DIR names no checkout of ComfyUI")
    name = "magplus_in_comfyui"
    if name not in sys.modules:
        sys.path.append(checkout)
        before, sys.argv = sys.argv, sys.argv[:1]
        try:
            importlib.import_module("comfy.cli_args").args.cpu = not torch.cuda.is_available()
            importlib.import_module("comfy_api.latest")
            importlib.import_module("comfy.utils")
            importlib.import_module("comfy.model_management")
        except ImportError as error:
            pytest.skip(f"this Python lacks what ComfyUI needs: {error}")
        finally:
            sys.argv = before
        spec = importlib.util.spec_from_file_location(
            name, root / "__init__.py", submodule_search_locations=[str(root)]
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        asyncio.run(module.comfy_entrypoint().on_load())
    return Pack(name)


# Imported before any real API can be: from then on the copy under the pack's own name stays on the stand-in.
importlib.import_module("magplus.nodes")


@pytest.fixture(params=["standalone", "comfyui"])
def pack(request, root, tmp_path):
    """The pack on either API, with folders of its own."""
    found = Pack("magplus") if request.param == "standalone" else _in_comfyui(root)
    assert found.host.IN_COMFYUI is (request.param == "comfyui")
    found.places = found.folders(tmp_path)
    return found


@pytest.fixture
def standalone(tmp_path):
    """The pack on the stand-in, whose hooks a test may set."""
    found = Pack("magplus")
    found.places = found.folders(tmp_path)
    hooks = found.module("nodes.standalone").hooks
    before = (hooks.check, hooks.progress)
    yield found
    hooks.check, hooks.progress = before


@pytest.fixture(scope="session")
def small():
    """IMAGE of nine frames in which a push of half a pixel comes and goes; the first frame is at rest."""
    return clip(FIELD, micro_motion(9), SIZE).permute(0, 2, 3, 1).contiguous()


@pytest.fixture(scope="session")
def portrait():
    """IMAGE of one picture, another texture."""
    return clip(FIELD, micro_motion(1) * 0, (96, 88), seed=7).permute(0, 2, 3, 1).contiguous()
