# SPDX-License-Identifier: Apache-2.0
"""Running a ComfyUI workflow without ComfyUI."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..graph import Finished, Graph, GraphNode, api_form, apply_setting, check_types, execute, read_workflow, to_graph
from ..graph.workflow import is_ui_form
from ..log import log
from ..outputs import check_free, write_text
from .arguments import Parser
from .console import ProgressBar


def add_commands(commands: argparse._SubParsersAction[Parser]) -> None:
    """Declare ``workflow``."""
    parser = commands.add_parser("workflow", help="run a ComfyUI workflow of MagPlus nodes without ComfyUI")
    parser.add_argument("file", metavar="FILE.json", help="as ComfyUI saves or exports it (UI or API form)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NODE.INPUT=VALUE", dest="settings",
        help="change an input; the node by its id or title; repeat for several",
    )  # fmt: skip
    parser.add_argument("--input", default="input", metavar="FOLDER", help="where load nodes look (default: input)")
    parser.add_argument("--out", default="output", metavar="FOLDER", help="where save nodes write (default: output)")
    parser.add_argument("--models", default="models/magplus", metavar="FOLDER", help="where weights lie")
    parser.add_argument(
        "--api", metavar="OUT.json",
        help="run nothing: write the workflow in API form, as a server's /prompt takes it (- prints it)",
    )  # fmt: skip
    parser.set_defaults(command=workflow_command)


def workflow_command(arguments: argparse.Namespace) -> None:
    """Run every node that saves or shows something, and tell what it left."""
    # An entry point like ComfyUI's own: the command starts the nodes, the pipeline below never knows of them.
    from ...nodes import NODES  # noqa: PLC0415
    from ...nodes.core_standins import STANDINS  # noqa: PLC0415
    from ...nodes.headless import registry  # noqa: PLC0415
    from ...nodes.standalone import folders, hooks  # noqa: PLC0415

    path, out = Path(arguments.file), Path(arguments.out)
    folders.use(input=Path(arguments.input), output=out, weights=Path(arguments.models))
    types = registry([*NODES, *STANDINS])
    data = read_workflow(path)
    graph = to_graph(data, types, path.name)
    for setting in arguments.settings:
        apply_setting(graph, types, setting)
    if arguments.api is not None:
        check_types(graph, types)  # what another pack's widgets are called is not told in the file
        _write_api(graph, arguments.api)
        return
    watch = _Watch()
    before, hooks.progress = hooks.progress, watch.progress
    try:
        finished = execute(
            graph, types, workflow=data if is_ui_form(data) else None, remark=log.warning, started=watch.started
        )  # fmt: skip
    finally:
        hooks.progress = before
        watch.bar.close()
    sys.stdout.write("".join(line for one in finished for line in _told(one, out)))


def _write_api(graph: Graph, place: str) -> None:
    text = json.dumps(api_form(graph), indent=1, ensure_ascii=False) + "\n"
    if place == "-":
        sys.stdout.write(text)
        return
    check_free(Path(place), overwrite=False)
    write_text(Path(place), text)


class _Watch:
    """Names the node in the progress bar."""

    def __init__(self) -> None:
        self.bar = ProgressBar()
        self._title = ""

    def started(self, node: GraphNode) -> None:
        """A node begins."""
        self._title = node.title

    def progress(self, done: int, total: int, _: Any) -> None:
        """A frame is done."""
        self.bar(self._title, done, total)


def _told(one: Finished, out: Path) -> list[str]:
    """What a node left: files with their folder, then texts."""
    files: list[Mapping[str, Any]] = []
    for entry in one.shown.values():
        files += [file for file in entry if isinstance(file, Mapping) and "filename" in file]
    lines = [str(out / file.get("subfolder", "") / file["filename"]) for file in files if file.get("type") == "output"]
    lines += [str(text) for text in one.shown.get("text", ())]
    return [f"{one.node.title}: {line}\n" for line in lines]
