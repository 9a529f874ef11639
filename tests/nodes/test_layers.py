"""nodes -> pipeline -> models, and ComfyUI known in one file only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

COMFY = {"comfy", "comfy_api", "comfy_execution", "folder_paths", "server", "nodes"}
OWNER = "nodes/host.py"


def files(root: Path, *folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (root / folder).rglob("*.py"))


def imported(path: Path, *, inside_functions: bool) -> set[str]:
    """Absolute names, and for relative ones the folder of the pack they lead to."""
    tree = ast.parse(path.read_text())
    statements = ast.walk(tree) if inside_functions else tree.body
    found = set()
    for node in statements:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = path.parents[node.level - 1]
            found |= {f"{base.name}/{(node.module or alias.name).split('.')[0]}" for alias in node.names}
    return found


def test_only_the_host_imports_comfyui(root):
    everything = [*files(root, "nodes", "pipeline", "models"), root / "__init__.py", root / "__main__.py"]
    guilty = {path.relative_to(root).as_posix() for path in everything if imported(path, inside_functions=True) & COMFY}
    assert guilty == {OWNER}


@pytest.mark.parametrize(
    ("folder", "others", "inside"), [("models", ("pipeline", "nodes"), True), ("pipeline", ("nodes",), False)]
)
def test_no_layer_knows_the_one_above(root, folder, others, inside):
    for path in files(root, folder):
        for name in imported(path, inside_functions=inside):
            assert name not in {f"{root.name}/{other}" for other in others}, f"{path} imports {name}"


def test_the_pack_itself_imports_nothing_when_it_is_loaded(root):
    assert {name for name in imported(root / "__init__.py", inside_functions=False) if "/" in name} == set()


def test_torch_comes_from_comfyui(root):
    """A second torch from requirements.txt would replace the one that ComfyUI brings."""
    lines = (root / "requirements.txt").read_text().splitlines()
    assert not any(line.startswith("torch") for line in lines)


def test_no_module_of_comfyui_is_faked(root):
    for path in files(root, "nodes", "tests/nodes"):
        text = path.read_text()
        for name in COMFY - {"nodes"}:
            assert f'sys.modules["{name}' not in text, path
