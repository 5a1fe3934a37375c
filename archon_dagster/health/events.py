"""Confirmed changes, as lines of JSON in the home, in order, for whoever acts on them.

A line is written and flushed to disk before the monitor's state is: a change is never lost, at worst it is told twice,
by a tick that was killed in between and by the next one. The file is bounded: it moves to ``changes.jsonl.1`` when it
is full, and the older one goes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from archon_dagster.health.evaluation import Change

LARGEST = 1 << 20  # bytes of one file


@dataclass(frozen=True, slots=True)
class Event:
    """One confirmed change.

    :param sequence: rises by one from event to event.
    :param causes: unwell services outside of this one that explain it; none: it failed on its own.
    """

    sequence: int
    change: Change
    causes: tuple[str, ...] = ()


_LINE: TypeAdapter[Event] = TypeAdapter(Event)


def path(home: Path) -> Path:
    """Where the newest are."""
    return home / "health" / "changes.jsonl"


def append(home: Path, events: Iterable[Event]) -> None:
    """Write them, to the disk."""
    file = path(home)
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists() and file.stat().st_size > LARGEST:
        file.replace(_older(file))
    lines = b"".join(_LINE.dump_json(event) + b"\n" for event in events)
    with file.open("ab") as stream:
        if stream.tell() and not _ends_with_newline(file):
            stream.write(b"\n")  # a write that was cut short by a crash
        stream.write(lines)
        stream.flush()
        os.fsync(stream.fileno())


def read(home: Path, after: int = 0) -> list[Event]:
    """The events with a higher number, in order; what a crash has cut short is left out."""
    found: dict[int, Event] = {}
    for file in (_older(path(home)), path(home)):
        try:
            lines = file.read_bytes().splitlines()
        except FileNotFoundError:
            continue
        for line in lines:
            try:
                event = _LINE.validate_json(line)
            except ValidationError:
                continue
            if event.sequence > after:
                found[event.sequence] = event
    return [found[number] for number in sorted(found)]


def newest(home: Path) -> int:
    """The number of the last event; 0 where there is none."""
    events = read(home)
    return events[-1].sequence if events else 0


def _older(file: Path) -> Path:
    return file.with_name(f"{file.name}.1")


def _ends_with_newline(file: Path) -> bool:
    with file.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"
