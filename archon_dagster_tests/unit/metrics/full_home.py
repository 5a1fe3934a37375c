"""A home, and a repository, of which there is something to tell in every metric."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import generate_latest

from archon_dagster.backup.backup import BackupRequest, take_backup
from archon_dagster.health import state as states
from archon_dagster.health.evaluation import ServiceState
from archon_dagster.health.history import History
from archon_dagster.health.knowledge import Knowledge, Tested
from archon_dagster.health.state import MonitorState
from archon_dagster.metrics.gathering import Facts, Source
from archon_dagster.metrics.serving import registry_of
from archon_dagster.metrics.sources import sources
from archon_dagster.platform.services import CATALOGUE
from archon_dagster.platform.settings import Settings
from archon_dagster.restore_drill import record
from archon_dagster.restore_drill.result import DrillResult
from archon_dagster_tests.unit.health.samples import sample
from archon_dagster_tests.unit.platform_double import Platform

WATCHED = tuple(service.name for service in CATALOGUE if service.name != "supabase")


def filled(home: Path) -> Platform:
    """A platform that is well, was looked at just now, backed up, and its backup tried."""
    platform, now = Platform(home), datetime.now(UTC)
    looked(home, now.timestamp())
    manifest = take_backup(platform.context, BackupRequest(quiesce=False)).manifest
    drill = DrillResult(id="0a0b0c0d", backup=manifest.id, at=now, stores=(), rto=12.5)
    record.record(platform.repository, drill)
    return platform


def looked(home: Path, at: float, unwell: tuple[str, ...] = (), cause: str = "") -> None:
    """What the monitor leaves after it has looked. :param cause: who is to blame for the others that are not well."""
    services = {name: ServiceState("unhealthy" if name in unwell else "healthy", since=at) for name in WATCHED}
    causes = {name: (cause,) for name in unwell if cause and name != cause}
    tested = Knowledge(end_to_end=Tested(True, "found", at, 0.4))
    states.save(home, MonitorState(at=at, services=services, causes=causes, known=tested))
    History(home).add([replace(sample("good", at, name), seconds=0.012) for name in WATCHED], at)


def every_source(settings: Settings, schedules: frozenset[str] = frozenset({"daily_backup"})) -> tuple[Source, ...]:
    """Those of the program, with settings that do not come from the environment."""
    return sources(lambda: settings, lambda: schedules)


def exposition(settings: Settings, **options: frozenset[str]) -> str:
    """The text that a scrape would be answered."""
    facts = Facts(every_source(settings, **options))
    facts.look(30.0)
    assert facts.troubles == {}
    return generate_latest(registry_of(facts)).decode()


def names(text: str) -> set[str]:
    """The names of the metrics in an exposition that have a value."""
    return set(re.findall(r"^([a-z_]+)[{ ]", text, re.MULTILINE))
