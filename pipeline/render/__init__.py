# SPDX-License-Identifier: Apache-2.0
"""Pictures of results: curves, clips side by side, tables."""

from .compare import Panel, grid_frames
from .plot import plot_curves
from .table import Cell, render_table
from .training import training_picture

__all__ = ["Cell", "Panel", "grid_frames", "plot_curves", "render_table", "training_picture"]
