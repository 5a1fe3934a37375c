"""What the UI shows of a service: its checks turned red, and are green again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from archon_dagster.cli.instance import open_instance
from archon_dagster.health.samples import facets_of
from archon_dagster.platform.settings import Settings
from drills.waiting import TooLate, wait_for

TOLD_LIMIT = 30.0  # seconds the daemon may take to write what the monitor has found


def not_shown(settings: Settings, services: Sequence[str], since: datetime) -> str:
    """What the checks of those concerned do not show of a failure that is over; nothing where they show all of it."""

    def red() -> list[str]:
        return [name for name in services if not all(_last(settings, name))]

    try:
        wait_for("green checks", lambda: not red(), TOLD_LIMIT, every=1)
    except TooLate:
        return f"still red in the UI: {', '.join(red())}"
    if all(all(_since(settings, name, since)) for name in services):
        return f"no check of {', '.join(services)} has been red in the UI"
    return ""


def _last(settings: Settings, service: str) -> list[bool]:
    """The newest result of each check."""
    return [results[0][1] for results in _results(settings, service) if results]


def _since(settings: Settings, service: str, since: datetime) -> list[bool]:
    """Every result since then."""
    found = [one for results in _results(settings, service) for one in results]
    return [passed for at, passed in found if at >= int(since.timestamp())]  # Dagster's storage knows whole seconds


def _results(settings: Settings, service: str) -> list[list[tuple[float, bool]]]:
    """The results of each check with their times, newest first."""
    from dagster import AssetCheckKey

    from archon_dagster.health.checks import KEYS

    found: list[list[tuple[float, bool]]] = []
    with open_instance(settings) as instance:
        for facet in facets_of(service):
            history = instance.event_log_storage.get_asset_check_execution_history(
                AssetCheckKey(KEYS[service], facet), limit=20
            )
            events = [(one.create_timestamp, one.event.dagster_event) for one in history if one.event is not None]
            found.append([(at, said.asset_check_evaluation_data.passed) for at, said in events if said is not None])
    return found
