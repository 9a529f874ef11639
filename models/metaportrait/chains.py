# SPDX-License-Identifier: Apache-2.0
"""Which chains of the 669 landmarks lie on which lines of the face: the half on the right of the picture."""

from __future__ import annotations

from dataclasses import dataclass

Key = int | str | tuple[int, int]
"""A vertex of the mesh, a place of the fixed layout, or the middle between two vertices."""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Landmarks in order, and the places that their line goes through. ``scale`` is about the middle of its ends."""

    points: tuple[int, ...]
    through: tuple[Key, ...]
    closed: bool = False
    scale: float = 1.0


_UPPER_LID = (362, 398, 384, 385, 386, 387, 388, 466, 263)
_LOWER_LID = (263, 249, 390, 373, 374, 380, 381, 382, 362)

_MIDLINE: tuple[tuple[tuple[int, ...], tuple[Key, ...]], ...] = (
    ((411,), ("crown",)),
    ((641,), (10,)),
    ((635,), ((10, 151),)),
    ((634, 658, 631, 659, 653), (151, 9)),
    ((632,), (8,)),
    ((630,), (168,)),
    ((644,), (195,)),
    ((654, 655, 656, 628, 629), (1, 19, 94, 2)),
    ((629, 633, 640, 657), (2, 164)),
    ((636,), (0,)),
    ((637,), (13,)),
    ((660,), (14,)),
    ((74,), (17,)),
    ((88,), (18,)),
    ((639,), (200,)),
    ((661,), (199,)),
    ((638,), (175,)),
    ((643,), (152,)),
    ((662,), ("throat",)),
    ((642,), ("collar",)),
)

_MOUTH: tuple[tuple[tuple[int, ...], tuple[Key, ...]], ...] = (
    ((74, 224, 225, 70, 226, 227, 63, 221, 64, 65, 69, 636), (17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0)),
    ((637, 68, 222, 66, 67, 223, 75, 73, 72, 71, 228, 660), (13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14)),
    ((1, 204, 209, 218, 60, 61, 43, 219, 220, 202, 88), (393, 391, 322, 410, 287, 273, 335, 406, 313, 18)),
    ((157, 37, 210, 56, 214, 215, 44, 57, 216, 203, 639), (423, 426, 436, 432, 422, 424, 418, 421, 200)),
)

_NOSE_AND_CHEEK: tuple[tuple[tuple[int, ...], tuple[Key, ...]], ...] = (
    ((165,), (326,)),
    ((159, 3, 89, 158, 242, 2, 119, 644), (358, 360, 420, 456, 195)),
    ((159, 185, 28, 5, 26, 654), (358, 294, 305, 1)),
    (
        (630, 8, 10, 168, 169, 13, 12, 170, 11, 14, 171, 172, 173, 661),
        (168, 417, 412, 355, 371, 266, 425, 427, 434, 430, 431, 262, 428, 199),
    ),
    (
        (632, 163, 194, 183, 195, 51, 58, 59, 217, 45, 38, 46, 241, 638),
        (8, 413, 464, 350, 329, 330, 280, 411, 416, 364, 394, 395, 369, 396, 175),
    ),
)

_BROW_AND_FOREHEAD: tuple[tuple[tuple[int, ...], tuple[Key, ...]], ...] = (
    ((167, 9, 6, 7, 207, 48, 49, 206, 164, 162, 198, 196, 208, 50, 186), (336, 296, 334, 293, 300, 383)),
    ((261, 111, 266, 267, 199, 41, 47, 211, 52, 53, 39, 42, 634), (368, 301, 298, 333, 299, 337, 151)),
    (
        (257, 258, 259, 260, 40, 200, 205, 213, 55, 54, 197, 212, 635),
        ((251, 301), (284, 298), (332, 333), (297, 299), (338, 337), (10, 151)),
    ),
    ((110, 107, 108, 109, 268, 245, 244, 93, 243, 92, 91, 90, 641), (251, 284, 332, 297, 338, 10)),
)

_OUTLINE: tuple[tuple[tuple[int, ...], tuple[Key, ...]], ...] = (
    ((25,), (356,)),
    ((187,), (323,)),
    ((188,), (361,)),
    ((103, 104, 643), (288, 397, 365, 379, 378, 400, 377, 152)),
    ((99, 253, 98, 252, 251, 250, 249, 248, 247, 411), ("back", "skull", "crown side", "crown")),
    ((264,), ("nape",)),
    ((117,), ("below ear",)),
    ((265, 121, 275, 112, 105, 256, 106, 662), ("neck", "throat side", "throat")),
    ((265, 246, 278, 279, 97, 96, 94, 95, 642), ("neck", "shoulder", "collar side", "collar")),
    (
        (149, 284, 283, 285, 126, 129, 281, 125, 282, 280),
        ("helix 1", "helix 2", "helix 3", "helix 4", "helix 5", "helix 6"),
    ),
    ((124, 123, 127, 128, 148, 301), ("concha 1", "concha 2", "concha 3", "concha 4")),
)


def _eye(
    upper: tuple[int, ...], lower: tuple[int, ...], lids: tuple[tuple[Key, ...], ...], scale: float = 1.0
) -> list[Chain]:
    """A ring around an eye: over the top from its inner corner to the outer one, and back below."""
    ends = (upper[0], upper[-1])
    return [
        Chain(points=upper, through=lids[0], scale=scale),
        Chain(points=(ends[1], *lower, ends[0]), through=lids[1], scale=scale),
    ]


CHAINS: tuple[Chain, ...] = (
    *(
        Chain(points=points, through=through)
        for points, through in (*_MIDLINE, *_MOUTH, *_NOSE_AND_CHEEK, *_BROW_AND_FOREHEAD, *_OUTLINE)
    ),
    Chain(points=(0, 100, 189, 255, 161, 102, 27, 101, 160, 254), through=(250, 309, 392, 289, 290), closed=True),
    *_eye((82, 236, 235, 83, 84, 85, 237, 239), (238, 86, 87, 240), (_UPPER_LID, _LOWER_LID), 0.92),
    *_eye((23, 35, 184, 31, 30, 190, 29, 191), (34, 33, 32, 193, 192), (_UPPER_LID, _LOWER_LID)),
    *_eye(
        (21, 229, 76, 230, 77, 62, 81, 233, 80),
        (234, 231, 78, 79, 36, 22, 232),
        ((463, 414, 286, 258, 257, 259, 260, 467, 359), (359, 255, 339, 254, 253, 252, 256, 341, 463)),
    ),
    *_eye(
        (15, 16, 180, 18, 174, 19, 201, 181, 179),
        (178, 177, 17, 176, 182, 175, 20),
        ((464, 413, 441, 442, 443, 444, 445, 342, 446), (446, 261, 448, 449, 450, 451, 452, 453, 464)),
    ),
)
"""In the order of laying; where two meet, the later one says."""

IRIS = (150, 302, 303, 304, 305, 306, 151, 307, 152, 153, 154, 308, 155, 156, 309, 310)
"""Ring of an iris, from its lowest point outwards. The released configuration takes the gaze from four of it."""
