# SPDX-License-Identifier: Apache-2.0
"""Checksums of FFV1 slices.

The decoder hides a damaged slice behind the previous picture and reports nothing through its interface, and a hidden
slice is a motionless one. RFC 9043, section 4.9: a slice ends in its size (3 bytes), an error status (1 byte) and a
CRC with which the whole slice has the remainder 0.
"""

from __future__ import annotations

import zlib

_FOOTER = 8
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def intact(packet: bytes) -> bool:
    """True where the packet is a chain of slices whose checksums all hold; False too where it carries none."""
    end = len(packet)
    while end > 0:
        start = end - int.from_bytes(packet[end - _FOOTER : end - _FOOTER + 3], "big") - _FOOTER
        if end < _FOOTER or start < 0 or _remainder(packet[start:end]):
            return False
        end = start
    return len(packet) > 0


def _remainder(data: bytes) -> int:
    """CRC-32 with the most significant bit first and start value 0, which zlib computes on mirrored bytes."""
    return zlib.crc32(data.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
