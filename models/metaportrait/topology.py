# SPDX-License-Identifier: Apache-2.0
"""The 669 face landmarks: which are joined by lines, in which colours, and which have a meaning of their own.

Edges, colours and the selection are facts of the released code (MIT), from its table of connections, its drawing
routine (a palette shuffled with seed 0) and its configuration. The mirror map follows from the edges: it is the one
left-right exchange under which they stay the same.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

_TABLE = json.loads(Path(__file__).with_name("topology.json").read_text())

POINTS = 669
EDGES = np.array(_TABLE["edges"], np.int32)
"""``(616, 2)``, in the order in which they are drawn: later lines cover earlier ones."""

_CODES = np.array(_TABLE["colours"])
COLOURS = (29 * np.stack([_CODES // 81, _CODES // 9 % 9, _CODES % 9], axis=1)).astype(np.uint8)
"""Colour ``(616, 3)`` of each edge: nine levels a channel."""

SELECTED = np.array(_TABLE["selected"])
"""The 58 points whose places are used as numbers."""

GAZE = SELECTED[29:37]
"""Four points on each iris."""

MOUTH_X, MOUTH_Y = SELECTED[[14, 15]], SELECTED[[56, 57]]
"""Points at the left, right, top and bottom of the mouth, as they were picked: not exactly symmetric."""

MIRROR = np.array(_TABLE["mirror"])
"""Index of each point's partner on the other side of the face; itself on the midline."""
