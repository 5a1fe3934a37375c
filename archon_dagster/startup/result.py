"""What came of starting services."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from archon_dagster.errors import ServiceError
from archon_dagster.platform.services import BY_NAME

How = Literal["was ready", "started", "unpaused", "waited for", "failed", "not started", "not waited for"]
"""``waited for``: its process ran already, and it became ready; ``not started`` and ``not waited for``: what it needs
failed."""

_GOOD: tuple[How, ...] = ("was ready", "started", "unpaused", "waited for")


@dataclass(frozen=True, slots=True)
class ServiceStart:
    """One service of a start.

    :param how: what was done to it, or that it failed.
    :param seconds: from its turn until it was ready or given up; 0 where it never had one.
    :param detail: its last answer, or why it is not ready, in a line.
    :param log: its last log lines, where it failed.
    :param essential: the platform does not count as started without it.
    :param blocked_by: services that failed and that it needs.
    """

    service: str
    how: How
    seconds: float
    detail: str
    log: str = ""
    essential: bool = True
    blocked_by: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        return self.how in _GOOD


@dataclass(frozen=True, slots=True)
class Started:
    """All services of a start, in an order in which they can be started, and the seconds until the last was ready."""

    services: tuple[ServiceStart, ...]
    seconds: float

    @property
    def touched(self) -> tuple[str, ...]:
        """The services to which anything was done."""
        return tuple(one.service for one in self.services if one.how in ("started", "unpaused", "failed"))

    @property
    def failed(self) -> tuple[ServiceStart, ...]:
        """Those that failed by themselves."""
        return tuple(one for one in self.services if one.how == "failed")

    @property
    def missing(self) -> tuple[ServiceStart, ...]:
        """Essential ones that are not ready."""
        return tuple(one for one in self.services if one.essential and not one.ready)

    @property
    def degraded(self) -> tuple[ServiceStart, ...]:
        """Non-essential ones that are not ready: the platform works without them."""
        return tuple(one for one in self.services if not one.essential and not one.ready)

    def raise_for_failure(self, also: Iterable[str] = ()) -> None:
        """:class:`ServiceError` where an essential service is not ready.

        :param also: what else was found that may have to do with it, a sentence each.
        """
        if not self.missing:
            return
        needed = {name for one in self.missing for name in one.blocked_by}
        roots = [one for one in self.failed if one.essential or one.service in needed]
        found = [line for root in roots for line in self._told(root)]
        stores = [store for root in roots if root.service in BY_NAME and (store := BY_NAME[root.service].store)]
        todo = [
            "remove the cause, then: archon start   (what is ready is left alone)",
            "where a service only needs longer: ARCHON_START_PATIENCE=2 archon start",
            *(f"where its data cannot be read: archon restore latest --only {store} --plan" for store in stores),
        ]
        raise ServiceError("\n".join((*found, *also)), todo="\n  ".join(todo))

    def _told(self, root: ServiceStart) -> list[str]:
        blocked = ", ".join(one.service for one in self.services if root.service in one.blocked_by)
        lines = [root.detail, root.log, f"not started because of {root.service}: {blocked}" if blocked else ""]
        return [line for line in lines if line]
