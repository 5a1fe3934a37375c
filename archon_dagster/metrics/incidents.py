"""What broke and is not over, how often recovery acted on whom, and whether it is stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import Metric

from archon_dagster.metrics.gauge import gauge
from archon_dagster.platform import automation
from archon_dagster.platform.services import CATALOGUE
from archon_dagster.platform.settings import Settings
from archon_dagster.recovery.book import Book

STATES = ("open", "escalated")


def incidents(settings: Settings, now: float) -> Iterator[Metric]:
    """Of the incidents in the home, and of the switch that stops the automation."""
    book, instant = Book(settings.home), datetime.fromtimestamp(now, UTC)
    standing = Counter[str](incident.state for incident in book.open())
    yield gauge(
        "archon_incidents",
        "Incidents that are not over: open (recovery is at it), escalated (a person is needed).",
        {(state,): standing[state] for state in STATES},
        ("state",),
    )
    # not a counter: old incidents are removed, and a number that falls would be taken for a new beginning
    acted = book.recent(instant)
    yield gauge(
        "archon_recovery_actions_last_hour",
        "How often a service was restarted, recreated or restored within the last hour.",
        {(service.name,): acted.get(service.name, 0) for service in CATALOGUE if not service.external},
        ("service",),
    )
    paused = automation.paused(settings.home, instant) is not None
    yield gauge("archon_automation_paused", "1 while every automatic action is stopped.", paused)
