"""What is drilled: each failure, how it is made, and what it has to be taken for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from archon_dagster.platform.services import CATALOGUE
from archon_dagster.recovery.incident import Kind
from drills import breaking
from drills.breaking import Doubt
from drills.platform import Platform


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure.

    :param root: who has failed on its own. :param kind: what the incident has to be.
    :param inject: makes it; may return what is asked afterwards.
    """

    name: str
    title: str
    root: str
    kind: Kind
    inject: Callable[[Platform], Doubt | None]


_KILLED = tuple(
    Fault(
        f"kill-{service.name}",
        f"kill -9 {service.name}",
        service.name,
        "single_service",
        partial(breaking.kill, service=service.name),
    )
    for service in CATALOGUE
    if not service.external
)

FAULTS: tuple[Fault, ...] = (
    *_KILLED,
    Fault("hung", "hung service (SIGSTOP)", "archon-search", "single_service",
          partial(breaking.freeze, service="archon-search")),
    Fault("says-unhealthy", "200, but unhealthy", "archon-intelligence", "single_service",
          partial(breaking.say_unhealthy, service="archon-intelligence")),
    Fault("wiped-qdrant", "wiped Qdrant", "qdrant", "store_lost", breaking.wipe_vectors),
    Fault("garbage-vectors", "garbage behind right counts", "qdrant", "store_corrupt", breaking.garble_vectors),
    Fault("damaged-config", "configuration kills the server", "qdrant", "store_corrupt",
          breaking.damage_configuration),
    Fault("wiped-graph", "wiped graph", "memgraph", "store_lost", breaking.delete_graph),
    Fault("empty-graph", "graph server came up empty", "memgraph", "store_lost", breaking.empty_graph),
    Fault("dropped-database", "dropped database", "postgres", "store_lost", breaking.drop_database),
    Fault("everything", "everything killed at once", "qdrant", "complete_failure", breaking.kill_everything),
    Fault("during-backup", "hung Qdrant during a backup", "qdrant", "single_service",
          breaking.freeze_during_a_backup),
    Fault("daemon-killed", "daemon killed in mid-ladder", "qdrant", "store_corrupt", breaking.kill_the_daemon),
    Fault("worker-killed", "run killed in mid-ladder", "qdrant", "store_corrupt", breaking.kill_the_worker),
)  # fmt: skip


OF_CONTAINERS: tuple[Fault, ...] = (
    Fault("removed-container", "removed container", "postgres", "single_service",
          partial(breaking.remove_container, service="postgres")),
    Fault("paused-container", "paused container", "archon-bridge", "single_service",
          partial(breaking.pause_container, service="archon-bridge")),
)  # fmt: skip
"""What can only happen to containers."""


def named(names: list[str], runtime: str = "processes") -> tuple[Fault, ...]:
    """The faults of these names; all that there are on this runtime where none is named."""
    every = (*FAULTS, *OF_CONTAINERS) if runtime == "compose" else FAULTS
    return tuple(fault for fault in every if fault.name in names) if names else every
