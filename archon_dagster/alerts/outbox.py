"""Notices on their way: tried again with growing pauses until a deadline, then kept as undelivered.

One delivery is one notice to one channel. Notices of one incident reach a channel in their order: nobody wants to
hear of the end before the beginning. Whoever tries one claims it for a while; a claim of a process that died runs out,
so a notice may arrive twice after a crash, but is never lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from archon_dagster.alerts.alert import Notice


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a delivery is tried: after ``first`` seconds, then after twice as long each time up to ``longest``,
    until ``deadline`` seconds have passed; one attempt may take ``attempt`` seconds."""

    first: float = 5.0
    longest: float = 300.0
    deadline: float = 3600.0
    attempt: float = 20.0

    def pause(self, attempts: int) -> timedelta:
        """How long to wait after so many attempts."""
        return timedelta(seconds=min(self.longest, self.first * 2.0 ** min(attempts - 1, 30)))


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notice for one channel; ``next_try`` is also when the claim of whoever is trying it runs out."""

    id: str
    channel: str
    notice: Notice
    queued: datetime
    next_try: datetime
    attempts: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A notice that was given up: nobody has read it."""

    at: datetime
    channel: str
    notice: Notice
    attempts: int
    error: str


def due(outbox: Sequence[Delivery], now: datetime) -> list[Delivery]:
    """Those to be tried now: of each incident and channel the oldest one only."""
    first: dict[tuple[str, str], Delivery] = {}
    for delivery in outbox:
        first.setdefault((delivery.channel, delivery.notice.alert.incident), delivery)
    return [delivery for delivery in first.values() if delivery.next_try <= now]


def claimed(delivery: Delivery, now: datetime, pace: Pace) -> Delivery:
    """The same, not to be tried by anybody else while this attempt may last."""
    return replace(delivery, next_try=now + timedelta(seconds=2 * pace.attempt + 10))


def failed(delivery: Delivery, now: datetime, error: str, pace: Pace, *, final: bool) -> Delivery | Undelivered:
    """What becomes of a delivery after an attempt that failed."""
    attempts = delivery.attempts + 1
    if final or (now - delivery.queued).total_seconds() >= pace.deadline:
        return Undelivered(now, delivery.channel, delivery.notice, attempts, error)
    return replace(delivery, attempts=attempts, error=error, next_try=now + pace.pause(attempts))
