"""Whom recovery leaves alone now, whatever it looks like: who is in a maintenance window, or was stopped on purpose."""

from __future__ import annotations

from archon_dagster.health import windows
from archon_dagster.platform.services import BY_NAME
from archon_dagster.platform.settings import Settings
from archon_dagster.recovery.isolation import stopped_on_purpose

ON_PURPOSE = "stopped on purpose by an emergency response"


def left_alone(settings: Settings, now: float) -> dict[str, str]:
    """The services that must be neither stopped nor started now, with the reason. :param now: seconds since 1970."""
    stopped = dict.fromkeys(stopped_on_purpose(settings.home, now), ON_PURPOSE)
    return windows.reasons(BY_NAME, settings, now) | stopped
