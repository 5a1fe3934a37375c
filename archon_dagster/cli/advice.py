"""The next command to type, of everything `archon status` has found: what is lost first, what is merely untidy last.

A night is short: one command at a time, the one without which the others are of no use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from archon_dagster.cli.found import IncidentLine, ServiceLine, Status
from archon_dagster.platform.absence import HOW_TO_START
from archon_dagster.platform.services import BY_NAME

STALE = 26 * 3600.0  # seconds: a daily backup is overdue
_STOPPED = ("exited", "absent")
_START = {"processes": "archon sandbox start {0}", "compose": "docker compose up -d {0}"}
_RESTART = {
    "processes": "archon sandbox kill {0} && archon sandbox start {0}",
    "compose": "docker compose restart {0}",
}
"""What an operator types for one service, by the kind of the runtime."""


def advise(found: Status) -> str:
    """The next command to type, or ``nothing``."""
    if not found.services:
        return f"start a platform: {HOW_TO_START[found.runtime]}"
    if found.at_work:
        return f"wait: {found.at_work} is at work"
    return next(filter(None, (about(found) for about in _RANKED)), "nothing")


def _lost_data(found: Status) -> str:
    """Stores that an interrupted restore has begun to fill are left to that one: it has to be finished."""
    lost = [loss.store for loss in found.losses if loss.store not in found.half_restored]
    if not lost:
        return ""
    only = " ".join(f"--only {store}" for store in lost)
    return f"see what a restore would bring back: archon restore {found.last_good_backup} {only} --plan"


def _store_down(found: Status) -> str:
    stores = [line for line in _down(found) if BY_NAME[line.service].store]
    return _revive(found, stores, _down(found)) if stores else ""


def _interrupted(found: Status) -> str:
    return found.interrupted_advice or ""


def _half_changed(found: Status) -> str:
    return found.change_advice or ""


def _escalated(found: Status) -> str:
    """An incident in which the automation has given up."""
    return next((_by_hand(one) for one in found.escalated), "")


def _service_down(found: Status) -> str:
    down = _down(found)
    ours = [line for line in down if not BY_NAME[line.service].external]
    if ours:
        return _revive(found, ours, ours)
    return _look_there(down[0]) if down else ""


def _degraded(found: Status) -> str:
    names = [line.service for line in found.services if line.degraded]
    return f"see what is wrong with {', '.join(names[:2])}: archon health" if names else ""


def _backup(found: Status) -> str:
    if found.last_backup_trouble:
        look_first = f"archon backups show {found.newest_backup}; then " if found.newest_backup else ""
        return f"see why the last backup is not good, take another: {look_first}archon backup"
    if found.last_good_age is None:
        return "take the first backup: archon backup"
    if found.last_good_age > STALE:
        return "the last good backup is more than a day old: archon backup"
    return ""


def _alerts(found: Status) -> str:
    return "see why alerts do not arrive: archon alerts list" if found.alert_troubles else ""


_RANKED: tuple[Callable[[Status], str], ...] = (
    _lost_data, _store_down, _interrupted, _half_changed, _escalated, _service_down, _degraded, _backup,
    _alerts,
)  # fmt: skip


def _down(found: Status) -> list[ServiceLine]:
    return [line for line in found.services if not line.ready and not line.degraded]


def _revive(found: Status, first: Sequence[ServiceLine], down: Sequence[ServiceLine]) -> str:
    """How to start what is down; where the automation has tried and given up, what its incident says."""
    one = first[0]
    for incident in found.escalated:
        if one.service in incident.services:
            return _by_hand(incident)
    if found.runtime not in _START:
        return _look_there(one)
    if len(down) > 1 and all(line.state in _STOPPED for line in down):
        return f"start what is down: {HOW_TO_START[found.runtime]}"
    if one.state in _STOPPED:
        return f"start what is down: {_START[found.runtime].format(one.service)}"
    return f"start {one.service} anew, it does not answer: {_RESTART[found.runtime].format(one.service)}"


def _look_there(line: ServiceLine) -> str:
    return f"look at {line.service} where it runs ({BY_NAME[line.service].address_setting})"


def _by_hand(incident: IncidentLine) -> str:
    return f"incident {incident.id} needs a person: {incident.command or f'archon incidents show {incident.id}'}"
