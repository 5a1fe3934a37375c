"""Who watches the watcher: a health monitor that is off, or dead, tells nobody of anything.

It keeps the time of its last look in the home. When that is too long ago there is an alert, and the heart does not beat
(:mod:`archon_dagster.alerts.heartbeat`): then somebody elsewhere notices it too, also where no channel is configured.
"""

from __future__ import annotations

from datetime import UTC, datetime

from archon_dagster.alerts.alert import Alert
from archon_dagster.errors import ConfigurationError
from archon_dagster.health import silent_after, standing
from archon_dagster.platform.runtime.open import open_runtime
from archon_dagster.platform.settings import Settings

SOURCE = "monitor"
SENSOR = "health_monitor"


def last_look(settings: Settings) -> datetime | None:
    """When the monitor has looked last; ``None``: never here."""
    at = standing(settings.home).at
    return datetime.fromtimestamp(at, UTC) if at else None


def silence(settings: Settings, now: datetime) -> str:
    """In what way the monitor says nothing; empty while it does its work, or there is nothing to look at."""
    looked = last_look(settings)
    if looked is None:
        return "" if nothing_to_watch(settings) else "the health monitor has never looked here"
    if abs(_seconds(now, looked)) <= silent_after(settings.health_interval):
        return ""
    return f"the health monitor is silent since {looked:%Y-%m-%d %H:%M:%S} UTC"


def nothing_to_watch(settings: Settings) -> str:
    """Why there is nothing here that a monitor could look at, and never was; empty where there is."""
    if last_look(settings) is not None:
        return ""
    try:
        open_runtime(settings)
    except ConfigurationError as error:
        return error.what
    return ""


def watched_since(cursor: str | None, now: datetime, interval: float) -> datetime:
    """Since when somebody watches without a gap: after the control plane was down, the monitor is given its time too.

    :param cursor: what :func:`cursor_of` has made; :param interval: of the monitor, in seconds.
    """
    begun, _, last = (cursor or "").partition(" ")
    if not last or not 0 <= _seconds(now, datetime.fromisoformat(last)) <= silent_after(interval):
        return now
    return datetime.fromisoformat(begun)


def cursor_of(since: datetime, now: datetime) -> str:
    """The two instants that :func:`watched_since` needs the next time."""
    return f"{since.isoformat()} {now.isoformat()}"


def alert(settings: Settings, now: datetime, watching_since: datetime, sensor: str, page: str | None) -> Alert | None:
    """The alert about a silent monitor; ``None`` while it speaks, or may still do so.

    :param sensor: what is known of its sensor: that it is off, or how its last tick failed. :param page: of the sensor.
    """
    looked = last_look(settings)
    quiet = max(filter(None, (looked, watching_since)))
    if _seconds(now, quiet) <= silent_after(settings.health_interval):
        return None
    seen = f"it looked last at {looked:%Y-%m-%d %H:%M:%S} UTC" if looked else "it has never looked here"
    return Alert(
        incident=f"{SOURCE}/silent",
        severity="critical",
        title="the health monitor is silent",
        what=f"{seen}; {sensor or 'its sensor is on'}. What fails now is noticed by nobody, and not recovered",
        since=looked or watching_since,
        todo=(
            "look yourself: archon health",
            f"in the UI, Automation, {SENSOR}: switch it on, or read what its last tick says",
            "if the UI does not answer either, start the control plane again: archon up",
        ),
        link=page,
    )


def _seconds(now: datetime, then: datetime) -> float:
    return (now - then).total_seconds()
