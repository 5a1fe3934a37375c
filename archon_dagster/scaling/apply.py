"""Apply a resource profile: service by service in dependency order, each behind a health gate.

Under the platform's lock: refuse what the host cannot carry -> for each service whose limits change: remember them,
replace it, wait until it is well -> note the profile. The first failure, or a cancel, puts back the limits of every
service that was touched. What a service may use is remembered by the runtime, for every later start of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from archon_dagster.context import telling
from archon_dagster.errors import ArchonError, Cancelled, ConfigurationError, ServiceError
from archon_dagster.health.windows import close_windows, open_window
from archon_dagster.platform import whole_files
from archon_dagster.platform.limits import Resources
from archon_dagster.platform.runtime.process_limits import ENFORCED
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.scaling.context import ScalingContext
from archon_dagster.scaling.gate import wait_until_well
from archon_dagster.scaling.profiles import Profile, profile, require_host
from archon_dagster.scaling.room import reserved_beside
from archon_dagster.startup.alone import alone

_WINDOW = 1800.0  # seconds; it is closed at the end


@dataclass(frozen=True)
class Change:
    """The limits of one service, before and after."""

    service: str
    before: Resources | None
    after: Resources


@dataclass(frozen=True)
class Applied:
    """What came of it, or what would. :param absent: services of the profile that this platform does not have."""

    profile: str
    changes: tuple[Change, ...]
    kept: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    enforced: str = ""
    seconds: float = 0.0

    @property
    def headline(self) -> str:
        """The whole in a sentence."""
        if not self.changes:
            return f"the profile {self.profile} holds already"
        return f"profile {self.profile}: {', '.join(one.service for one in self.changes)}"


class Noted(BaseModel):
    """The profile that was applied last. :param at: seconds since the epoch."""

    profile: str
    at: float


_NOTED = TypeAdapter(Noted)


def noted(home: Path) -> Noted | None:
    """Which profile was applied last; ``None``: none ever was."""
    return whole_files.read(home / "scaling" / "profile.json", _NOTED)


def plan(context: ScalingContext, name: str, custom: Mapping[str, Mapping[str, Any]] | None = None) -> Applied:
    """What would be done; changes nothing.

    :raises ConfigurationError: the profile is unknown, the host cannot carry it, or the runtime would not follow it.
    """
    runtime, chosen = context.runtime, profile(name, custom)
    have = runtime.services()
    here = Profile(name, {service: chosen.services[service] for service in have if service in chosen.services})
    if not here.services:
        raise ConfigurationError(
            f"none of the profile's services is here: {', '.join(chosen.services)}", todo=f"here: {', '.join(have)}"
        )
    replicas = {service: runtime.replicas(service).wanted for service in here.services}
    require_host(here, runtime.host(), replicas, reserved_beside(runtime, here.services))
    runtime.require_limits(here.services)
    changes = [Change(service, runtime.limits(service), limits) for service, limits in here.services.items()]
    return Applied(
        profile=name,
        changes=tuple(one for one in changes if one.before != one.after),
        kept=tuple(one.service for one in changes if one.before == one.after),
        absent=tuple(service for service in chosen.services if service not in have),
        enforced=enforced(runtime),
    )


def enforced(runtime: Runtime) -> str:
    """How far limits are more than words here."""
    if runtime.kind == "compose":
        return "by the Docker engine"
    if ENFORCED:
        return (
            "whole cores and private memory of each process; reservations are checked against the host, not kept free"
        )
    return "not here: local processes have no limits on this system; recorded, and checked against the host"


def apply(context: ScalingContext, name: str, custom: Mapping[str, Mapping[str, Any]] | None = None) -> Applied:
    """Do it; see the module.

    :raises ConfigurationError: nothing was touched.
    :raises ServiceError: a service was not well with its limits; all of them are what they were before.
    """
    begin = time.monotonic()
    settings = context.settings
    with alone(settings, f"resource profile {name}", context.check):
        made = plan(context, name, custom)
        window = open_window(settings.home, _WINDOW, f"resource profile {name}", time.time(), who="archon")
        try:
            _Rolling(context, made).run()
        finally:
            close_windows(settings.home, time.time(), window.id)
        whole_files.write(settings.home / "scaling" / "profile.json", _NOTED, Noted(profile=name, at=time.time()))
    return Applied(made.profile, made.changes, made.kept, made.absent, made.enforced, time.monotonic() - begin)


@dataclass
class _Rolling:
    context: ScalingContext
    made: Applied
    touched: list[Change] = field(default_factory=list)
    running: set[str] = field(default_factory=set)

    def run(self) -> None:
        self.running = {one.service for one in self.context.runtime.status() if one.state == "running"}
        try:
            for change in self.made.changes:
                with self.context.step(change.service, f"limits {_words(change.after)}"):
                    self._give(change.service, change.after, self.context.check, change)
        except (ArchonError, OSError) as error:
            if not self.touched:
                raise
            raise self._returned(error) from error

    def _give(
        self, service: str, limits: Resources | None, check: Callable[[], None], change: Change | None = None
    ) -> None:
        runtime = self.context.runtime
        runtime.limit(service, limits)
        if change is not None:
            self.touched.append(change)
        if service in self.running:  # what did not run has them from its next start on
            runtime.recreate(service)
            wait_until_well(service, self.context.settings, runtime, check)

    def _returned(self, cause: ArchonError | OSError) -> ArchonError:
        """The error to raise once everything is as it was; not to be cancelled."""
        failures = []
        for change in reversed(self.touched):
            try:
                with telling(self.context.report, f"put back {change.service}"):
                    self._give(change.service, change.before, lambda: None)
            except ArchonError as error:
                failures.append(f"{change.service}: {error.what.splitlines()[0]}")
        why = cause.what if isinstance(cause, ArchonError) else str(cause)
        names = ", ".join(change.service for change in self.touched)
        if failures:
            return ServiceError(
                f"the profile {self.made.profile} was not applied, and the way back failed too: {'; '.join(failures)}",
                tried=f"applying it: {why.splitlines()[0]}",
                todo=f"archon start {' '.join(change.service for change in self.touched)}; archon resources status",
            )
        if isinstance(cause, Cancelled):
            return Cancelled(cause.what, tried=f"the limits of {names} are what they were")
        return ServiceError(
            f"the profile {self.made.profile} was taken back: {why}",
            tried=f"the limits of {names} are what they were, and {'they are' if ',' in names else 'it is'} well",
            todo="choose a larger profile, or a custom one",
        )


def _words(limits: Resources) -> str:
    said = limits.as_compose()["limits"]
    return f"{said['cpus']} CPUs, {said['memory']}"
