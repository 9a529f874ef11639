# SPDX-License-Identifier: Apache-2.0
"""Commands about weights: what there is, what a file is, and converting it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ...models import checkpoint as files
from ...models.catalog import BACKBONES
from ...models.errors import MagPlusError
from ...models.registry import identify, join
from ..render import render_table
from .arguments import Parser


def add_commands(commands: argparse._SubParsersAction[Parser]) -> None:
    """Declare ``backbones``, ``inspect`` and ``convert``."""
    backbones = commands.add_parser("backbones", help="list the frozen generators")
    backbones.set_defaults(command=list_backbones)
    inspect = commands.add_parser("inspect", help="say what a weights file is")
    inspect.add_argument("file", metavar="FILE")
    inspect.set_defaults(command=inspect_file)
    convert = commands.add_parser("convert", help="turn weights files into one safetensors file")
    convert.add_argument("files", nargs="+", metavar="FILE", help="a weights file, or all those of one model")
    convert.add_argument("out", metavar="OUT.safetensors")
    convert.add_argument("--overwrite", action="store_true", help="replace an existing file")
    convert.set_defaults(command=convert_file)


def list_backbones(_: argparse.Namespace) -> None:
    """Print names, files, options and framing."""
    rows = [
        [
            spec.name,
            spec.title,
            spec.published.wanted if spec.published else "none needed",
            ", ".join(option.name for option in spec.options) or "none",
            ", ".join(guide.name for guide in spec.guides) or "none",
            f"{spec.framing.size} px, {spec.framing.scale:g} x face height",
        ]
        for spec in BACKBONES.values()
    ]
    sys.stdout.write(render_table(["name", "what it is", "files", "options", "guides", "framing"], rows) + "\n")


def inspect_file(arguments: argparse.Namespace) -> None:
    """Print what a file holds; what it is comes last, as an error if nobody knows it."""
    checkpoint = files.read_checkpoint(arguments.file)
    tensors = checkpoint.tensors
    facts = {
        "file": str(checkpoint.path),
        "sha256": checkpoint.sha256,
        "size_bytes": checkpoint.path.stat().st_size,
        "tensors": len(tensors),
        "numbers": sum(value.numel() for value in tensors.values()),
        "dtypes": sorted({str(value.dtype).removeprefix("torch.") for value in tensors.values()}),
        "metadata": dict(checkpoint.metadata),
    }
    try:
        architecture = identify(checkpoint)
        architecture.build(tensors)
    except MagPlusError:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
        raise
    facts |= {"architecture": architecture.name, "kind": architecture.kind, "title": architecture.title}
    sys.stdout.write(json.dumps(facts, indent=2) + "\n")


def convert_file(arguments: argparse.Namespace) -> None:
    """Write the tensors of a known network as safetensors, those of all files of one model together.

    What only its training needed stays behind.
    """
    out = Path(arguments.out)
    if out.suffix != ".safetensors":
        raise MagPlusError(f"{out}: the result must be named *.safetensors.")
    if out.exists() and not arguments.overwrite:
        raise MagPlusError(f"{out} exists. Choose another name or give --overwrite.")
    joined = join([files.read_checkpoint(file) for file in arguments.files])
    architecture = identify(joined)
    architecture.build(joined.tensors)
    metadata = {**joined.metadata, "architecture": architecture.name, "source_sha256": joined.sha256}
    files.write_safetensors(joined.tensors, out, metadata)
    sys.stdout.write(f"{out}: {architecture.title}, sha256 {files.sha256_of(out)}\n")
