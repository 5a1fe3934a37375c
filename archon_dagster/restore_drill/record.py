"""The result of a drill beside the backup, as a check of it; and the last one there was.

A drill that has failed keeps the backup out of ``latest`` until another one of at least the same stores has passed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from archon_dagster.backup.summary import duration_text
from archon_dagster.platform import whole_files
from archon_dagster.platform.objectives import restore_objective
from archon_dagster.repository.repository import Repository
from archon_dagster.repository.verification import CheckRecord, check_of, list_records, newest_checks, read_records
from archon_dagster.restore_drill.bench import root
from archon_dagster.restore_drill.result import DrillResult

CHECK = "drill"
_STORES = re.compile(r"^of (?P<stores>[a-z, ]+): ")
_FILE: TypeAdapter[DrillResult] = TypeAdapter(DrillResult)


@dataclass(frozen=True)
class LastDrill:
    """The newest drill of any backup that is in the repository."""

    backup: str
    check: CheckRecord

    @property
    def line(self) -> str:
        """For a page with many other things on it."""
        if not self.check.passed:
            return f"backup {self.backup} FAILED its drill: {self.check.detail}"
        named = _STORES.match(self.check.detail)
        stores = f"{named['stores']} of " if named else ""
        took = f" in {duration_text(self.check.seconds)}" if self.check.seconds is not None else ""
        return f"{stores}backup {self.backup}: restored and compared{took}"


def record(repository: Repository, result: DrillResult) -> bool:
    """Keep it as a check, unless it would clear a failure of stores it has not tried; whether it is kept."""
    if result.passed and not _may_clear(repository, result):
        return False
    seconds = result.rto if result.passed else None
    check = CheckRecord(name=CHECK, passed=result.passed, detail=detail(result), time=result.at, seconds=seconds)
    repository.record(result.backup, check)
    return True


def detail(result: DrillResult) -> str:
    """One line: the stores, the time beside the objective, what each store took, and on which servers."""
    begin = f"of {', '.join(result.names)}: "
    if not result.passed:
        return begin + result.wrong
    incident, objective = restore_objective(len(result.stores))
    took = ", ".join(
        f"{one.store} {one.size} B in {one.restored:.3f} s" for one in result.stores if one.restored is not None
    )
    servers = ", ".join(dict.fromkeys(one.server for one in result.stores if one.server))
    return f"{begin}{result.rto:.1f} s, objective for {incident} {objective.target:.0f} s; {took}; on {servers}"


def last(repository: Repository) -> LastDrill | None:
    """The newest one; of all the records of checks only that one is read."""
    found = [
        (key, backup, info)
        for backup, listed in list_records(repository.backend).items()
        for key, info in listed.items()
        if check_of(key) == CHECK
    ]
    if not found:
        return None
    _, backup, info = max(found, key=lambda one: one[0].rpartition("/")[2])
    return next((LastDrill(backup, check) for check in read_records(repository.backend, [info])), None)


def keep(home: Path, result: DrillResult) -> None:
    """Remember the whole result in the home, for ``archon drill status``."""
    whole_files.write(_path(home), _FILE, result)


def load(home: Path) -> DrillResult | None:
    """The last whole result of this home."""
    return whole_files.read(_path(home), _FILE)


def _path(home: Path) -> Path:
    return root(home) / "last.json"


def _may_clear(repository: Repository, result: DrillResult) -> bool:
    newest = {check.name: check for check in newest_checks(repository.checks(result.backup))}
    before = newest.get(CHECK)
    if before is None or before.passed:
        return True
    named = _STORES.match(before.detail)
    return named is not None and set(named["stores"].split(", ")) <= set(result.names)
