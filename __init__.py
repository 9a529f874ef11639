"""ComfyUI-MagPlus: magnify a micro-expression, let a frozen face model wear it, scale it back.

Nothing is imported at module level: ComfyUI, pytest and the command line all load this file, and only the first of
them wants the nodes.
"""

__version__ = "0.1.0"
