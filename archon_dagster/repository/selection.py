"""Which backup an operator means: an id, a unique prefix of one, a date, or ``latest``.

A newer backup that ``latest`` passes over because something speaks against it goes to the log with the reason, as does
a date that means a backup nobody should take for a good one: the choice must not be a surprise.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Iterable, Sequence

from archon_dagster.errors import BackupNotFound, DamagedBackup
from archon_dagster.repository.backends.base import ObjectUnreadable
from archon_dagster.repository.catalogue import Catalogue, Entry
from archon_dagster.repository.check_state import state_of
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.verification import CheckRecord

NO_BACKUPS = "no backups yet"
_log = logging.getLogger(__name__)

_ASIDE = {"safety": "a safety backup, taken before a restore", "imported": "an import of another tool's backup"}
"""Kinds that ``latest`` never means."""


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
        if not entries:
            raise BackupNotFound(NO_BACKUPS, where=self._catalogue.describe(), tried="the repository holds no backup",
                                 todo="take the first one: archon backup")  # fmt: skip
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
        against: list[str] = []
        for entry in entries:
            reason, surprise = self._not_latest(entry, wanted)
            if not reason:
                try:
                    manifest = self._catalogue.manifest(entry.id)
                except (DamagedBackup, ObjectUnreadable) as error:  # changed without a trace in the listing
                    reason, surprise = error.what, True
                else:
                    self._report(entry.id, against)
                    return manifest
            passed_over.append(f"{entry.id}: {reason}")
            against += [passed_over[-1]] if surprise else []
        raise BackupNotFound(
            f"no backup qualifies as latest{f' for {_names(wanted)}' if wanted else ''}",
            where=self._catalogue.describe(),
            tried="; ".join(passed_over[:5]) or "the repository holds no backup",
            todo="make a backup (`archon backup`), or name one by its id to use it all the same",
        )

    def _not_latest(self, entry: Entry, wanted: frozenset[str]) -> tuple[str, bool]:
        """Why an entry cannot be ``latest`` (empty: it can), and whether that may be a surprise."""
        if entry.state != "complete" or entry.summary is None:
            return f"{entry.state}, {entry.detail}", entry.state in ("damaged", "newer")
        if entry.summary.kind in _ASIDE:
            return _ASIDE[entry.summary.kind], False
        if missing := _missing(entry, wanted):
            return f"does not contain {missing}", False
        checks = state_of(self._checks(entry.id))
        return ("", False) if checks.reliable else (str(checks), True)

    def _report(self, chosen: str, against: Sequence[str]) -> None:
        if against:
            where, reasons = self._catalogue.describe(), "; ".join(against[:5])
            _log.warning("latest is %s in %s; newer backups were passed over: %s", chosen, where, reasons)

    def _newest_of_day(self, entries: Sequence[Entry], day: str, wanted: frozenset[str]) -> Manifest:
        # the two differ where a clock was set back, see `new_backup_id`
        same_day = [entry for entry in entries if day in (entry.id[:8], f"{entry.created:%Y%m%d}")]
        complete = [entry for entry in same_day if entry.state == "complete"]
        for entry in complete:
            if not _missing(entry, wanted):
                self._warn_of(entry, day)
                return self._catalogue.manifest(entry.id)
        what = f"no backup of {day[:4]}-{day[4:6]}-{day[6:]} (UTC)"
        if complete:
            what = f"{what} contains {_names(wanted)}"
        elif same_day:
            others = "; ".join(f"{entry.id} is {entry.state}: {entry.detail}" for entry in same_day[:3])
            what = f"{what} can be restored ({others})"
        raise self._not_found(what, day, entries)

    def _warn_of(self, entry: Entry, day: str) -> None:
        aside = _ASIDE.get(entry.summary.kind) if entry.summary else None
        reasons = [f"it is {aside}"] if aside else []
        checks = state_of(self._checks(entry.id))
        reasons += [] if checks.reliable else [str(checks)]
        if reasons:
            _log.warning("%s means %s, and %s", day, entry.id, "; ".join(reasons))

    def _by_id(self, entries: Sequence[Entry], selector: str) -> Entry:
        matches = [entry for entry in entries if selector and entry.id.startswith(selector)]
        whole = [entry for entry in matches if entry.state in ("complete", "damaged", "newer")]
        if len(whole) > 1:
            raise BackupNotFound(
                f"{selector!r} is not unique: {_shown(whole)}",
                where=self._catalogue.describe(),
                todo="type more of the id",
            )
        if whole:
            return whole[0]
        if matches:
            what = "is missing" if matches[0].state == "missing" else "is not complete"
            raise self._not_found(f"backup {matches[0].id} {what}: {matches[0].detail}", selector, entries)
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
