# SPDX-License-Identifier: Apache-2.0
"""Run the command line from a folder that was never installed: ``python <this folder> run ...``.

``python <folder>`` puts the folder itself on ``sys.path``, where our ``models`` and ``nodes`` would shadow those of a
ComfyUI in the same interpreter. So the folder is taken off again and loaded as the package ``magplus``.
"""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def _load_package() -> None:
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
    spec = importlib.util.spec_from_file_location(
        "magplus", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{ROOT} is not a complete copy of the pack: __init__.py is missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules["magplus"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    if "magplus" not in sys.modules:
        _load_package()
    from magplus.pipeline.cli import main

    sys.exit(main())
