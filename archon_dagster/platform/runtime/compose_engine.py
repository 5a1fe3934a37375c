"""The engine's side of a compose project: its containers, found by compose's labels and by nothing else.

A container of another project, or one that no project has, cannot be reached from here; volumes and networks are never
removed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import RequestException

from archon_dagster.errors import ConfigurationError, ServiceError
from archon_dagster.platform.limits import Host
from archon_dagster.platform.runtime.protocol import Replica, ServiceStats, ServiceStatus, State

PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
BALANCES = "archon.balances"
"""The label of a balancer: the service whose port it has, and whose containers share what comes in there."""
_ONE_OFF = "com.docker.compose.oneoff"
_STACK = "com.docker.stack.namespace"

CALL_LIMIT = 30  # seconds an engine may take for one answer; what stops a container adds the grace period itself
_SIGNALLED = 128  # an exit code above it is a signal's number

_FIRST: tuple[State, ...] = ("paused", "running", "exited")
_STATES: dict[str, State] = {"running": "running", "paused": "paused"}  # created, restarting, dead…: does not run

Container = Any  # the Docker SDK has no types


@contextmanager
def engine(doing: str) -> Iterator[Any]:
    """A connection to the engine that ``DOCKER_HOST`` or the Docker context names; its errors say what was done.

    :raises ServiceError: the engine refused, does not answer, or took too long.
    """
    try:
        with closing(docker.from_env(timeout=CALL_LIMIT)) as client:
            yield client
    except (DockerException, RequestException) as error:
        reason = getattr(error, "explanation", None) or str(error)
        raise ServiceError(
            f"{doing}: the Docker engine says: {reason}",
            where=os.environ.get("DOCKER_HOST", "the engine of the current Docker context"),
            tried=f"one call, at the longest {CALL_LIMIT} s for an answer",
            todo="look whether the engine answers this user: docker info",
        ) from error


def containers(client: Any, project: str, service: str | None = None) -> list[Container]:
    """The containers of a project or of one service of it, running or not, in the order of their numbers."""
    labels = [f"{PROJECT}={project}", f"{_ONE_OFF}=False", *([f"{SERVICE}={service}"] if service else [])]
    found = client.containers.list(all=True, filters={"label": labels}, ignore_removed=True)
    return sorted(found, key=lambda one: int(one.labels.get("com.docker.compose.container-number", 1)))


def require_no_stack(client: Any, project: str) -> None:
    """Refuse to start containers where the same platform is deployed as a Swarm stack.

    The stack's tasks have other labels, so they would seem absent, and a second server would be started on the same
    named volume: two servers writing one directory.
    """
    stack = {"label": f"{_STACK}={project}"}
    manages = client.info().get("Swarm", {}).get("ControlAvailable", False)
    if client.containers.list(all=True, filters=stack) or (manages and client.services.list(filters=stack)):
        raise ConfigurationError(
            f"this host runs {project} as a Swarm stack, and compose would start every service a second time on the "
            "same data; nothing was touched",
            where="Swarm manager" if manages else "Swarm node",
            todo=f"deploy the platform with compose (docker stack rm {project}, then start), or operate the stack with "
            "ARCHON_RUNTIME=elsewhere",
        )


def status_of(service: str, instances: list[Container]) -> ServiceStatus:
    """One service's status; with several replicas the one that needs attention first: paused, then running."""
    if not instances:
        return ServiceStatus(service, "absent", replicas=0)
    shown = min(instances, key=lambda one: _FIRST.index(_state(one)))
    state = _state(shown)
    return ServiceStatus(
        service,
        state,
        shown.short_id,
        _instant(shown.attrs["State"].get("StartedAt", "")),
        _exit_code(shown.attrs["State"]) if state == "exited" else None,
        sum(_state(one) != "exited" for one in instances),
    )


def _state(container: Container) -> State:
    return _STATES.get(container.status, "exited")


def is_up(container: Container) -> bool:
    """Whether its processes exist: running, or frozen."""
    return _state(container) != "exited"


def replica_of(container: Container) -> Replica:
    """One container of a service; well where its health check says so, and where it has none, when it runs."""
    state, health = _state(container), (container.attrs["State"].get("Health") or {}).get("Status", "none")
    number = int(container.labels.get("com.docker.compose.container-number", 1))
    return Replica(number, state, container.short_id, state == "running" and health in ("healthy", "none"))


def host_of(client: Any) -> Host:
    """What the engine's machine has."""
    told = client.info()
    return Host(int(told["NCPU"]), int(told["MemTotal"]))


def data_directory() -> Path:
    """Where the engine keeps volumes, images and containers, on its own machine."""
    with engine("the engine could not be asked where its data are") as client:
        return Path(client.info()["DockerRootDir"])


def _exit_code(state: dict[str, Any]) -> int | None:
    code = state.get("ExitCode")
    if code is None or state.get("Status") == "created":
        return None
    return _SIGNALLED - int(code) if code > _SIGNALLED else int(code)


def _instant(text: str) -> datetime | None:
    """When the engine says; its nanoseconds are more than Python reads."""
    if not text or text.startswith("0001"):
        return None
    return datetime.fromisoformat(text.partition(".")[0].removesuffix("Z") + "+00:00")


def stop(container: Container, grace: float) -> None:
    """Stop one container; a frozen one would not hear of it and be killed after the grace period."""
    with suppress(NotFound):  # gone is stopped
        if _state(container) == "paused":
            container.unpause()
        if is_up(container):
            _wake(container)
        container.stop(timeout=round(grace))


def _wake(container: Container) -> None:
    """Let a process go on that a signal has stopped, of which the engine knows nothing; any other ignores it."""
    try:
        container.kill(signal="SIGCONT")
    except APIError as error:
        if error.status_code != HTTPStatus.CONFLICT:  # it has ended meanwhile
            raise


def remove(container: Container) -> None:
    """Remove a stopped container; its named and its anonymous volumes stay."""
    with suppress(NotFound):
        container.remove(v=False)


def stats_of(service: str, instances: list[Container]) -> ServiceStats | None:
    """What the replicas use together; ``None`` where none runs."""
    used = [one.stats(stream=False) for one in instances if is_up(one)]
    if not used:
        return None
    return ServiceStats(service, sum(map(_cpu_percent, used)), sum(map(_memory, used)))


def _cpu_percent(used: dict[str, Any]) -> float:
    """Of one core; the engine counts in nanoseconds over all cores, and leaves counters out at the first sample."""
    now, before = used.get("cpu_stats", {}), used.get("precpu_stats", {})
    spent = now.get("cpu_usage", {}).get("total_usage", 0) - before.get("cpu_usage", {}).get("total_usage", 0)
    passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    return float(max(0.0, 100.0 * spent / passed * now.get("online_cpus", 1))) if passed > 0 else 0.0


def _memory(used: dict[str, Any]) -> int:
    """Without the page cache that the kernel can drop (named differently by the two versions of control groups)."""
    memory = used.get("memory_stats", {})
    detail = memory.get("stats", {})
    cache = detail.get("total_inactive_file", detail.get("inactive_file", 0))
    return max(0, int(memory.get("usage", 0)) - int(cache))


def image_of(client: Any, container: Container) -> str:
    """The digest a registry knows the image by, else its id; one built here has no digest."""
    image = client.images.get(container.attrs["Image"])
    digests: list[str] = image.attrs.get("RepoDigests") or []
    return digests[0] if digests else str(image.id)
