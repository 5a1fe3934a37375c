"""Something that is wrong with a configuration file, as an operator reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    :param severity: an ``error`` keeps the file from being applied, a ``warning`` does not.
    :param text: what is wrong; no part of a secret is ever in it.
    :param todo: what to do about it.
    :param key: the variable it is about; empty where it is about the file.
    :param line: where it stands, from 1; 0 where it stands nowhere (a variable that is missing).
    """

    severity: Severity
    text: str
    todo: str = ""
    key: str = ""
    line: int = 0

    @property
    def sentence(self) -> str:
        """The whole as one line."""
        where = f"line {self.line}: " if self.line else ""
        todo = f"; {self.todo}" if self.todo else ""
        return f"{where}{self.text}{todo}"


def in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    """By line; what stands nowhere comes last, errors before warnings."""
    return tuple(sorted(problems, key=lambda one: (one.line or 1 << 30, one.severity != "error", one.key)))
