"""What the health monitor believes, and when it looked last: if it is silent, that instant stays where it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

from prometheus_client import Metric

from archon_dagster.health import state as states
from archon_dagster.health.evaluation import State
from archon_dagster.health.history import History
from archon_dagster.health.knowledge import Tested
from archon_dagster.metrics.gauge import gauge
from archon_dagster.platform.services import BY_NAME, CATALOGUE
from archon_dagster.platform.settings import Settings

STATES: tuple[str, ...] = get_args(State)
RECENT = 300.0  # seconds; an older response time says nothing of now


def health(settings: Settings, now: float) -> Iterator[Metric]:
    """Of every service of the catalogue what it is, of every watched one how it is."""
    state = states.load(settings.home)
    yield gauge(
        "archon_health_monitor_last_sample_timestamp_seconds",
        "When the health monitor looked last; 0: never.",
        state.at,
    )
    yield gauge(
        "archon_service_info",
        "The services of the catalogue.",
        {(s.name, s.title, _yes(s.critical), _yes(s.external), s.store or ""): 1.0 for s in CATALOGUE},
        ("service", "title", "critical", "external", "store"),
    )
    yield gauge(
        "archon_service_watched",
        "1 for a service that the monitor watches.",
        {(name,): name in state.services for name in BY_NAME},
        ("service",),
    )
    yield gauge(
        "archon_service_state",
        "1 for the confirmed state of a service, 0 for the others.",
        {(name, word): one.state == word for name, one in state.services.items() for word in STATES},
        ("service", "state"),
    )
    yield gauge(
        "archon_service_cause",
        "1 for another service that explains why this one is not well.",
        {(name, cause): 1.0 for name, causes in state.causes.items() for cause in causes},
        ("service", "cause"),
    )
    yield gauge(
        "archon_service_flapping",
        "1 for a service that keeps changing.",
        {(name,): one.flapping for name, one in state.services.items()},
        ("service",),
    )
    yield gauge(
        "archon_service_response_seconds",
        "How long the last answer took; missing where there was none lately.",
        {(name,): seconds for name, seconds in _responses(settings, tuple(state.services), now).items()},
        ("service",),
    )
    yield from _end_to_end(state.known.end_to_end)


def _responses(settings: Settings, services: tuple[str, ...], now: float) -> Mapping[str, float]:
    history = History(settings.home)
    if not history.path.exists():  # it would be made
        return {}
    last = {name: history.of(name, since=now - RECENT, limit=1) for name in services}
    return {name: points[-1].seconds for name, points in last.items() if points and points[-1].seconds is not None}


def _end_to_end(tested: Tested) -> Iterator[Metric]:
    """A document was indexed, found and deleted; nothing where that could not be tested."""
    if tested.passed is None:
        return
    yield gauge("archon_end_to_end_test_passed", "1 if the last marked document was indexed and found.", tested.passed)
    yield gauge("archon_end_to_end_test_timestamp_seconds", "When that was tested.", tested.at)
    if tested.seconds is not None:
        yield gauge("archon_end_to_end_test_duration_seconds", "How long it took.", tested.seconds)


def _yes(value: bool) -> str:
    return "true" if value else "false"
