"""What is broken, what would be lost, who is at it: the facts behind `archon status`.

Everything is asked at once and within a time, so that the answer comes also when every server is frozen. Dagster is
not needed for any of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from archon_dagster.alerts.alerting import troubles_of
from archon_dagster.backup.checks import HALVED
from archon_dagster.backup.summary import duration_text
from archon_dagster.cli import webserver
from archon_dagster.cli.advice import advise
from archon_dagster.cli.asking import ask_all
from archon_dagster.cli.found import IncidentLine, Loss, ServiceLine, Status
from archon_dagster.configuration.status import standing
from archon_dagster.errors import RepositoryError, ServiceError
from archon_dagster.health.consistency import DATABASE_GONE
from archon_dagster.platform import automation
from archon_dagster.platform.probes import address, probe
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.services import BY_NAME, CATALOGUE
from archon_dagster.platform.settings import Settings
from archon_dagster.recovery.book import Book
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.repository import Repository
from archon_dagster.restore.journal import JournalFile, interrupted_elsewhere
from archon_dagster.restore_drill import record
from archon_dagster.stores.base import STORES, Description, StoreName
from archon_dagster.stores.open import open_stores

LIMIT = 10.0  # seconds each of the two rounds of questions may take


@dataclass(frozen=True)
class Backups:
    """The repository at a glance.

    :param last_good: the newest backup of all stores that nothing speaks against.
    :param trouble: what is wrong with the newest backup, or with the repository; empty when nothing is.
    :param at_work: who holds the lock right now, and for what.
    :param last_drill: what the newest restore drill came to.
    """

    last_good: Manifest | None = None
    newest: str | None = None
    trouble: str = ""
    at_work: str | None = None
    last_drill: str | None = None


def look(settings: Settings) -> Status:
    """Ask the runtime, every service, every store that answers, the repository, and what this home remembers."""
    runtime, now = open_runtime(settings), datetime.now(UTC)
    first = ask_all(
        {
            "services": lambda: _services(settings, runtime),
            "backups": lambda: _backups(settings),
            "webserver": lambda: webserver.running_webserver(settings),
            "incidents": lambda: _incidents(settings),
            "alerts": lambda: troubles_of(settings, now),
        },
        LIMIT + 5.0,  # the services have a limit of their own
    )
    services, backups, url = first["services"], first["backups"], first["webserver"]
    if not isinstance(services, list):
        raise (
            services if isinstance(services, ServiceError) else ServiceError(f"the runtime does not answer: {services}")
        )
    if not isinstance(backups, Backups):
        backups = Backups(trouble=f"the repository does not answer: {backups}")
    losses, uncounted = _losses(settings, runtime, services, backups.last_good)
    incidents, alerts = first["incidents"], first["alerts"]
    last, pause = backups.last_good, automation.paused(settings.home, now)
    found = Status(
        services=services,
        runtime=runtime.kind,
        last_good_backup=last.id if last else None,
        last_good_age=(now - last.window.start).total_seconds() if last else None,
        newest_backup=backups.newest,
        last_backup_trouble=backups.trouble or None,
        losses=tuple(losses),
        uncounted=uncounted,
        at_work=backups.at_work,
        last_restore=_last_restore(settings, now),
        last_drill=backups.last_drill,
        incidents=incidents if isinstance(incidents, tuple) else (),
        automation_paused=str(pause) if pause else None,
        alert_troubles=tuple(alerts) if isinstance(alerts, list) else (str(alerts),),
        webserver=url if isinstance(url, str) else None,
    )
    found = found if backups.at_work else _with_change(_with_interrupted(found, settings), settings)
    return replace(found, next=advise(found))


def _incidents(settings: Settings) -> tuple[IncidentLine, ...]:
    """The open ones, oldest first."""
    return tuple(
        IncidentLine(one.id, one.title, one.state, one.services, (one.commands or ("",))[0])
        for one in Book(settings.home).open()
    )


def _with_interrupted(found: Status, settings: Settings) -> Status:
    """With the restores that did not come to an end: of this platform, and those begun here into another one."""
    own = JournalFile(settings).read()
    journals = [*([own] if own else []), *interrupted_elsewhere(settings.home)]
    if not journals:
        return found
    return replace(
        found,
        interrupted_restore="; ".join(journal.what for journal in journals),
        interrupted_advice=journals[0].advice,
        half_restored=own.touched if own else (),
    )


def _with_change(found: Status, settings: Settings) -> Status:
    """With the change of the configuration that did not come to an end."""
    stands = standing(settings)
    if stands.interrupted is None:
        return found
    said = f"{stands.interrupted.what}; {stands.says}"
    return replace(found, interrupted_change=said, change_advice=stands.interrupted.advice)


def _last_restore(settings: Settings, now: datetime) -> str | None:
    done = JournalFile(settings).last()
    if done is None:
        return None
    by = f", from the platform at {done.by}" if done.by else ""
    back = f"; go back: {done.undo}" if done.undo else ""
    return f"backup {done.backup}, {duration_text((now - done.at).total_seconds())} ago{by}{back}"


def _services(settings: Settings, runtime: Runtime) -> list[ServiceLine]:
    states: dict[str, str] = {entry.service: entry.state for entry in runtime.status()}
    if runtime.kind == "elsewhere":
        states = {service.name: "elsewhere" for service in CATALOGUE if service.store}
    if states:  # without a platform nobody cares what it would use
        states |= {one.name: "external" for one in CATALOGUE if one.external and address(one, settings)}
    answers = ask_all({name: lambda name=name: probe(BY_NAME[name], settings) for name in states}, LIMIT)  # type: ignore[misc]
    lines = []
    for name, state in states.items():
        answer = answers[name]
        if isinstance(answer, Exception):
            lines.append(ServiceLine(name, state, False, str(answer), LIMIT))
        else:
            seconds = round(answer.seconds, 3)
            lines.append(ServiceLine(name, state, answer.ok, answer.text, seconds, answer.degraded))
    return lines


def _backups(settings: Settings) -> Backups:
    if settings.repository_setting is None and not Path(settings.repository).exists():
        return Backups()  # the default one, which the first backup makes
    try:
        repository = Repository.open(settings.repository)
    except RepositoryError as error:
        return Backups(trouble=error.what)
    holder = repository.holder()
    at_work = f"{holder.purpose} since {holder.since:%Y-%m-%d %H:%M:%S} UTC" if holder else None
    try:
        last: Manifest | None = repository.resolve("latest", stores=STORES)
    except RepositoryError:
        last = None
    entries = repository.backups(checks=True)
    ours = (one for one in entries if one.summary is None or one.summary.kind in ("scheduled", "manual"))
    newest, drill = next(ours, None), record.last(repository)
    drilled = drill.line if drill else None
    if newest is None or newest.state == "running":
        return Backups(last, None, "", at_work, drilled)
    trouble = ""
    if newest.state != "complete":
        trouble = f"backup {newest.id} is {newest.state}: {newest.detail}"
    elif newest.checks is not None and not newest.checks.reliable and not at_work:
        trouble = f"backup {newest.id}: {newest.checks}"
    return Backups(last, newest.id, trouble, at_work, drilled)


def _losses(
    settings: Settings, runtime: Runtime, services: list[ServiceLine], last: Manifest | None
) -> tuple[list[Loss], dict[str, str]]:
    """Stores with far fewer records than the last good backup has, and those that could not be counted."""
    if last is None:
        return [], {}
    ready = {BY_NAME[line.service].store for line in services if line.ready} | {"configuration"}
    stores = {name: store for name, store in open_stores(settings, runtime).items() if name in ready}
    answers = ask_all({name: store.describe for name, store in stores.items()}, LIMIT)
    described = {name: answers[name] for name in stores}
    counted = {name: counts for name, answer in described.items() if (counts := _counts_of(answer)) is not None}
    found = (loss_of(name, counts, captured(last, name)) for name, counts in counted.items())
    return [loss for loss in found if loss], {
        name: str(answer).splitlines()[0]
        for name, answer in described.items()
        if isinstance(answer, Exception) and name not in counted
    }


def _counts_of(answer: object) -> Mapping[str, int] | None:
    """What a store holds; a database that does not exist holds nothing, and ``None`` is not known."""
    if isinstance(answer, Description):
        return answer.counts
    return {} if DATABASE_GONE.search(str(answer)) else None


def captured(manifest: Manifest, store: StoreName) -> dict[str, int]:
    """Records per part as captured; what is beside the content (roles) has no fingerprint, and no live count."""
    found: dict[str, int] = {}
    for artifact in manifest.of_store(store):
        found |= artifact.counts if artifact.fingerprint else {}
    return found


def loss_of(store: StoreName, now: Mapping[str, int], before: Mapping[str, int]) -> Loss | None:
    """What a store has lost: a part that is empty or gone, or more than half of all its records."""
    empty = tuple(part for part, count in before.items() if count and not now.get(part))
    have, had = sum(now.values()), sum(before.values())
    return Loss(store, have, had, empty) if empty or have < had * HALVED else None
