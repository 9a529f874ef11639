"""The archive that the registry builds: complete for a user, free of what its scanners refuse, loadable as it is."""

import ast
import shutil
import subprocess
import sys

import pytest

REFUSED_MODULES = {"ctypes", "dill", "ftplib", "http", "marshal", "pickle", "requests", "smtplib", "socket"} | {
    "subprocess",
    "telnetlib",
    "urllib",
}
REFUSED_CALLS = {"__import__", "compile", "eval", "exec"}

LOAD = """
import asyncio, importlib.util, pathlib, sys
folder = pathlib.Path(sys.argv[1])
init, inside = folder / "__init__.py", [str(folder)]
spec = importlib.util.spec_from_file_location("some_node", init, submodule_search_locations=inside)
pack = importlib.util.module_from_spec(spec)
sys.modules["some_node"] = pack
spec.loader.exec_module(pack)
async def ids():
    return [node.GET_SCHEMA().node_id for node in await pack.comfy_entrypoint().get_node_list()]
found = asyncio.run(ids())
assert len(found) == len(set(found))
for name in found:
    assert (folder / pack.WEB_DIRECTORY / "docs" / f"{name}.md").is_file(), name
print(*found)
"""


@pytest.fixture(scope="module")
def unpacked(root, tmp_path_factory):
    """What `make package` packs, under a name that is not ours."""
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        pytest.skip("needs git and its checkout")
    folder = tmp_path_factory.mktemp("custom_nodes") / "comfyui-some-node"
    rules = [f":(exclude){line}" for line in (root / ".comfyignore").read_text().splitlines() if line[:1] != "#"]
    listed = subprocess.run([git, "ls-files", "-z", "--", ".", *rules], cwd=root, check=True, capture_output=True)
    for name in listed.stdout.decode().split("\0")[:-1]:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, target)
    return folder


def test_the_archive_loads_under_any_name(unpacked):
    done = subprocess.run([sys.executable, "-c", LOAD, str(unpacked)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"MagPlusMagnify", "MagPlusAnimate", "MagPlusDemagnify"} <= set(done.stdout.split())


def test_the_command_line_comes_with_it(unpacked):
    for words, told in (("--version", "magplus"), ("backbones", "metaportrait"), ("convert --help", "safetensors")):
        command = [sys.executable, str(unpacked), *words.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert told in done.stdout


def test_users_get_what_they_need_and_not_our_tests(unpacked):
    for name in ("LICENSE", "README.md", "requirements.txt", "samples/driver.mkv", "samples/portrait.jpg"):
        assert (unpacked / name).is_file(), name
    for template in (unpacked / "workflows").glob("*.json"):
        assert template.with_suffix(".jpg").is_file(), template.name
    assert not (unpacked / "tests").exists() and not (unpacked / "benchmarks").exists()
    assert sum(path.stat().st_size for path in unpacked.rglob("*") if path.is_file()) < 20e6


def test_every_file_says_its_licence(unpacked):
    for path in sorted(unpacked.rglob("*.py")):
        assert path.read_text(encoding="utf-8").startswith("# SPDX-License-Identifier: Apache-2.0\n"), path


def _is_an_error(node):
    """The name of what `torch.load` raises opens nothing."""
    return node.module == "pickle" and [alias.name for alias in node.names] == ["UnpicklingError"]


def test_nothing_that_a_scanner_refuses(unpacked):
    for path in sorted(unpacked.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level and not _is_an_error(node):
                names = [node.module or ""]
            assert not {name.split(".")[0] for name in names} & REFUSED_MODULES, f"{path.name} imports {names}"
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            assert called not in REFUSED_CALLS, f"{path.name} calls {called}"
