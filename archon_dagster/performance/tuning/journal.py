"""What was tuned, with what was there before; written before anything is changed: a killed change can be undone.

One small file in the home; the newest :data:`KEPT` changes, and every older one that is still in force.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from archon_dagster.performance.tuning.effect import Effect
from archon_dagster.performance.tuning.options import Value
from archon_dagster.platform.whole_files import read, write

KEPT = 50
State = Literal["begun", "applied", "overwritten", "put back", "undone"]
IN_FORCE: tuple[State, ...] = ("begun", "applied", "overwritten")
"""What an undo has something to undo of: a change that was killed, one that holds, one that a service wrote over."""


class Tuned(BaseModel):
    """A change of one collection.

    :param change: the same for all that one command did. :param at: seconds since the epoch.
    :param before: what was there, of the settings that were changed only.
    """

    model_config = ConfigDict(frozen=True)

    change: str
    at: float
    collection: str
    before: dict[str, Value]
    wanted: dict[str, Value]
    state: State = "begun"
    effect_before: Effect | None = None
    effect_after: Effect | None = None
    detail: str = ""


_FILE: TypeAdapter[list[Tuned]] = TypeAdapter(list[Tuned])


def path(home: Path) -> Path:
    """Where the journal is."""
    return home / "performance" / "tuning.json"


def load(home: Path) -> list[Tuned]:
    """Every change that is known, oldest first."""
    return read(path(home), _FILE) or []


def note(home: Path, changes: Sequence[Tuned]) -> None:
    """Put these in the place of what the journal says of them, or behind the others."""
    new = {(one.change, one.collection): one for one in changes}
    known = [new.pop((one.change, one.collection), one) for one in load(home)] + list(new.values())
    write(path(home), _FILE, [*(one for one in known[:-KEPT] if one.state in IN_FORCE), *known[-KEPT:]])


def last_in_force(home: Path) -> list[Tuned]:
    """What the newest change that was not undone did; nothing where there is none."""
    there = [one for one in load(home) if one.state in IN_FORCE]
    return [one for one in there if one.change == there[-1].change]


def expected(home: Path) -> dict[str, dict[str, Value]]:
    """The values that should be there by collection: of every change that holds, newer ones over older ones."""
    found: dict[str, dict[str, Value]] = {}
    for one in load(home):
        if one.state in ("applied", "overwritten"):
            found.setdefault(one.collection, {}).update(one.wanted)
    return found
