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


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> Table:
    """A table with a title; the columns named in ``right`` are aligned to the right."""
    drawn = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for column in columns:
        drawn.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(str(cell) for cell in row))
    return drawn


def show_error(error: errors.ArchonError) -> None:
    """An error as an operator reads it: what failed, what was tried, what to do."""
    head, *rest = str(error).splitlines()
    problems.print(f"[bold red]error:[/] {_escaped(head)}", highlight=False, soft_wrap=True)
    for line in rest:
        problems.print(f"  {_escaped(line)}", highlight=False, soft_wrap=True)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
