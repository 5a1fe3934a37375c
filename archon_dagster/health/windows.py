"""Maintenance windows: planned ones from the settings, and ad hoc ones that expire by themselves.

Ad hoc windows are a small JSON file in the home, with who opened each and why.
"""

from __future__ import annotations

import getpass
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, TypeAdapter

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform import cron
from archon_dagster.platform.health_settings import Window
from archon_dagster.platform.settings import Settings
from archon_dagster.platform.whole_files import read, write

LONGEST = 7 * 24 * 3600.0  # seconds; who needs longer should not watch the service at all


class AdHoc(BaseModel):
    """A window opened by hand. Times are seconds since the epoch; no services: all of them."""

    model_config = ConfigDict(frozen=True)

    id: str
    start: float
    end: float
    services: tuple[str, ...] = ()
    why: str
    who: str

    def covers(self, service: str, now: float) -> bool:
        """Whether the service is in this window now."""
        return self.start <= now < self.end and (not self.services or service in self.services)


_FILE: TypeAdapter[list[AdHoc]] = TypeAdapter(list[AdHoc])


def path(home: Path) -> Path:
    """Where the ad hoc windows are."""
    return home / "health" / "maintenance.json"


def open_window(
    home: Path, seconds: float, why: str, now: float, services: Iterable[str] = (), who: str | None = None
) -> AdHoc:
    """Open a window now; it ends by itself after ``seconds``."""
    if not 0 < seconds <= LONGEST:
        raise ConfigurationError(
            f"a maintenance window lasts more than nothing and at most seven days, not {seconds:g} s",
            todo="choose an end; a service that nobody should watch is left out with ARCHON_HEALTH_WATCHED",
        )
    if not why.strip():
        raise ConfigurationError("a maintenance window needs a reason", todo='say why, e.g. --why "disk is replaced"')
    opened = AdHoc(
        id=uuid.uuid4().hex[:8], start=now, end=now + seconds, services=tuple(services), why=why.strip(),
        who=who or _user(),
    )  # fmt: skip
    with _lock(home):
        write(path(home), _FILE, [*ad_hoc(home, now), opened])
    return opened


def close_windows(home: Path, now: float, window_id: str | None = None) -> list[AdHoc]:
    """End one window, or all that are open; which they were."""
    with _lock(home):
        there = ad_hoc(home, now)
        closed = [one for one in there if window_id in (None, one.id)]
        write(path(home), _FILE, [one for one in there if one not in closed])
    return closed


def ad_hoc(home: Path, now: float) -> list[AdHoc]:
    """The ad hoc windows that have not ended; none where the file is damaged (it is set aside, and the log says so)."""
    return [one for one in read(path(home), _FILE) or [] if one.end > now]


def reasons(services: Iterable[str], settings: Settings, now: float) -> dict[str, str]:
    """Why each of these services is in maintenance now; those that are not are left out."""
    by_hand, zone = ad_hoc(settings.home, now), ZoneInfo(settings.timezone)
    planned = [(window, end) for window in settings.health_windows if (end := _end(window, zone, now)) is not None]
    found: dict[str, str] = {}
    for service in services:
        for window, until in planned:
            if not window.services or service in window.services:
                found[service] = f"maintenance until {_clock(until, zone)}: {window.why}"
        for one in by_hand:
            if one.covers(service, now):
                found[service] = f"maintenance until {_clock(one.end, zone)} ({one.who}): {one.why}"
    return found


def _end(window: Window, zone: ZoneInfo, now: float) -> float | None:
    """When an open window ends; ``None`` where it is not open."""
    lasts = timedelta(minutes=window.minutes)
    start = cron.last_start(window.cron, datetime.fromtimestamp(now, zone), lasts)
    return None if start is None else start.timestamp() + lasts.total_seconds()


def _clock(instant: float, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(instant, zone):%Y-%m-%d %H:%M %Z}"


def _lock(home: Path) -> FileLock:
    file = path(home).with_suffix(".lock")
    file.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(file, timeout=10.0)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
