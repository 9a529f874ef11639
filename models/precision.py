# SPDX-License-Identifier: Apache-2.0
"""Number formats a network may be computed in."""

from __future__ import annotations

import torch

from .errors import MagPlusError
from .options import Option

PRECISION = Option(
    name="precision",
    default="float32",
    choices=("float32", "bfloat16", "float16"),
    help="float32 is exact; bfloat16 is faster where the processor has it; float16 only on a GPU",
)


def dtype_of(precision: str) -> torch.dtype:
    """The torch type of a choice of `PRECISION`."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]


def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself; elsewhere it is emulated, slower than float32."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_arm_bf16_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)


def check_precision(dtype: torch.dtype, device: torch.device) -> None:
    """Refuse what the device is bad at."""
    if device.type != "cpu" or dtype == torch.float32:
        return
    if dtype == torch.float16:
        raise MagPlusError("precision float16 needs a GPU. Choose float32, or bfloat16 where the processor has it.")
    if not has_bfloat16():
        raise MagPlusError("This processor has no bfloat16; it would be slower than float32. Choose float32.")
