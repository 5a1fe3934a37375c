"""When nothing is told: the maintenance windows of the health monitor, which are those of alerts too."""

from __future__ import annotations

from datetime import datetime

from archon_dagster.alerts.book import EVERYBODY
from archon_dagster.health import windows
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings


def silences(settings: Settings, now: datetime) -> dict[str, str]:
    """Of whom nothing may be told now, and why; :data:`EVERYBODY` in a window that names no service."""
    return windows.reasons((EVERYBODY, *BY_NAME), settings, now.timestamp())
