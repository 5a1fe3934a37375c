"""What is broken, what would be lost, and what to type next: the facts behind `archon status`.

Everything is asked at once and within a time, so that the answer comes also when every server is frozen. Dagster is
not needed for any of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from archon_dagster.backup.checks import HALVED
from archon_dagster.cli import webserver
from archon_dagster.cli.asking import ask_all
from archon_dagster.errors import RepositoryError, ServiceError
from archon_dagster.platform.probes import probe
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.services import BY_NAME, CATALOGUE
from archon_dagster.platform.settings import Settings
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.repository import Repository
from archon_dagster.restore.journal import JournalFile
from archon_dagster.stores.base import STORES, Description, StoreName
from archon_dagster.stores.open import open_stores

LIMIT = 10.0  # seconds each of the two rounds of questions may take
STALE = 26 * 3600.0  # seconds: a daily backup is overdue


@dataclass(frozen=True)
class ServiceLine:
    """One service as the runtime and its own answer see it."""

    service: str
    state: str
    ready: bool
    answer: str
    seconds: float


@dataclass(frozen=True)
class Loss:
    """A store that holds far fewer records than its last good backup; ``empty`` names what is gone altogether."""

    store: StoreName
    records: int
    in_backup: int
    empty: tuple[str, ...]


@dataclass(frozen=True)
class Backups:
    """The repository at a glance.

    :param last_good: the newest backup of all stores that nothing speaks against.
    :param trouble: what is wrong with the newest backup, or with the repository; empty when nothing is.
    :param at_work: who holds the lock right now, and for what.
    """

    last_good: Manifest | None = None
    newest: str | None = None
    trouble: str = ""
    at_work: str | None = None


@dataclass(frozen=True)
class Status:
    """The whole answer."""

    services: list[ServiceLine]
    last_good_backup: str | None
    last_good_age: float | None
    last_backup_trouble: str | None
    losses: list[Loss]
    uncounted: dict[str, str]
    at_work: str | None
    interrupted_restore: str | None
    webserver: str | None
    next: str

    @property
    def broken(self) -> bool:
        """Something needs a hand: a service, a store's data, or a restore that did not end."""
        down = not self.services or any(not line.ready for line in self.services)
        return down or bool(self.losses or self.interrupted_restore)


def look(settings: Settings) -> Status:
    """Ask the runtime, every service, every store that answers, and the repository."""
    runtime = open_runtime(settings)
    first = ask_all(
        {
            "services": lambda: _services(settings, runtime),
            "backups": lambda: _backups(settings),
            "webserver": lambda: webserver.running_webserver(settings),
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
    journal = JournalFile(settings).read()
    interrupted = f"restore of {journal.backup} at '{journal.step}'" if journal and not backups.at_work else None
    last = backups.last_good
    age = (datetime.now(UTC) - last.window.start).total_seconds() if last else None
    found = Status(
        services,
        last.id if last else None,
        age,
        backups.trouble or None,
        losses,
        uncounted,
        backups.at_work,
        interrupted,
        url if isinstance(url, str) else None,
        "",
    )
    advice = journal.advice if journal and interrupted else advise(found, backups.newest)
    return Status(**{**vars(found), "next": advice})


def _services(settings: Settings, runtime: Runtime) -> list[ServiceLine]:
    states: dict[str, str] = {entry.service: entry.state for entry in runtime.status()}
    if runtime.kind == "elsewhere":
        states = {service.name: "elsewhere" for service in CATALOGUE if service.store}
    answers = ask_all({name: lambda name=name: probe(BY_NAME[name], settings) for name in states}, LIMIT)  # type: ignore[misc]
    lines = []
    for name, state in states.items():
        answer = answers[name]
        if isinstance(answer, Exception):
            lines.append(ServiceLine(name, state, False, str(answer), LIMIT))
        else:
            lines.append(ServiceLine(name, state, answer.ok, answer.text, round(answer.seconds, 3)))
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
    newest = next(ours, None)
    if newest is None or newest.state == "running":
        return Backups(last, None, "", at_work)
    trouble = ""
    if newest.state != "complete":
        trouble = f"backup {newest.id} is {newest.state}: {newest.detail}"
    elif newest.checks is not None and not newest.checks.reliable and not at_work:
        trouble = f"backup {newest.id}: {newest.checks}"
    return Backups(last, newest.id, trouble, at_work)


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
    losses = [
        loss
        for name, answer in described.items()
        if isinstance(answer, Description) and (loss := loss_of(name, answer.counts, captured(last, name)))
    ]
    return losses, {name: str(answer) for name, answer in described.items() if isinstance(answer, Exception)}


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


def advise(found: Status, newest: str | None) -> str:
    """The next command to type."""
    down = [line for line in found.services if not line.ready]
    if not found.services:
        return "start a platform: archon sandbox up"
    if found.at_work:
        return f"wait: {found.at_work} is at work"
    if down:
        return _revive(down)
    if found.losses:
        only = " ".join(f"--only {loss.store}" for loss in found.losses)
        return f"see what a restore would bring back: archon restore {found.last_good_backup} {only} --plan"
    if found.last_backup_trouble:
        look_first = f"archon backups show {newest}; then " if newest else ""
        return f"see why the last backup is not good, take another: {look_first}archon backup"
    if found.last_good_age is None:
        return "take the first backup: archon backup"
    if found.last_good_age > STALE:
        return "the last good backup is more than a day old: archon backup"
    return "nothing"


def _revive(down: list[ServiceLine]) -> str:
    first = down[0]
    if first.state == "elsewhere":
        return f"look at {first.service} where it runs"
    if all(line.state in ("exited", "absent") for line in down) and len(down) > 1:
        return "start what is down: archon sandbox up"
    if first.state in ("exited", "absent"):
        return f"start what is down: archon sandbox start {first.service}"
    return (
        f"start {first.service} anew, it does not answer: "
        f"archon sandbox kill {first.service} && archon sandbox start {first.service}"
    )
