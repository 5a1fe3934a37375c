"""What kind of file is this, and where in it are the statements?

``mgconsole`` has three ways to print the rows of ``DUMP DATABASE``: as they are (``--output-format=cypherl``), as a
table (what the runbook's script got, because it is the default) and as CSV. In the last two every row is a quoted
string with escapes of its own. Memgraph Lab and ``cypher-shell`` print CSV without the inner quotes.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from archon_dagster.stores.graph.dump.model import Form, Statement, UnreadableDump
from archon_dagster.stores.graph.dump.splitting import LONGEST, split

_HEAD = 64 << 10  # characters looked at to tell what it is
_NOISE = re.compile(r"(?:mgconsole|memgraph>|Connected to|Type :help|Quit the|\d+ rows? in set|Empty set|Query)", re.I)
_FIRST_WORDS = re.compile(
    r"//|/\*|;|(?:CREATE|MATCH|DROP|ENABLE|SET|USE|STORAGE|ANALYZE|CALL|MERGE|GRANT|ALTER|BEGIN|UNWIND|DELETE)\b", re.I
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_REDO = "make it again with: echo 'DUMP DATABASE;' | mgconsole --output-format=cypherl"


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """The file as text, unpacked where it is gzip; bytes that are not UTF-8 come as lone surrogates."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if packed else raw
            with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="\n") as text:
                yield text
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableDump(f"the gzip file is damaged: {error}", where=str(path), todo=_REDO) from error
    except OSError as error:
        raise UnreadableDump(f"the dump cannot be read: {error.strerror or error}", where=str(path)) from error


def form_of(path: Path) -> Form:
    """What the file is; raises :class:`UnreadableDump` where it is no dump, and says what it seems to be."""
    with opened(path) as text:
        head = text.read(_HEAD)
    if not head.strip():
        raise UnreadableDump(
            "the file is empty: DUMP DATABASE never ran, or the database was empty", where=str(path), todo=_REDO
        )
    for line in head.splitlines():
        if line.startswith(("+-", "| ")):
            return "table"
        if line.startswith('"') or line.strip() == "QUERY":
            return "csv"
        if _FIRST_WORDS.match(line.lstrip()):
            return "statements"
        if line.strip() and not _NOISE.match(line):
            break
    shown = " ".join(head[:120].split())
    raise UnreadableDump(f"this is no dump; it begins with: {shown}", where=str(path), todo=_REDO)


def statements(path: Path) -> Generator[Statement]:
    """Every statement of a dump, whatever its form; in bounded memory."""
    form = form_of(path)
    with opened(path) as text:
        if form == "statements":
            yield from split(text.read, str(path))
        else:
            yield from (_table if form == "table" else _csv)(text, str(path))


# mgconsole's table ---------------------------------------------------------------------------------------------------


def _table(text: IO[str], where: str) -> Iterator[Statement]:
    row, line, rules = "", 0, 0
    for number, raw in _lines(text, where):
        if not row and not raw.startswith("| "):
            rules += raw.startswith("+-")
            continue
        row, line = (row + raw, line) if row else (raw, number)
        if (cell := _cell(row)) is not None:
            if cell != "QUERY":
                yield Statement(line, _unquoted(cell, line, where))
            row = ""
        elif len(row) > LONGEST:
            raise UnreadableDump(f"the row on line {line} is longer than 64 MiB", where=where)
    if row:
        raise UnreadableDump(f"the file ends inside the row on line {line}", where=where, todo=_REDO)
    if rules != 3 and rules != 0:
        raise UnreadableDump("the table has no end: the file was cut off", where=where, todo=_REDO)


def _cell(row: str) -> str | None:
    """What stands between the bars; ``None`` where the row goes on in the next line."""
    row = row.rstrip()
    if len(row) < 4 or not row.endswith("|"):
        return None
    cell = row[2:-1].rstrip(" ")
    return cell if cell.endswith((";", ';"', "...")) or cell == "QUERY" else None


def _unquoted(cell: str, line: int, where: str) -> str:
    if cell.endswith("..."):
        raise UnreadableDump(
            f"the row on line {line} was cut to the width of a screen: the rest of it is nowhere",
            where=where,
            todo=_REDO,
        )
    return _unescaped(cell[1:-1]) if cell.startswith('"') and cell.endswith('"') else cell


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), text) if "\\" in text else text


# CSV -----------------------------------------------------------------------------------------------------------------


def _csv(text: IO[str], where: str) -> Iterator[Statement]:
    row, line = "", 0
    for number, raw in _lines(text, where):
        if not row and raw.strip().strip('"') in ("", "QUERY"):
            continue
        row, line = (row + raw, line) if row else (raw, number)
        field = row.strip()
        if _is_whole(field):
            yield Statement(line, _field(field))
            row = ""
        elif not field.startswith('"'):  # mgconsole's last words
            row = ""
        elif len(row) > LONGEST:
            raise UnreadableDump(f"the row on line {line} is longer than 64 MiB", where=where)
    if row:
        raise UnreadableDump(f"the file ends inside the row on line {line}", where=where, todo=_REDO)


def _is_whole(field: str) -> bool:
    if field.startswith(('"""', '"\\"')):  # mgconsole's own: one line, whatever quotes it holds
        return field.endswith((';"""', ';\\""'))
    return field.endswith('"') and field.count('"') % 2 == 0


def _field(field: str) -> str:
    """A CSV field as the statement it was: quotes doubled or escaped, around a string that may be quoted itself."""
    inner = field[1:-1]
    if inner.startswith('""') and inner.endswith('""'):
        return _unescaped(inner.replace('""', '"')[1:-1])
    if inner.startswith('\\"') and inner.endswith('\\"'):
        return _unescaped(inner.replace('\\"', '"')[1:-1])
    return inner.replace('""', '"') if '""' in inner or '\\"' not in inner else _unescaped(inner)


def _lines(text: IO[str], where: str) -> Iterator[tuple[int, str]]:
    number = 0
    while line := text.readline(LONGEST + 1):
        number += 1
        if len(line) > LONGEST:
            raise UnreadableDump(f"line {number} is longer than 64 MiB", where=where)
        yield number, line
