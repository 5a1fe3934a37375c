"""The ways in which a drill breaks a platform. Each does it once; nothing is undone by hand.

Some need the right moment, or can go wrong unseen: they return a function that is called when all is over and says what
speaks against the failure having happened, or nothing.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import neo4j
import psutil

from archon_dagster.health import at_work
from archon_dagster.recovery.incident import Verb
from archon_dagster.recovery.tools import WorkerFile
from archon_dagster.sandbox import misbehaviour
from drills.platform import Platform
from drills.waiting import TooLate, wait_for

Doubt = Callable[[], str]
"""Says what speaks against the failure having happened; nothing where it has."""

COLLECTION = "code_generation_patterns"
"""The collection whose configuration is damaged."""

MAIN = "archon_vectors"
"""The collection whose vectors are damaged."""

NOT_A_NUMBER = b"\xff" * 4
_LIMIT = 60.0  # seconds for everything that has to be waited for before the failure is there
LATEST = 300.0  # seconds after which a moment that was waited for will not come any more


def kill(platform: Platform, service: str) -> None:
    """Every process of a service, by SIGKILL."""
    platform.servers.kill(service)


def freeze(platform: Platform, service: str) -> None:
    """It holds its port and answers nothing."""
    platform.servers.kill(service, signal.SIGSTOP)


def say_unhealthy(platform: Platform, service: str) -> Doubt:
    """It says with status 200 that it is not healthy, until its process is another one: a restart cures it."""
    servers = platform.servers
    sick = servers.incarnation(service)
    misbehaviour.misbehave(servers.home, service, misbehaviour.How.unhealthy)

    def cured() -> bool:
        return servers.incarnation(service) != sick

    return _later(f"another process of {service}", cured, lambda: misbehaviour.behave(servers.home, service))


def wipe_vectors(platform: Platform) -> None:
    """The vector server comes up with an empty disk."""
    platform.servers.wipe("vectors")


def garble_vectors(platform: Platform) -> None:
    """Every vector of a collection is noise on disk and in the running server, which is green and counts right."""
    files = list((_storage(platform) / "collections" / MAIN).rglob("vector_storage/vectors/chunk_*.mmap"))
    if not files:
        raise TooLate(f"no files with vectors of {MAIN} in {_storage(platform)}")
    for file in files:
        with file.open("r+b") as stream:  # in place: the server has it in its memory
            stream.write(NOT_A_NUMBER * (file.stat().st_size // len(NOT_A_NUMBER)))


def damage_configuration(platform: Platform) -> None:
    """The server ends at start because it cannot read the configuration of one collection."""
    platform.runtime.stop("qdrant")
    (_storage(platform) / "collections" / COLLECTION / "config.json").write_text("{damaged")
    platform.runtime.up("qdrant")


def delete_graph(platform: Platform) -> None:
    """Somebody deletes every node; the server is well."""
    settings = platform.settings
    password = settings.memgraph_password
    login = (settings.memgraph_user, password.get_secret_value() if password else "")
    with neo4j.GraphDatabase.driver(settings.memgraph_uri, auth=login if any(login) else None) as driver:
        driver.execute_query("MATCH (n) DETACH DELETE n", database_=settings.memgraph_database)


def empty_graph(platform: Platform) -> None:
    """The graph server comes up empty, as after a durability file it could not read."""
    platform.servers.wipe("graph")


def drop_database(platform: Platform) -> None:
    """The database is dropped; the server is well."""
    statement = f'DROP DATABASE "{platform.settings.postgres_db}" WITH (FORCE)'
    command = ["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-c", statement]
    with platform.runtime.exec("postgres", command) as psql:
        psql.stdin.close()
        if psql.wait(_LIMIT):
            raise TooLate(f"the database could not be dropped: {psql.stderr_tail()}")


def remove_container(platform: Platform, service: str) -> None:
    """Somebody removes the container."""
    platform.servers.containers.touch(service, lambda one: one.remove(force=True))


def pause_container(platform: Platform, service: str) -> None:
    """Somebody pauses the container and forgets it."""
    platform.servers.containers.touch(service, lambda one: one.pause())


def kill_everything(platform: Platform) -> None:
    """All at once."""
    for service in platform.runtime.services():
        platform.servers.kill(service)


def freeze_during_a_backup(platform: Platform) -> Doubt:
    """The vector server hangs while a backup captures it."""
    run = platform.launch("backup")
    wait_for("a backup at work", lambda: "backup" in at_work.purpose(platform.settings), _LIMIT, every=0.02)
    freeze(platform, "qdrant")

    def doubt() -> str:
        """It is cancelled, unless it has given up the server by then; that nobody waits for it the objective tells."""
        status = platform.status(run)
        return "" if status in ("CANCELED", "FAILURE") else f"the backup neither failed nor was cancelled: {status}"

    return doubt


def kill_the_daemon(platform: Platform) -> Doubt:
    """A recovery of several steps, and the daemon is killed in the middle of it."""

    def act() -> None:
        daemon = platform.daemon
        if daemon is None:
            raise TooLate("there was no daemon to be killed")
        daemon.kill()

    doubt = _in_mid_ladder(platform, "restart", act)
    damage_configuration(platform)
    return doubt


def kill_the_worker(platform: Platform) -> Doubt:
    """A recovery of several steps, and the process of its run is killed in the middle of it."""

    def act() -> None:
        worker = WorkerFile(platform.home).read()
        if worker is None or worker.is_dead:
            raise TooLate("there was no process at work that could be killed")
        psutil.Process(worker.process.pid).kill()

    doubt = _in_mid_ladder(platform, "restart", act)
    damage_configuration(platform)
    return doubt


def _in_mid_ladder(platform: Platform, verb: Verb, act: Callable[[], None]) -> Doubt:
    """Do something once such a step has begun and has not ended."""

    def at_it() -> bool:
        steps = [incident.interrupted for incident in platform.book.open()]
        return any(step is not None and step.verb == verb for step in steps)

    return _later(f"the step {verb}", at_it, act)


def _later(what: str, look: Callable[[], bool], act: Callable[[], None]) -> Doubt:
    """Wait for a moment beside everything else, and act then; the doubt is that it never came."""
    done: list[str] = []

    def watch() -> None:
        try:
            wait_for(what, look, LATEST, every=0.05)
            act()
            done.append("")
        except (TooLate, psutil.Error) as error:
            done.append(str(error))

    threading.Thread(target=watch, name=what, daemon=True).start()
    return lambda: done[0] if done else f"{what} was never seen"


def _storage(platform: Platform) -> Path:
    storage = platform.settings.qdrant_storage
    if storage is None:
        raise TooLate("ARCHON_QDRANT_STORAGE is not set in the sandbox")
    return storage
