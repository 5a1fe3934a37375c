"""Split the SQL that ``pg_dump`` and ``pg_restore`` write into statements, line by line, as it streams.

Only as much of SQL's grammar as decides where a statement ends is known: texts, quoted names, dollar quotes and
comments. Comments between statements and ``psql`` commands (``\\restrict``, ``\\connect``) are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_OPENING = re.compile(rb"(?P<text>'|(?<![\w$])[eE]')|(?P<name>\")|(?P<dollar>\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$)"
                      rb"|(?P<comment>--)|(?P<end>;)")  # fmt: skip
_TEXT = re.compile(rb"'(?!')|''")
_ESCAPED_TEXT = re.compile(rb"'(?!')|''|\\.", re.DOTALL)
_NAME = re.compile(rb'"')


class Statements:
    """Feed it lines (with their line ends); it hands out the statements that have become complete."""

    __slots__ = ("_closing", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._closing: re.Pattern[bytes] | None = None  # what ends the text, name or body we are in

    @property
    def between(self) -> bool:
        """Whether nothing has been begun: the next line starts a statement."""
        return self._closing is None and not self._pieces

    def feed(self, line: bytes) -> Iterator[bytes]:
        """Take one line; yields complete statements without their surrounding white space."""
        if self.between and (not line.strip() or line.startswith(b"\\")):
            return
        start = position = 0
        while position < len(line):
            if self._closing is not None:
                position = self._leave(line, position)
                continue
            token = _OPENING.search(line, position)
            if token is None:
                break
            position = token.end()
            if token.lastgroup == "end":
                yield self._complete(line[start:position])
                start = position
            elif token.lastgroup == "comment":
                line, position = line[: token.start()], len(line)
            else:
                self._enter(token)
        self._keep(line[start:])

    def _enter(self, token: re.Match[bytes]) -> None:
        if token.lastgroup == "text":
            self._closing = _TEXT if token[0] == b"'" else _ESCAPED_TEXT
        elif token.lastgroup == "name":
            self._closing = _NAME
        else:
            self._closing = re.compile(re.escape(token[0]))

    def _leave(self, line: bytes, position: int) -> int:
        """The position after the end of what we are in, or the end of the line where it goes on."""
        assert self._closing is not None
        for match in self._closing.finditer(line, position):
            if match[0] == b"''" or match[0].startswith(b"\\"):
                continue
            self._closing = None
            return match.end()
        return len(line)

    def _keep(self, rest: bytes) -> None:
        if self._pieces or rest.strip():
            self._pieces.append(rest)

    def _complete(self, last: bytes) -> bytes:
        statement = b"".join([*self._pieces, last]).strip()
        self._pieces.clear()
        return statement
