"""Cron expressions, for windows that come again and again."""

from __future__ import annotations

from datetime import datetime, timedelta

from cronsim import CronSim, CronSimError


def checked(expression: str) -> str:
    """The same expression; :class:`ValueError` says what is wrong with it."""
    if len(expression.split()) != 5:
        raise ValueError(f"{expression!r} has not five fields, as in '0 2 * * 0' (minute hour day month weekday)")
    try:
        CronSim(expression, datetime(2026, 1, 1))
    except CronSimError as error:
        raise ValueError(f"{expression!r} is not a cron expression: {error}") from error
    return expression


def last_start(expression: str, now: datetime, within: timedelta) -> datetime | None:
    """The newest match not after ``now`` and less than ``within`` before it; ``now`` has a zone."""
    minute = now.replace(second=0, microsecond=0)
    found = next(CronSim(expression, minute + timedelta(minutes=1), reverse=True), None)
    if found is None or now.timestamp() - found.timestamp() >= within.total_seconds():
        return None
    return found
