# SPDX-License-Identifier: Apache-2.0
"""ComfyUI-MagPlus: magnify a micro-expression, let a frozen face model wear it, scale it back.

Nothing is imported at module level: ComfyUI, pytest and the command line all load this file, and only the first of
them wants the nodes.
"""

from typing import Any

__version__ = "0.1.0"

WEB_DIRECTORY = "./web"


def comfy_entrypoint() -> Any:
    """The nodes, for ComfyUI. It reports a failure here as one line, so the traceback is logged first."""
    import logging  # noqa: PLC0415

    try:
        from .nodes import Extension  # noqa: PLC0415
    except Exception:
        logging.getLogger("magplus").exception("The nodes of ComfyUI-MagPlus could not be loaded.")
        raise
    return Extension()
