"""How the command line speaks: tables for people, JSON for programs, one exit code per kind of outcome.

====  =======================================================
code  meaning
====  =======================================================
0     done, and checked
1     the operation failed
2     wrong usage or settings; nothing was touched
3     no such backup
4     a backup is damaged or failed a check
5     somebody else holds the lock
6     a store or service does not answer
130   interrupted; what was begun has been cleaned up
====  =======================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from archon_dagster import errors

console = Console()
problems = Console(stderr=True)
if not console.is_terminal:
    console.width = 120  # a pipe or a log file has no width of its own, and 80 columns break every table
if not problems.is_terminal:
    problems.width = 120

EXIT_CODES: tuple[tuple[type[errors.ArchonError], int], ...] = (
    (errors.ConfigurationError, 2),
    (errors.ConfirmationMissing, 2),
    (errors.BackupNotFound, 3),
    (errors.DamagedBackup, 4),
    (errors.RepositoryBusy, 5),
    (errors.StoreUnavailable, 6),
    (errors.ServiceError, 6),
    (errors.Cancelled, 130),
)


def exit_code(error: errors.ArchonError) -> int:
    """The exit code of an error; 1 where the table above names no other."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def print_json(value: object) -> None:
    """Write one JSON document to standard output."""
    console.print_json(json.dumps(value, default=_plain), indent=2, highlight=False)


def _plain(value: object) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[str] = (),
    keep: Sequence[str] = (),
) -> Table:
    """A table with a title; the columns named in ``right`` are aligned to the right, those in ``keep`` never wrap."""
    drawn = Table(
        title=title or None, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False
    )
    for column in columns:
        drawn.add_column(
            column, justify="right" if column in right else "left", overflow="fold", no_wrap=column in keep
        )
    for row in rows:
        drawn.add_row(*(str(cell) for cell in row))
    return drawn


def aligned(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> list[Text]:
    """The heads and the rows as lines whose columns stand below each other, for lists with something in between."""
    lines = [[Text.from_markup(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(line[place].cell_len for line in lines) for place in range(len(columns))]
    for line in lines:
        for cell, width, column in zip(line, widths, columns, strict=True):
            cell.align("right" if column in right else "left", width)
    return [_without_end(Text("  ").join(line)) for line in lines]


def _without_end(line: Text) -> Text:
    line.rstrip()
    return line


def hanging(rows: Iterable[tuple[str, str]]) -> Table:
    """Pairs of a word and a text that may be long: the text wraps beside the word, never below it."""
    drawn = Table.grid(padding=(0, 2, 0, 0))
    drawn.add_column(no_wrap=True)
    drawn.add_column(overflow="fold")
    for word, text in rows:
        drawn.add_row(word, text)
    return drawn


def plain(text: str) -> str:
    """Text that came from outside, for a line of the terminal: no markup, no control sequences."""
    return _escaped("".join(letter if letter.isprintable() else " " for letter in text))


def one_line(text: str, longest: int | None = None) -> str:
    """Text without line breaks, cut to ``longest`` characters."""
    line = " ".join(text.split())
    return line if longest is None or len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def show_error(error: errors.ArchonError) -> None:
    """An error as an operator reads it: what failed, what was tried, what to do."""
    head, *rest = str(error).splitlines()
    problems.print(f"[bold red]error:[/] {_escaped(head)}", highlight=False, soft_wrap=True)
    for line in rest:
        problems.print(f"  {_escaped(line)}", highlight=False, soft_wrap=True)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
