"""The one switch: who has paused the automation, why, and until when.

A small file in the home, so that everybody sees the same: the sensors, `archon status`, the UI. It expires by itself.
A file that cannot be understood counts as *paused*: somebody wanted hands off, and an automation that restarts services
under an engineer's hands is worse than one that waits for a minute. It says so until somebody resumes it.
"""

from __future__ import annotations

import getpass
import os
import re
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from archon_dagster.errors import ConfigurationError
from archon_dagster.platform import whole_files

LONGEST = timedelta(days=7)
STOPS = "recovery, weekly maintenance, retention, restore drills, scaling, and alerts of what breaks meanwhile"
GOES_ON = "health checks and backups, also of a configuration that was changed"
"""A backup changes nothing, and a pause that somebody forgets must not cost the recovery points of a week. It does hold
the writers still for its seconds; who cannot have that opens a maintenance window or stops the schedule."""
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Pause(BaseModel):
    """The automation does nothing. :param until: ``None`` where the file is damaged: until somebody resumes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: AwareDatetime | None
    until: AwareDatetime | None
    why: str
    who: str

    def __str__(self) -> str:
        end = f"until {self.until:%Y-%m-%d %H:%M %Z}" if self.until else "until it is resumed"
        return f"{end} by {self.who}: {self.why}"


def path(home: Path) -> Path:
    """Where the switch is."""
    return home / "automation-paused.json"


def paused(home: Path, now: datetime) -> Pause | None:
    """The pause that is in force, if there is one."""
    try:
        pause = Pause.model_validate_json(path(home).read_bytes())
    except FileNotFoundError:
        return None
    except (ValidationError, OSError):
        why = f"{path(home)} cannot be understood, so nothing is done (archon automation resume makes it go on)"
        return Pause(since=None, until=None, why=why, who="nobody knows whom")
    return pause if pause.until is None or now < pause.until else None


def pause(home: Path, lasts: timedelta, why: str, now: datetime, who: str | None = None) -> Pause:
    """Stop every automatic action until ``now + lasts``; a pause that is in force is replaced."""
    if not timedelta(0) < lasts <= LONGEST:
        raise ConfigurationError(
            "the automation is paused for more than nothing and at most seven days", todo="choose an end: --for 2h"
        )
    if not why.strip():
        raise ConfigurationError("a pause needs a reason", todo='say why, e.g. --why "disk is replaced"')
    made = Pause(since=now, until=now + lasts, why=" ".join(why.split()), who=who or _user())
    whole_files.replace(path(home), made.model_dump_json(indent=1).encode())
    return made


def resume(home: Path, now: datetime) -> Pause | None:
    """Let the automation go on; returns the pause that was in force."""
    before = paused(home, now)
    path(home).unlink(missing_ok=True)
    return before


def duration(text: str) -> timedelta:
    """How long ``2h``, ``90m``, ``1h30m`` or ``45s`` is."""
    found = _PART.findall(text.strip().lower())
    if not found or "".join(number + unit for number, unit in found) != text.strip().lower():
        raise ConfigurationError(f"{text!r} is no duration", todo="write it like 2h, 90m, 1h30m or 1d")
    return timedelta(seconds=min(sum(float(number) * _SECONDS[unit] for number, unit in found), 1e9))


def _user() -> str:
    if name := os.environ.get("SUDO_USER"):
        return name
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
