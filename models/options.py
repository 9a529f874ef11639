# SPDX-License-Identifier: Apache-2.0
"""Options of a model: declared once, read from words of the command line or from a node's widgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .errors import MagPlusError

_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option. The kind of ``default`` is its type: a switch, a (whole) number, or one of ``choices``."""

    name: str
    default: bool | int | float | str
    help: str
    choices: tuple[str, ...] = ()
    low: float = 1
    high: float = 1_000_000
    """Limits of a number."""

    def read(self, value: Any, *, of: str) -> bool | int | float | str:
        """The value as its type. Raises `MagPlusError` that names ``of`` and what is allowed."""
        if isinstance(self.default, bool):
            value = _WORDS.get(str(value).lower(), value)
            if isinstance(value, bool):
                return value
            allowed = "true or false"
        elif isinstance(self.default, int):
            if str(value).isdigit() and self.low <= int(value) <= self.high:
                return int(value)
            allowed = f"a whole number from {self.low:g} to {self.high:g}"
        elif isinstance(self.default, float):
            with suppress(ValueError):
                if self.low <= float(value) <= self.high:
                    return float(value)
            allowed = f"a number from {self.low:g} to {self.high:g}"
        else:
            if value in self.choices:
                return str(value)
            allowed = " or ".join(self.choices)
        raise MagPlusError(f"{of}: option {self.name} cannot be '{value}'. Give {allowed}.")


def read_options(declared: Sequence[Option], given: Mapping[str, Any], *, of: str) -> dict[str, Any]:
    """Every declared option with its value or its default; an unknown name is an error."""
    known = {option.name: option for option in declared}
    unknown = sorted(set(given) - set(known))
    if unknown:
        offered = ", ".join(known) or "none"
        raise MagPlusError(f"{of} has no option '{unknown[0]}'. Its options: {offered}.")
    return {name: option.read(given.get(name, option.default), of=of) for name, option in known.items()}
