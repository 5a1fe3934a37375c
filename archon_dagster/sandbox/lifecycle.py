"""Bring the sandbox up and down, and break it on purpose.

``up`` may be called at any time: what runs is left alone, what is missing is started, what a crash left behind is
cleared away. One caller at a time works on a sandbox; others wait for their turn.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.platform.probes import address, probe
from archon_dagster.platform.runtime.protocol import ServiceStatus, State
from archon_dagster.platform.services import BY_NAME
from archon_dagster.sandbox import claims, misbehaviour, ownership, servers
from archon_dagster.sandbox import environment as env
from archon_dagster.sandbox.layout import SERVICE_OF_STORE, Layout, layout_of, prepare
from archon_dagster.sandbox.news import OnEvent
from archon_dagster.sandbox.runtimes import Runtimes
from archon_dagster.sandbox.starting import Sandbox, Start
from archon_dagster.sandbox.support import check_supported

__all__ = ["OnEvent", "Sandbox", "ServiceView", "down", "kill", "owner", "start", "status", "up", "wipe"]

_TURN_BUDGET = 600.0  # seconds another caller may keep the sandbox


@dataclass(frozen=True, slots=True)
class ServiceView:
    """One service of a sandbox at a glance.

    :param instance: pid of its main process, empty when nothing runs.
    :param memory_bytes: of all its processes, 0 when nothing runs.
    :param healthy: what its probe says; ``None`` when it does not run.
    :param told: how it has been told to misbehave.
    """

    service: str
    title: str
    state: State
    instance: str
    address: str
    program: str
    memory_bytes: int = 0
    healthy: bool | None = None
    answer: str = ""
    told: str = ""


def up(home: Path, *, owner_pid: int | None = None, on_event: OnEvent | None = None) -> Sandbox:
    """Start what does not run and wait until everything is ready; safe to call again at any time.

    :param owner_pid: bring the sandbox down when this process dies; ignored where it is running for somebody already.
    :raises ServiceError: a service did not start; what this call had started is stopped again.
    """
    check_supported()
    layout = layout_of(home)
    with _turn(layout):
        fresh = not layout.made_here()
        prepare(layout)
        if fresh:
            env.write_sample_configuration(layout.platform / "config")
        begun = Start(layout, on_event)
        _settle_ownership(layout, owner_pid, found_down=not begun.running)
        try:
            return begun.run(servers.SERVICES)
        except BaseException:
            begun.undo()
            raise


def _settle_ownership(layout: Layout, owner_pid: int | None, *, found_down: bool) -> None:
    if ownership.owner_of(layout) is not None:
        ownership.watch(layout)
    elif layout.owner.exists() or found_down:
        ownership.release(layout)  # of a dead owner, whose guardian died too
        if owner_pid is not None:
            ownership.claim(layout, owner_pid)


def down(home: Path, *, only_orphaned: bool = False) -> None:
    """Stop everything; data stay. Nothing to do where there is no sandbox.

    :param only_orphaned: leave the sandbox alone if it belongs to a living process, or to nobody.
    """
    layout = layout_of(home)
    if not layout.notes.is_dir() and not layout.services.is_dir():
        return
    with _turn(layout):
        if only_orphaned and (not layout.owner.exists() or ownership.owner_of(layout) is not None):
            return
        Runtimes(layout).remove()
        claims.withdraw(layout)
        ownership.release(layout)


def kill(home: Path, service: str) -> None:
    """Kill every process of a service as a crash would, and leave it dead."""
    Runtimes(_existing(home)).of(service).kill(service)


def start(home: Path, service: str, *, on_event: OnEvent | None = None) -> Sandbox:
    """Start one service of an existing sandbox and wait until it is ready."""
    layout = _existing(home)
    with _turn(layout):
        return Start(layout, on_event, known_servers=True).run(_known(layout, service))


def wipe(home: Path, store: str, *, on_event: OnEvent | None = None) -> Sandbox:
    """Destroy what a store holds and start its server again, empty.

    ``configuration`` empties ``config/``; the ``.env`` stays, for it says where the running servers are.
    """
    layout = _existing(home)
    with _turn(layout):
        if store == "configuration":
            shutil.rmtree(layout.platform / "config", ignore_errors=True)
            return Start(layout, on_event, known_servers=True).run(())
        if store not in SERVICE_OF_STORE:
            known = ", ".join([*SERVICE_OF_STORE, "configuration"])
            raise ConfigurationError(f"no such store: {store}", todo=f"stores are {known}")
        services = _known(layout, SERVICE_OF_STORE[store])
        Runtimes(layout).stop(services)
        if layout.data(store).exists():
            shutil.rmtree(layout.data(store))
        return Start(layout, on_event, known_servers=True).run(services)


def status(home: Path) -> list[ServiceView]:
    """What runs, where, and what each service says of itself; empty where there has never been a sandbox."""
    layout = layout_of(home)
    known = env.read(layout)
    if not known:
        return []
    runtimes, settings = Runtimes(layout), env.settings_of(layout, known)
    # after a down the runtime has no services any more
    found = runtimes.status() or [ServiceStatus(name, "absent") for name in servers.SERVICES]
    programs = runtimes.versions()
    told = misbehaviour.orders(home)
    memory = {one.service: one.memory_bytes for one in runtimes.stats()}

    def view(one: ServiceStatus) -> ServiceView:
        service = BY_NAME[one.service]
        answer = probe(service, settings) if one.state == "running" else None
        return ServiceView(
            service=one.service,
            title=service.title,
            state=one.state,
            instance=one.instance if one.state in ("running", "paused") else "",
            address=address(service, settings),
            program=programs.get(one.service, ""),
            memory_bytes=memory.get(one.service, 0),
            healthy=None if answer is None else answer.ok,
            answer="" if answer is None else answer.text,
            told=told[one.service].how if one.service in told else "",
        )

    with ThreadPoolExecutor(max_workers=len(found)) as pool:
        return list(pool.map(view, found))


def owner(home: Path) -> int | None:
    """The living process a sandbox goes with; ``None``: it stays until :func:`down`."""
    return ownership.owner_of(layout_of(home))


def _existing(home: Path) -> Layout:
    layout = layout_of(home)
    if not layout.made_here():
        raise ConfigurationError("there is no sandbox", where=str(layout.home), todo="start one: archon sandbox up")
    return layout


def _known(layout: Layout, service: str) -> tuple[str, ...]:
    have = Runtimes(layout).services()
    if service not in have:
        raise ServiceError(
            f"no such service in the sandbox: {service}",
            where=str(layout.home),
            todo=f"services: {', '.join(have)}" if have else "the sandbox is down; start it: archon sandbox up",
        )
    return (service,)


@contextmanager
def _turn(layout: Layout) -> Iterator[None]:
    layout.notes.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(layout.lock, timeout=_TURN_BUDGET):
            yield
    except Timeout as error:
        raise ServiceError(
            f"somebody else has been starting or stopping this sandbox for more than {_TURN_BUDGET:g} s",
            where=str(layout.home),
        ) from error
