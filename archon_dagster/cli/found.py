"""What `archon status` finds: plain values, which the advice is read from and the screen is drawn from."""

from __future__ import annotations

from dataclasses import dataclass, field

from archon_dagster.stores.base import StoreName


@dataclass(frozen=True)
class ServiceLine:
    """One service as the runtime and its own answer see it.

    :param state: of its process; ``external``: somebody else runs it.
    :param degraded: it says of itself that it works only in part.
    """

    service: str
    state: str
    ready: bool
    answer: str
    seconds: float
    degraded: bool = False


@dataclass(frozen=True)
class Loss:
    """A store that holds far fewer records than its last good backup; ``empty`` names what is gone altogether."""

    store: StoreName
    records: int
    in_backup: int
    empty: tuple[str, ...]


@dataclass(frozen=True)
class IncidentLine:
    """An incident that is not over. :param command: what a person can type; empty while none is needed."""

    id: str
    title: str
    state: str
    services: tuple[str, ...]
    command: str


@dataclass(frozen=True)
class Status:
    """The whole answer.

    :param runtime: what runs the services: ``processes``, ``compose``, ``elsewhere``.
    :param newest_backup: the newest that was taken on purpose, good or not.
    :param uncounted: stores that could not be counted, and why.
    :param half_restored: stores that an interrupted restore had begun to replace.
    :param interrupted_advice: the commands that finish or undo it.
    :param interrupted_change: of the configuration, and which file is in place; :param change_advice: as above.
    :param last_restore: the last one that succeeded here, where it was done from, and how to take it back.
    :param last_drill: the last restore that was tried in throw-away servers, and how long it took.
    :param automation_paused: until when, by whom, and why; ``None`` where the automation may act.
    :param alert_troubles: what is wrong with alerting itself.
    """

    services: list[ServiceLine]
    runtime: str = "processes"
    last_good_backup: str | None = None
    last_good_age: float | None = None
    newest_backup: str | None = None
    last_backup_trouble: str | None = None
    losses: tuple[Loss, ...] = ()
    uncounted: dict[str, str] = field(default_factory=dict)
    at_work: str | None = None
    interrupted_restore: str | None = None
    interrupted_advice: str | None = None
    half_restored: tuple[str, ...] = ()
    interrupted_change: str | None = None
    change_advice: str | None = None
    last_restore: str | None = None
    last_drill: str | None = None
    incidents: tuple[IncidentLine, ...] = ()
    automation_paused: str | None = None
    alert_troubles: tuple[str, ...] = ()
    webserver: str | None = None
    next: str = ""

    @property
    def escalated(self) -> tuple[IncidentLine, ...]:
        """Incidents in which the automation has given up."""
        return tuple(one for one in self.incidents if one.state == "escalated")

    @property
    def broken(self) -> bool:
        """Something needs a hand: a service, a store's data, a restore that did not end, an incident."""
        down = not self.services or any(not line.ready for line in self.services)
        return down or bool(self.losses or self.interrupted_restore or self.escalated)
