"""Which backup an operator means: an id, a unique prefix of one, a date, or ``latest``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence

from archon_dagster.errors import BackupNotFound, DamagedBackup
from archon_dagster.repository.backends.base import ObjectUnreadable
from archon_dagster.repository.catalogue import Catalogue, Entry
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.verification import CheckRecord, failed_checks


class Selection:
    """Resolves selectors against a catalogue.

    :param checks: what checks have found about a backup, by its id.
    """

    def __init__(self, catalogue: Catalogue, checks: Callable[[str], Sequence[CheckRecord]]):
        self._catalogue = catalogue
        self._checks = checks

    def resolve(self, selector: str, stores: Iterable[str] | None = None) -> Manifest:
        """The one complete backup a selector means; see :meth:`Repository.resolve`."""
        entries = self._catalogue.entries()
        wanted = frozenset(stores or ())
        if selector == "latest":
            return self._latest(entries, wanted)
        if re.fullmatch(r"\d{8}", selector):
            return self._newest_of_day(entries, selector, wanted)
        entry = self._by_id(entries, selector)
        if missing := _missing(entry, wanted):
            raise BackupNotFound(f"backup {entry.id} does not contain {missing}", where=self._catalogue.describe(),
                                 todo="choose another backup, or restore what this one contains")  # fmt: skip
        return self._catalogue.manifest(entry.id)

    def _latest(self, entries: Sequence[Entry], wanted: frozenset[str]) -> Manifest:
        passed_over: list[str] = []
        for entry in entries:
            if (reason := self._not_latest(entry, wanted)) is None:
                try:
                    return self._catalogue.manifest(entry.id)
                except (DamagedBackup, ObjectUnreadable) as error:  # changed without a trace in the listing
                    reason = error.what
            passed_over.append(f"{entry.id}: {reason}")
        raise BackupNotFound(
            f"no backup qualifies as latest{f' for {_names(wanted)}' if wanted else ''}",
            where=self._catalogue.describe(),
            tried="; ".join(passed_over[:5]) or "the repository holds no backup",
            todo="make a backup (`archon backup`), or name one by its id to use it all the same",
        )

    def _not_latest(self, entry: Entry, wanted: frozenset[str]) -> str | None:
        """Why an entry cannot be ``latest``."""
        if entry.state != "complete" or entry.summary is None:
            return f"{entry.state}, {entry.detail}"
        if entry.summary.kind == "safety":
            return "a safety backup"
        if missing := _missing(entry, wanted):
            return f"does not contain {missing}"
        if failed := failed_checks(self._checks(entry.id)):
            return f"failed check {', '.join(check.name for check in failed)}"
        return None

    def _newest_of_day(self, entries: Sequence[Entry], day: str, wanted: frozenset[str]) -> Manifest:
        same_day = [entry for entry in entries if entry.id.startswith(day) and entry.state == "complete"]
        for entry in same_day:
            if not _missing(entry, wanted):
                return self._catalogue.manifest(entry.id)
        what = f"no backup of {day[:4]}-{day[4:6]}-{day[6:]} (UTC)"
        raise self._not_found(f"{what} contains {_names(wanted)}" if same_day else what, day, entries)

    def _by_id(self, entries: Sequence[Entry], selector: str) -> Entry:
        matches = [entry for entry in entries if selector and entry.id.startswith(selector)]
        whole = [entry for entry in matches if entry.state in ("complete", "damaged")]
        if len(whole) > 1:
            raise BackupNotFound(
                f"{selector!r} is not unique: {_shown(whole)}",
                where=self._catalogue.describe(),
                todo="type more of the id",
            )
        if whole:
            return whole[0]
        if matches:
            raise self._not_found(f"backup {matches[0].id} is not complete: {matches[0].detail}", selector, entries)
        raise self._not_found(f"there is no backup {selector!r}", selector, entries)

    def _not_found(self, what: str, selector: str, entries: Sequence[Entry]) -> BackupNotFound:
        complete = [entry for entry in entries if entry.state == "complete"]
        near = difflib.get_close_matches(selector, [entry.id for entry in complete], n=3, cutoff=0.5)
        there_are = f"there are {len(complete)}: {_shown(complete)}" if complete else "the repository holds no backup"
        return BackupNotFound(
            what,
            where=self._catalogue.describe(),
            tried=f"near matches: {', '.join(near)}; {there_are}" if near else there_are,
            todo="name a backup by id, unique prefix, date (YYYYMMDD) or `latest`; `archon backups` lists them",
        )


def _missing(entry: Entry, wanted: frozenset[str]) -> str:
    return _names(wanted - set(entry.summary.stores)) if entry.summary else ""


def _names(stores: Iterable[str]) -> str:
    return ", ".join(sorted(stores))


def _shown(entries: Sequence[Entry], most: int = 8) -> str:
    rest = f" and {len(entries) - most} more" if len(entries) > most else ""
    return ", ".join(entry.id for entry in entries[:most]) + rest
