"""How far the automatic recovery may go, and how often it tries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from archon_dagster.platform.settings import Settings

HowToStart = Mapping[str, str]

_RESTART: dict[str, str] = {
    "processes": "archon sandbox kill {0} && archon sandbox start {0}",
    "compose": "docker compose up -d --force-recreate {0}",
    "elsewhere": "restart {0} where it runs",
}


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits of the automation. All times are seconds.

    :param level: nothing; restart and recreate; or also restore a store that is proven lost or corrupt.
    :param attempts: actions within one incident. :param hourly: actions on one service within an hour.
    :param cool_down: between the first two actions; doubles each time, up to ``longest``.
    :param settle: what a service that was only affected gets to come back by itself.
    :param lock_limit: how long somebody else may keep the platform before a person is asked.
    :param files: services whose data files are at hand, so that they can be copied or set aside.
    :param paused: why the automation is paused; empty: it is not.
    :param runtime: the kind of runtime, for the commands that a person is given.
    """

    level: Literal["off", "restart", "restore"] = "restart"
    attempts: int = 3
    hourly: int = 20
    cool_down: float = 10.0
    longest: float = 900.0
    settle: float = 20.0
    lock_limit: float = 600.0
    files: frozenset[str] = field(default_factory=frozenset)
    paused: str = ""
    runtime: str = "compose"

    def wait_after(self, attempts: int) -> timedelta:
        """How long after so many actions the next one may begin."""
        if attempts < 1:
            return timedelta(0)
        return timedelta(seconds=min(self.longest, self.cool_down * 2.0 ** min(attempts - 1, 30)))

    def restart_command(self, service: str) -> str:
        """What a person types to restart a service."""
        return _RESTART[self.runtime].format(service)


def policy_of(settings: Settings, paused: str = "") -> Policy:
    """The policy of these settings."""
    files = {"qdrant": settings.qdrant_storage, "memgraph": settings.memgraph_data}
    return Policy(
        level=settings.recovery,
        attempts=settings.recovery_attempts,
        hourly=settings.recovery_hourly,
        cool_down=settings.recovery_cool_down,
        longest=settings.recovery_longest_cool_down,
        settle=settings.recovery_settle,
        lock_limit=settings.recovery_lock_limit,
        files=frozenset(service for service, place in files.items() if place is not None),
        paused=paused,
        runtime=settings.runtime,
    )
