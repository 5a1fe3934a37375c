"""How full the disks are, and in how many days they will be full if it goes on like this.

Each report is remembered, at most :data:`KEPT` of them. Of two trends, since the oldest one and over the last weeks,
the one that fills the disk sooner counts: after a quiet year nobody would otherwise hear of what has begun a month ago.
Nothing is foretold from less than a day.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from pydantic import TypeAdapter

from archon_dagster.errors import ArchonError
from archon_dagster.maintenance.step import Done, MaintenanceContext
from archon_dagster.platform.disks import Sample, look
from archon_dagster.platform.settings import Settings
from archon_dagster.platform.whole_files import read, write

KEPT = 60
_DAY = 86_400.0
RECENT = 35 * _DAY  # five weekly reports

_FILE: TypeAdapter[list[Sample]] = TypeAdapter(list[Sample])


def report(context: MaintenanceContext) -> Done:
    """A line for each disk; raises where one is past the critical share."""
    settings = context.operation.settings
    file = settings.home / "maintenance" / "disks.json"
    history = read(file, _FILE) or []
    now = look(settings, time.time)
    write(file, _FILE, bounded([*history, *now]))
    lines, critical, warning = [], [], False
    for sample in now:
        days = days_until_full([one for one in history if one.disk == sample.disk], sample)
        line = in_words(sample, days, settings)
        lines.append(line)
        warning |= warns(sample, days, settings)
        if sample.used / sample.total >= settings.maintenance_disk_critical:
            critical.append(line)
    if critical:
        raise ArchonError(
            f"a disk is nearly full: {'; '.join(critical)}",
            todo="free space: archon backups, old logs, images (docker system df); below 64 MiB Qdrant refuses writes",
        )
    return Done("; ".join(lines), tuple(lines), warning=warning)


def bounded(samples: Sequence[Sample]) -> list[Sample]:
    """The newest of each disk."""
    disks = dict.fromkeys(one.disk for one in samples)
    return [one for disk in disks for one in [sample for sample in samples if sample.disk == disk][-KEPT:]]


def days_until_full(history: Sequence[Sample], now: Sample) -> float | None:
    """Days, or ``None``: it does not grow, or too little is known."""
    recent = [one for one in history if now.at - one.at <= RECENT]
    found = [_trend(min(part, key=lambda one: one.at), now) for part in (history, recent) if part]
    return min((days for days in found if days is not None), default=None)


def _trend(oldest: Sample, now: Sample) -> float | None:
    passed, grown = now.at - oldest.at, now.used - oldest.used
    if passed < _DAY or grown <= 0:
        return None
    return (now.total - now.used) / (grown / passed) / _DAY


def in_words(sample: Sample, days: float | None, settings: Settings) -> str:
    """One line, with a warning where there is one."""
    share = sample.used / sample.total
    line = f"{sample.disk}: {share:.0%} of {sample.total:,} bytes used"
    if days is not None:
        line += f", full in {days:.0f} days"
    return f"{line} (warning)" if warns(sample, days, settings) else line


def warns(sample: Sample, days: float | None, settings: Settings) -> bool:
    """Whether it is rather full, or soon will be."""
    soon = days is not None and days <= settings.maintenance_disk_days
    return soon or sample.used / sample.total >= settings.maintenance_disk_warn
