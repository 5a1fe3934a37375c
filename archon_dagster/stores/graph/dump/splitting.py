"""Cut a stream of text into statements: at a semicolon outside of quotes, however many lines that takes.

Nothing longer than one statement is kept. The patterns are possessive throughout, so text that matches nothing costs
one pass, not a search.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from archon_dagster.stores.graph.dump.model import Statement, UnreadableDump

READ = 1 << 20  # characters asked for at a time
LONGEST = 64 << 20  # characters of one statement: a node with everything it has
ReadText = Callable[[int], str]

_QUOTED = r""" "(?:[^"\\]++|\\.)*+" | '(?:[^'\\]++|\\.)*+' | `[^`]*+` """
_COMMENT = r" //[^\n]*+\n | /\*(?:[^*]++|\*(?!/))*+\*/ "
_STATEMENT = re.compile(rf"""(?: [^"'`;/]++ | {_QUOTED} | {_COMMENT} | /(?![/*]) )*+ ;""", re.DOTALL | re.VERBOSE)
_LEAD = re.compile(rf"(?: \s++ | {_COMMENT} )*+", re.VERBOSE)
_NOTHING_MORE = re.compile(r"(?: \s++ | //[^\n]*+ )*+ \Z", re.VERBOSE)
_TRIGGER = re.compile(r"CREATE\s++TRIGGER\b", re.IGNORECASE)


def split(read: ReadText, where: str) -> Iterator[Statement]:
    """The statements of a text.

    :param read: hands out at most so many characters, ``""`` at the end.
    :raises UnreadableDump: where it ends inside a statement, or one is longer than :data:`LONGEST`.
    """
    text, line, more = "", 1, read(READ)
    while True:
        text, start = text + more, 0
        while True:
            begin = start + len(_LEAD.match(text, start)[0])  # type: ignore[index]
            end = _end_of(text, begin, ended=not more)
            if end < 0:
                break
            line += text.count("\n", start, begin)
            yield Statement(line, text[begin:end])
            line += text.count("\n", begin, end)
            start = end
        text = text[start:]
        if not more:
            return _expect_nothing(text, line, where)
        if len(text) > LONGEST:
            raise UnreadableDump(f"the statement on line {_first(text, line)} is longer than 64 MiB", where=where)
        more = read(max(READ, len(text)))  # a long statement is scanned again only when it has doubled


def _end_of(text: str, begin: int, *, ended: bool) -> int:
    """Where the statement that begins here ends, or -1 where that is still to come."""
    if _TRIGGER.match(text, begin):
        # a dump writes the line ends of a trigger as blanks: a comment in it would hide the semicolon
        stop = text.find("\n", begin)
        if stop < 0 and not ended:
            return -1
        in_one_line = text[begin : stop if stop >= 0 else len(text)].rstrip()
        if in_one_line.endswith(";"):
            return begin + len(in_one_line)
    found = _STATEMENT.match(text, begin)
    return found.end() if found else -1


def _expect_nothing(text: str, line: int, where: str) -> None:
    if _NOTHING_MORE.match(text):
        return
    raise UnreadableDump(
        f"the file ends inside the statement on line {_first(text, line)}",
        where=where,
        tried=Statement(line, text[:200].strip()).excerpt,
        todo="it was cut off: make the dump again, or take an older one",
    )


def _first(text: str, line: int) -> int:
    lead = _LEAD.match(text)
    return line + text.count("\n", 0, lead.end() if lead else 0)
