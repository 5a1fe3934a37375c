"""When nothing is told: in a maintenance window, and while the automation is paused."""

from __future__ import annotations

from datetime import datetime

from archon_dagster.alerts.book import EVERYBODY
from archon_dagster.health import windows
from archon_dagster.platform import automation
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings


def silences(settings: Settings, now: datetime) -> dict[str, str]:
    """Of whom nothing may be told now, and why; :data:`EVERYBODY` in a window that names no service."""
    found = windows.reasons((EVERYBODY, *BY_NAME), settings, now.timestamp())
    if pause := automation.paused(settings.home, now):
        found[EVERYBODY] = f"the automation is paused {pause}"
    return found
