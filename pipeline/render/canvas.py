# SPDX-License-Identifier: Apache-2.0
"""Drawing with Pillow at a multiple of the final size, so that lines and letters are smooth.

The built-in font of Pillow has no Greek letters, no micro and no multiplication sign, and shows empty boxes for them:
write "alpha" and "x". What a user's label holds beyond Latin letters becomes "?".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Point = tuple[float, float]

OVERSAMPLING = 3
WHITE: Colour = (255, 255, 255)
INK: Colour = (40, 40, 40)
SERIES: tuple[Colour, ...] = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (90, 90, 90))
"""Okabe and Ito's colours, which stay apart for every kind of colour vision."""


SPELT_OUT = {
    "\u03b1": "alpha",
    "\u00d7": "x",
    "\u00b5": "u",
    "\u03bc": "u",
    "\u2013": "-",
    "\u2014": "-",
    "\u2026": "...",
}


def printable(words: str) -> str:
    """``words`` in characters that the font has, on one line."""
    spelt = "".join(SPELT_OUT.get(letter, letter) for letter in words)
    return "".join(c if c.isprintable() and ord(c) < 0x100 else "?" for c in spelt)


@lru_cache(maxsize=16)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, ``size`` px high."""
    return ImageFont.load_default(size=size)


class Canvas:
    """A picture to draw on in px of its final size."""

    def __init__(self, width: int, height: int, background: Colour = WHITE) -> None:
        self.width, self.height = width, height
        self._image = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING), background)
        self._draw = ImageDraw.Draw(self._image)

    def line(self, points: Sequence[Point], colour: Colour, width: float = 1) -> None:
        """A line through all points; fewer than two draw nothing."""
        if len(points) > 1:
            scaled = [(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in points]
            self._draw.line(scaled, fill=colour, width=max(1, round(width * OVERSAMPLING)), joint="curve")

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """A filled rectangle."""
        corners = (left, top, right, bottom)
        self._draw.rectangle([round(c * OVERSAMPLING) for c in corners], fill=colour)

    def text(self, x: float, y: float, words: str, *, size: int, colour: Colour = INK, anchor: str = "la") -> None:
        """Words at a point; ``anchor`` as in Pillow (horizontal l, m, r; vertical a, m, d)."""
        place = (x * OVERSAMPLING, y * OVERSAMPLING)
        self._draw.text(place, printable(words), fill=colour, font=font(size * OVERSAMPLING), anchor=anchor)

    def image(self) -> Image.Image:
        """The picture in its final size."""
        return self._image.reduce(OVERSAMPLING)


def text_width(words: str, size: int) -> float:
    """Width of ``words`` in px."""
    return font(size * OVERSAMPLING).getlength(printable(words)) / OVERSAMPLING
