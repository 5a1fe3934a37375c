"""Tell somebody: the one way from "this is wrong" to a notice that has arrived.

``tell`` enters an event and queues the notices it is worth; ``flush`` sends what is due. Both may be called by anybody
at any time: sensors, runs and the command line share one record, see :mod:`archon_dagster.alerts.record`.
"""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from archon_dagster.alerts import outbox
from archon_dagster.alerts.alert import Notice
from archon_dagster.alerts.book import Event, Policy, decide
from archon_dagster.alerts.channels import Channel, channels_of
from archon_dagster.alerts.delivery import Outcome, deliver
from archon_dagster.alerts.outbox import Delivery, Pace, Undelivered
from archon_dagster.alerts.record import Record, RecordFile
from archon_dagster.alerts.rendering import Sender
from archon_dagster.alerts.silence import silences
from archon_dagster.platform.settings import Settings

NOT_CONFIGURED = "nobody is told: no channel is configured, set ARCHON_ALERT_URLS (docs/alerts.md)"
UNDELIVERED_KEPT = 100
_AT_ONCE = 4  # deliveries; each is a process


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a round of sending came to; ``failures`` names the channel and the reason of each attempt that failed."""

    sent: int = 0
    failures: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.sent and not self.failures:
            return "nothing to send"
        return "; ".join([f"{self.sent} sent", *self.failures])


def sender_of(settings: Settings) -> Sender:
    """Who tells it, as it stands in every notice."""
    return Sender(settings.environment, socket.gethostname(), ZoneInfo(settings.timezone))


class Alerting:
    """Alerts as the settings want them.

    :param silent: of whom nothing may be told at a moment, see :class:`Policy`; by default as :mod:`.silence` says.
    :param clock: the time now, with a zone.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        silent: Callable[[datetime], Mapping[str, str]] | None = None,
        pace: Pace | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ):
        self.channels = channels_of(settings.alert_urls)
        self.file = RecordFile(settings.home)
        self._sender, self._reminder = sender_of(settings), settings.alert_reminder
        self._silent = silent or (lambda now: silences(settings, now))
        self._pace, self._clock = pace or Pace(), clock

    def tell(self, event: Event) -> list[Notice]:
        """Enter what happened; returns the notices it is worth, which are queued for the channels that hear them."""
        now = self._clock()
        policy = Policy(self._reminder, self._silent(now))

        def enter(record: Record) -> tuple[Record, list[Notice]]:
            book, notices = decide(record.book, event, now, policy)
            queued = [self._queued(channel, notice, now) for notice in notices for channel in self._hearing(notice)]
            return replace(record, book=dict(book), outbox=(*record.outbox, *queued)), notices

        return self.file.change(enter)

    def flush(self, limit: float = 25.0) -> Flushed:
        """Send what is due, for about ``limit`` seconds at most (and one attempt); the rest waits for the next call."""
        end, sent, failures = time.monotonic() + limit, 0, list[str]()
        while time.monotonic() < end and (batch := self.file.change(self._claim)):
            with ThreadPoolExecutor(len(batch), thread_name_prefix="alert") as pool:
                outcomes = dict(zip((one.id for one in batch), pool.map(self._attempt, batch), strict=True))
            self.file.change(lambda record, outcomes=outcomes: (self._settled(record, outcomes), None))  # type: ignore[misc]
            sent += sum(outcome.ok for outcome in outcomes.values())
            failures += [f"{one.channel}: {outcomes[one.id].why}" for one in batch if not outcomes[one.id].ok]
        return Flushed(sent, tuple(failures))

    def _hearing(self, notice: Notice) -> list[Channel]:
        return [channel for channel in self.channels if channel.hears(notice.alert.severity)]

    def _queued(self, channel: Channel, notice: Notice, now: datetime) -> Delivery:
        return Delivery(uuid.uuid4().hex[:12], channel.name, notice, queued=now, next_try=now)

    def _claim(self, record: Record) -> tuple[Record, list[Delivery]]:
        now = self._clock()
        batch = outbox.due(record.outbox, now)[:_AT_ONCE]
        taken = {one.id: outbox.claimed(one, now, self._pace) for one in batch}
        return replace(record, outbox=tuple(taken.get(one.id, one) for one in record.outbox)), batch

    def _attempt(self, delivery: Delivery) -> Outcome:
        channel = next((channel for channel in self.channels if channel.name == delivery.channel), None)
        if channel is None:
            return Outcome(False, "it is no longer in ARCHON_ALERT_URLS", final=True)
        return deliver(channel, delivery.notice, self._sender, self._pace.attempt)

    def _settled(self, record: Record, outcomes: Mapping[str, Outcome]) -> Record:
        """The record after attempts: what was sent is gone, what failed waits or is given up."""
        now, waiting, lost = self._clock(), list[Delivery](), list[Undelivered]()
        for delivery in record.outbox:
            outcome = outcomes.get(delivery.id)
            if outcome is not None and outcome.ok:
                continue
            after: Delivery | Undelivered = delivery
            if outcome is not None:
                after = outbox.failed(delivery, now, outcome.why, self._pace, final=outcome.final)
            if isinstance(after, Undelivered):
                lost.append(after)
            else:
                waiting.append(after)
        undelivered = (*record.undelivered, *lost)[-UNDELIVERED_KEPT:]
        return replace(record, outbox=tuple(waiting), undelivered=undelivered)


def troubles_of(settings: Settings, now: datetime) -> list[str]:
    """:func:`troubles` of these settings, for `archon status` and whoever else has nothing but them."""
    return troubles(RecordFile(settings.home).read(), channels_of(settings.alert_urls), now)


def troubles(record: Record, channels: Sequence[Channel], now: datetime, within: float = 86_400.0) -> list[str]:
    """What is wrong with alerting itself, a line each, for whoever asks how things are.

    :param within: seconds; what was given up longer ago is history.
    """
    found = [f"{channel.name} cannot be used: {channel.fault}" for channel in channels if channel.fault]
    found += [
        f"not delivered to {one.channel} since {one.queued:%Y-%m-%d %H:%M} UTC, tried {one.attempts} times: {one.error}"
        for one in record.outbox
        if one.attempts
    ]
    found += [
        f"never delivered to {one.channel}: '{one.notice.alert.title}' ({one.error})"
        for one in record.undelivered
        if (now - one.at).total_seconds() <= within
    ]
    if record.beat is not None and record.beat.error:
        found.append(f"the heartbeat is not answered: {record.beat.error}")
    if record.beat is not None and record.beat.held:
        found.append(f"the heart does not beat: {record.beat.held}")
    if record.damaged:
        found.append(f"what was told before is not known any more, the record could not be read: {record.damaged}")
    return found
