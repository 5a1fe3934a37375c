"""Run a service more often, or less often: one replica at a time, each behind a health gate.

Under the platform's lock: look at what there is -> refuse what cannot work -> one step after the other -> done. One
that is added counts when it is well and the service answers; one that goes gets nothing new first, and time for what it
has. The first step that fails, or a cancel, goes back to the number there was before. The number outlives every later
start.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from archon_dagster.errors import ArchonError, Cancelled, ConfigurationError, ServiceError
from archon_dagster.platform.limits import size_text
from archon_dagster.platform.runtime.protocol import Replicas
from archon_dagster.scaling.context import ScalingContext
from archon_dagster.scaling.gate import wait_until_well
from archon_dagster.scaling.room import reserved_beside
from archon_dagster.startup.alone import alone

SERVICE = "archon-search"
"""What is scaled: it keeps nothing itself, so that its replicas need not know of each other."""


@dataclass(frozen=True)
class Plan:
    """What would be done. :param steps: the numbers of replicas, one after the other."""

    service: str
    now: Replicas
    wanted: int
    steps: tuple[int, ...]

    @property
    def headline(self) -> str:
        """The whole in a sentence."""
        if self.steps:
            return f"{self.service}: {self.now.wanted} -> {' -> '.join(map(str, self.steps))} replicas"
        return f"{self.service}: {self.wanted} replicas, as now"


@dataclass(frozen=True)
class Scaled:
    """What came of it. :param replaced: replicas that should have run and did not."""

    service: str
    before: int
    after: Replicas
    seconds: float
    replaced: int = 0

    @property
    def headline(self) -> str:
        """The whole in a sentence."""
        if self.before != self.after.wanted:
            return f"{self.service}: {self.before} -> {self.after.wanted} replicas, all of them well"
        again = f"; {self.replaced} had ended and were started again" if self.replaced else ""
        return f"{self.service}: {self.after.wanted} replicas, all of them well{again}"


def plan(context: ScalingContext, replicas: int, service: str = SERVICE) -> Plan:
    """What would be done; refuses what cannot work. Changes nothing.

    :raises ConfigurationError: the number, the service, the compose file or the host does not allow it.
    :raises ServiceError: the service does not run.
    """
    most = context.settings.scaling_most
    if not 1 <= replicas <= most:
        raise ConfigurationError(
            f"{service} runs between 1 and {most} times, not {replicas}; nothing was touched",
            todo="ARCHON_SEARCH_REPLICAS_MOST allows more; to end it: stop it",
        )
    now = context.runtime.replicas(service)
    if replicas > 1 and now.fixed:
        raise ConfigurationError(f"{service} cannot run more than once: {now.fixed}; nothing was touched")
    state = next(one.state for one in context.runtime.status() if one.service == service)
    if state != "running":
        raise ServiceError(f"{service} is {state}; nothing was touched", todo=f"archon start {service}, then scale it")
    if replicas > now.wanted:  # fewer are never too many
        _require_room(context, service, replicas)
    step = 1 if replicas >= now.wanted else -1
    return Plan(service, now, replicas, tuple(range(now.wanted + step, replicas + step, step)))


def _require_room(context: ScalingContext, service: str, replicas: int) -> None:
    """What is reserved for all replicas together has to be there, beside what the other services have reserved."""
    limits = context.runtime.limits(service)
    if limits is None:
        return
    host, beside = context.runtime.host(), reserved_beside(context.runtime, {service})
    cpus, memory = limits.reserved_cpus * replicas, limits.reserved_memory * replicas
    if cpus + beside.cpus > host.cpus or memory + beside.memory > host.memory:
        raise ConfigurationError(
            f"{replicas} replicas of {service} reserve {cpus:g} CPUs and {size_text(memory)}{beside.words}, "
            "more than this host has; nothing was touched",
            where=f"{host.cpus} CPUs, {host.memory / 2**30:.1f} GiB of memory",
            todo="fewer replicas, or a smaller profile: archon resources apply",
        )


def scale(context: ScalingContext, replicas: int, service: str = SERVICE) -> Scaled:
    """Do it; see the module.

    :raises ServiceError: a step failed, and the number is what it was before, or the message says otherwise.
    """
    begin = time.monotonic()
    with alone(context.settings, f"scale {service} to {replicas}", context.check):
        made = plan(context, replicas, service)
        missing = made.now.wanted - sum(one.state in ("running", "paused") for one in made.now.each)
        try:
            after = _step_by_step(context, made)
        except (ArchonError, OSError) as error:
            raise _returned(context, made, error) from error
    return Scaled(service, made.now.wanted, after, time.monotonic() - begin, max(0, missing))


def _step_by_step(context: ScalingContext, made: Plan) -> Replicas:
    service, runtime = made.service, context.runtime
    with context.step(service, f"{made.now.wanted} replicas"):
        runtime.up(service)  # those of them that have ended
        seen = wait_until_well(service, context.settings, runtime, context.check)
    for count in made.steps:
        with context.step(service, f"{count} replicas"):
            runtime.scale(service, count)
            seen = wait_until_well(service, context.settings, runtime, context.check, count)
    return seen


def _returned(context: ScalingContext, made: Plan, cause: ArchonError | OSError) -> ArchonError:
    """The error to raise once the number is what it was; not to be cancelled."""
    before, service = made.now.wanted, made.service
    why = cause.what if isinstance(cause, ArchonError) else str(cause)
    try:
        if context.runtime.replicas(service).wanted != before:
            context.runtime.scale(service, before)
        wait_until_well(service, context.settings, context.runtime, lambda: None, before)
    except ArchonError as error:
        return ServiceError(
            f"{service} was not scaled, and is not well with {before} replicas either: {error.what}",
            tried=f"{made.headline}: {why.splitlines()[0]}",
            todo=f"archon health {service}; archon start {service}",
        )
    if isinstance(cause, Cancelled):
        return Cancelled(cause.what, tried=f"{service} runs {before} times, as before")
    return ServiceError(
        f"{service} was not scaled: {why}",
        tried=f"{made.headline}; it runs {before} times again, and is well",
        todo="read the log of the replica that was not well; then scale again",
    )
