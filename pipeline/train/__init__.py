# SPDX-License-Identifier: Apache-2.0
"""Training of the built-in magnifier on pictures rendered on the fly, with exactly known motion.

`textures` are continuous functions, `motion` moves their points, `scenes` renders reference, frame and truth from
them, `losses` compares, `loop` trains in pieces that can be resumed. The command is ``magplus train``.
"""

from .loop import Recipe, Trainer
from .pieces import train
from .scenes import Batch, Condition, render_batch

__all__ = ["Batch", "Condition", "Recipe", "Trainer", "render_batch", "train"]
