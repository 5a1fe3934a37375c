"""An ``.env`` file as its readers see it: each assignment with its line, and what is wrong with the text.

The text is read by python-dotenv, as the platform's services and the control plane do. References are resolved within
the file alone, never from the environment of whoever looks: what is valid here is valid for a daemon and after a
reboot. Whatever the bytes are, nothing is raised; what cannot be read is a problem.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from dotenv.parser import Binding, parse_stream
from dotenv.variables import Variable, parse_variables

from archon_dagster.configuration.problem import Problem
from archon_dagster.stores.configuration.redaction import PLACEHOLDER

LARGEST = 1 << 20  # bytes
LONGEST = 32_768  # characters of one value; the kernel hands no more than four times that to a process

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BARE_REFERENCE = re.compile(r"\$[A-Za-z_]")


@dataclass(frozen=True, slots=True)
class Assignment:
    """One variable of a file.

    :param line: of its name, from 1. :param value: with its references resolved.
    :param broken: its text has a problem already, so its value says nothing.
    """

    key: str
    value: str = field(repr=False)
    line: int
    broken: bool = False


@dataclass(frozen=True, slots=True)
class EnvFile:
    """What a file says. :param assignments: in the order of the file; of a variable that is there twice, both."""

    assignments: tuple[Assignment, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def values(self) -> dict[str, Assignment]:
        """Each variable once; the last assignment counts, as for every reader of the file."""
        return {one.key: one for one in self.assignments}


def parse(content: bytes) -> EnvFile:
    """Read a file's bytes."""
    text, problem = _text(content)
    if problem is not None:
        return EnvFile((), (problem,))
    return _Reading().of(text)


def _text(content: bytes) -> tuple[str, Problem | None]:
    if len(content) > LARGEST:
        return "", Problem("error", f"the file has {len(content):,} bytes, at most {LARGEST:,} belong there")
    if (place := content.find(b"\0")) >= 0:
        return "", Problem("error", "there is a NUL byte: this is no text", line=content[:place].count(b"\n") + 1)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        return "", Problem("error", "this is not UTF-8 text", "write the file as UTF-8", line=line)
    if text.startswith("\ufeff"):
        return "", Problem("error", "a byte order mark stands first", "save the file without it", line=1)
    return text, None


class _Reading:
    """One pass over a file."""

    def __init__(self) -> None:
        self.assignments: list[Assignment] = []
        self.problems: list[Problem] = []
        self.known: dict[str, str] = {}
        self.lines: dict[str, int] = {}

    def of(self, text: str) -> EnvFile:
        for binding in _bindings(text):
            self._take(binding)
        return EnvFile(tuple(self.assignments), tuple(self.problems))

    def _take(self, binding: Binding) -> None:
        line, key = _line_of(binding), binding.key
        if binding.error or key is None:
            if binding.error:
                self._error(line, "this is no assignment", "write NAME=value, or # before a remark")
            return
        if not _NAME.fullmatch(key):
            self._error(line, f"{key[:60]!r} is no name of a variable", "letters, digits and _ make a name")
            return
        if binding.value is None:
            self._error(line, f"{key} has no value", f"write {key}= and the value", key)
            return
        value, broken = self._resolved(key, binding.value, line)
        if _ambiguous(binding):
            self._error(line, f"{key} has a $ that Docker Compose replaces and others leave as it is",
                        "write ${NAME} for a reference, or $$ never: choose another value", key)  # fmt: skip
            broken = True
        if key in self.lines:
            self._error(line, f"{key} stands in line {self.lines[key]} already", "keep one of them", key)
        self.lines[key], self.known[key] = line, value
        self.assignments.append(Assignment(key, value, line, broken))

    def _resolved(self, key: str, raw: str, line: int) -> tuple[str, bool]:
        before = len(self.problems)
        if len(raw) > LONGEST:
            self._error(line, f"the value of {key} has {len(raw):,} characters", "a value is a line", key)
            return "", True
        parts = []
        for atom in parse_variables(raw):
            if isinstance(atom, Variable):
                self._check_reference(key, atom, line)
            parts.append(atom.resolve(self.known))
        value = "".join(parts)
        if len(value) > LONGEST:
            self._error(line, f"the value of {key} grows to {len(value):,} characters", "refer to less", key)
            value = ""
        if PLACEHOLDER in value:
            self._error(line, f"{key} still has the placeholder of a backup for its secret", "set the value", key)
        return value, len(self.problems) > before

    def _check_reference(self, key: str, found: Variable, line: int) -> None:
        name = found.name
        if name == key and key not in self.known:
            self._error(line, f"{key} refers to itself: it is empty wherever nobody happens to have exported it",
                        "write the value here", key)  # fmt: skip
        elif name not in self.known and found.default is None:
            self._error(line, f"{key} refers to {name[:60]}, which is not set above it in this file",
                        f"set {name[:60]} before it, or write the value here", key)  # fmt: skip

    def _error(self, line: int, text: str, todo: str, key: str = "") -> None:
        self.problems.append(Problem("error", text, todo, key, line))


def _bindings(text: str) -> Iterator[Binding]:
    yield from parse_stream(io.StringIO(text, newline=""))


def _line_of(binding: Binding) -> int:
    """A binding begins with the blank lines and remarks before it."""
    original = binding.original
    lines = original.string.splitlines()
    skip = next((i for i, one in enumerate(lines) if one.strip() and not one.lstrip().startswith("#")), 0)
    return int(original.line) + skip


def _ambiguous(binding: Binding) -> bool:
    """``$NAME`` without braces, outside of single quotes."""
    if binding.value is None or not _BARE_REFERENCE.search(binding.value):
        return False
    return not binding.original.string.partition("=")[2].lstrip(" \t").startswith("'")
