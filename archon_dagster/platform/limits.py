"""What a service may use: limits and reservations, read and written in the words of compose."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from archon_dagster.errors import ConfigurationError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmg]?)b?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}
LEAST_MEMORY = 6 * 2**20
"""Bytes; the Docker engine refuses a smaller limit."""


@dataclass(frozen=True, slots=True)
class Host:
    """What there is to be shared out. Memory in bytes."""

    cpus: int
    memory: int


@dataclass(frozen=True, slots=True)
class Resources:
    """Of one replica. CPUs in cores, memory in bytes.

    :raises ConfigurationError: a reservation is larger than its limit, or a number is none of a quantity.
    """

    cpus: float
    memory: int
    reserved_cpus: float = 0.5
    reserved_memory: int = 2**29

    def __post_init__(self) -> None:
        if not (math.isfinite(self.cpus) and 0 < self.reserved_cpus <= self.cpus):
            raise ConfigurationError(
                f"{self.reserved_cpus:g} CPUs cannot be reserved within a limit of {self.cpus:g}",
                todo="reserve more than nothing and at most the limit",
            )
        if not LEAST_MEMORY <= self.reserved_memory <= self.memory:
            raise ConfigurationError(
                f"{size_text(self.reserved_memory)} cannot be reserved within a limit of {size_text(self.memory)}",
                todo=f"reserve at least {size_text(LEAST_MEMORY)} and at most the limit",
            )

    def as_compose(self) -> dict[str, Any]:
        """As it stands under ``deploy.resources`` of a service."""
        return {
            "limits": {"cpus": f"{self.cpus:g}", "memory": size_text(self.memory)},
            "reservations": {"cpus": f"{self.reserved_cpus:g}", "memory": size_text(self.reserved_memory)},
        }


def size(text: str) -> int:
    """How many bytes ``512M``, ``4G`` or ``1.5gb`` are; units are powers of 1024, as in compose."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(f"{text!r} is no size of memory", todo="write it like 512M or 4G")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def size_text(amount: int) -> str:
    """A size in the largest unit that leaves a whole number; :func:`size` reads it back exactly."""
    for unit in ("g", "m", "k"):
        if amount and amount % _UNITS[unit] == 0:
            return f"{amount // _UNITS[unit]}{unit.upper()}"
    return f"{amount}B"
